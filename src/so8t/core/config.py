"""so8t.toml and the profiles -> frozen dataclasses. An unknown key is an error with a suggestion (SPEC "Config")."""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from so8t.core.errors import ConfigKeyUnknown, ConfigUnreadable, ConfigValueInvalid, ProfileUnknown
from so8t.core.serve_config import RANGES, ServeConfig

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One source of plain text; in a list of sources its path alone will do.

    path: "starter" (what the package ships), a file, a folder, a glob, "@list.txt", or "hub:..." (build/data/hub.py).
    share: its part of all texts; 0 = an equal part of what the others leave. maximum_documents: 0 = all.
    """

    path: str = "starter"
    name: str = ""
    license: str = ""
    share: float = 0.0
    maximum_documents: int = 0


@dataclass(frozen=True, slots=True)
class CollectConfig:
    """Plain text (plan 3.1). maximum_per_domain: 0 = no quota; longest: characters of one training text."""

    sources: tuple[SourceConfig, ...] = (SourceConfig(),)
    quality: Literal["so8t", "plan"] = "so8t"
    minimum_quality: float = 0.7
    maximum_samples: int = 100_000
    maximum_per_domain: int = 12_500
    longest: int = 800
    near_duplicate: float = 0.8
    validation_share: float = 0.1


@dataclass(frozen=True, slots=True)
class SynthConfig:
    """How many judged requests are generated beside the written ones (plan 3.2).

    own: JSON lines of the company's own labelled requests (build/data/own.py), for training alone.
    """

    samples_per_domain: int = 25_000
    written: bool = True
    own: tuple[str, ...] = ()
    seed: int = 8


@dataclass(frozen=True, slots=True)
class MultimodalConfig:
    """Pages that are rendered and read by OCR (plan 3.3), in each of five domains; 0.5 s to 3 s a page."""

    samples_per_domain: int = 500
    seed: int = 8


@dataclass(frozen=True, slots=True)
class ValidateConfig:
    minimum_samples: int = 100
    maximum_label_share: float = 0.5
    near_duplicate: float = 0.8


@dataclass(frozen=True, slots=True)
class PromptConfig:
    """compact = one line of role (small models), full = identity contract and policy state (plan 3.2)."""

    style: Literal["compact", "full"] = "full"


@dataclass(frozen=True, slots=True)
class BaseConfig:
    """The model to adapt: `path` = a local folder or .gguf file, `package` = an installed Python package that carries a
    GGUF file, neither = pre-train a tiny one of the shape given here. `sha256` pins the GGUF, and must for a package.

    `steps` of `batch_tokens` are plain language modelling; then all weights learn the decisions of the training
    requests for `instruct_epochs`: a frozen base that knows no words leaves LoRA nothing to turn (decision 0003).
    """

    path: str = ""
    package: str = ""
    sha256: str = ""
    accept_terms: bool = False
    vocab_size: int = 4096
    hidden_size: int = 256
    intermediate_size: int = 768
    layers: int = 4
    heads: int = 8
    kv_heads: int = 4
    context: int = 1024
    steps: int = 200
    batch_tokens: int = 1024
    learning_rate: float = 3e-3
    instruct_epochs: float = 0.0
    instruct_batch: int = 16
    instruct_rate: float = 1e-3


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """Plan 4.1; `targets` empty = the architecture's seven projections, fused ones by their fused name."""

    rank: int = 64
    alpha: int = 128
    dropout: float = 0.1
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GateConfig:
    """SO(8) rotation behind every attention output (plan 2.1)."""

    enabled: bool = True
    parametrisation: Literal["exp", "cayley"] = "exp"
    learning_rate_factor: float = 1.0


@dataclass(frozen=True, slots=True)
class PetConfig:
    """Second-difference smoothing (plan 2.1), lambdas as measured in SPEC.md "PET and noise"."""

    enabled: bool = True
    normalisation: Literal["scale-free", "mean", "literal"] = "scale-free"
    lambdas: tuple[float, ...] = (0.001, 0.005, 0.01)
    boundaries: tuple[float, ...] = (0.2, 0.6)


@dataclass(frozen=True, slots=True)
class NoiseConfig:
    """Gradient noise (plan 2.2). relative = sigma times each tensor's gradient RMS."""

    sigma: float = 0.01
    scale: Literal["relative", "absolute"] = "relative"


@dataclass(frozen=True, slots=True)
class SwaConfig:
    """Stochastic weight averaging (plan 4.4)."""

    enabled: bool = True
    start: float = 0.75
    learning_rate: float = 2e-4
    schedule: Literal["constant", "cosine"] = "constant"


@dataclass(frozen=True, slots=True)
class CheckpointConfig:
    seconds: float = 180.0
    keep: int = 5


@dataclass(frozen=True, slots=True)
class GpuConfig:
    """Degrees Celsius of the card (plan 6.2): warn, pause until it is down to `resume`. `seconds` between readings."""

    warn: float = 75.0
    pause: float = 80.0
    resume: float = 70.0
    seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class RecoveryConfig:
    """What training does by itself when it goes wrong (plan 8.3, SPEC T5).

    A loss that is not a number, or above `spike` times the median of the last `window` steps, rolls back to the last
    checkpoint with half the rate; after `retries` of these it gives up. `window` is also what advice looks at.
    """

    retries: int = 3
    spike: float = 3.0
    window: int = 50


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Plan chapter 4.

    packing: fill rows of maximum_tokens with several samples. precision: of the frozen base ("auto" = bf16 on a card
    that has it, else fp32). sharding: "full" = FSDP, the base split over the processes of a torchrun.
    offload_activations: what gradient checkpointing keeps of each layer goes to main memory (plan 8.1, level 2).
    """

    epochs: float = 3.0
    batch_size: int = 2
    accumulation: int = 8
    maximum_tokens: int = 2048
    learning_rate: float = 2e-4
    weight_decay: float = 0.05
    betas: tuple[float, ...] = (0.9, 0.999)
    epsilon: float = 1e-8
    warmup: float = 0.1
    clip: float = 1.0
    label_smoothing: float = 0.1
    dropout: float = 0.1
    label_weight: float = 1.0
    text_share: float = 0.33
    written_repeats: int = 1
    packing: bool = False
    quantization: Literal["none", "int8", "nf4"] = "none"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    attention: Literal["auto", "flash", "sdpa", "eager"] = "auto"
    optimizer: Literal["auto", "adamw", "paged_adamw_8bit"] = "auto"
    sharding: Literal["none", "full"] = "none"
    gradient_checkpointing: bool = False
    offload_activations: bool = False
    seed: int = 8
    validation_samples: int = 200
    lora: LoraConfig = field(default_factory=LoraConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    pet: PetConfig = field(default_factory=PetConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    swa: SwaConfig = field(default_factory=SwaConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    gpu: GpuConfig = field(default_factory=GpuConfig)
    recovery: RecoveryConfig = field(default_factory=RecoveryConfig)


@dataclass(frozen=True, slots=True)
class BurnInConfig:
    """Acceptance in SPEC.md "Fold"."""

    prompts: int = 20
    tokens: int = 96
    layer_tolerance: float = 1e-10
    kl_tolerance: float = 1e-6
    floor_factor: float = 2.0
    low_precision_factor: float = 1.25


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """GGUF variants (plan 5.4): F16, BF16, Q8_0, Q4_K_M, Q5_K_M, Q6_K.

    quantiser: "auto", or the path of a llama-quantize program. converter: "auto" = ours for Phi-3, "own" = ours always,
    or the path of llama.cpp's convert_hf_to_gguf.py or its folder, for every other architecture. importance: weigh the
    columns of a matrix by what flows into them over `importance_tokens` tokens of training text.
    """

    quantisations: tuple[Literal["F16", "BF16", "Q8_0", "Q4_K_M", "Q5_K_M", "Q6_K"], ...] = ("F16", "Q8_0", "Q4_K_M")
    quantiser: str = "auto"
    converter: str = "auto"
    importance: bool = False
    importance_tokens: int = 16_384
    context: int = 4096
    parity_prompts: int = 20
    parity_tokens: int = 32
    parity_strings: int = 200


@dataclass(frozen=True, slots=True)
class ProveConfig:
    """What is proved, under which policy, and how much (SPEC P2-P8).

    calibration: labelled JSON lines to fit the temperatures on instead of split calibration; "" = the split.
    mix: shares of ALLOW, ESCALATE and DENY among real requests, which the escalation budget is reckoned for; empty = as
    in the test split. perplexity_tokens: of held-out text; 0 = perplexity is not measured. tasks: how many questions
    and summaries are put to the deployed file; 0 = all.
    """

    deploy: str = "Q8_0"
    policy: str = "demo"
    bootstrap: int = 1000
    threads: int = 1
    limit: int = 0
    calibration: str = ""
    requests_per_day: int = 200
    mix: tuple[float, ...] = ()
    perplexity_tokens: int = 8192
    tasks: int = 0


@dataclass(frozen=True, slots=True)
class DemoConfig:
    requests: str = "demo"
    maximum_tokens: int = 64


@dataclass(frozen=True, slots=True)
class PlanConfig:
    """What `so8t plan` reckons power and money from: the plan's own figures (1.2, 6.2) until you put in yours.

    No stage depends on these. watts: of the whole machine; hours: it runs in a month; yen without tax.
    """

    yen_per_kwh: float = 30.0
    training_watts: float = 500.0
    running_watts: float = 350.0
    running_hours: float = 720.0
    maintenance_yen: float = 50_000.0
    hardware_yen: float = 425_000.0
    labour_hours: float = 160.0
    labour_yen: float = 10_000.0
    cloud_yen: tuple[float, ...] = (300_000.0, 200_000.0)


@dataclass(frozen=True, slots=True)
class Config:
    """One whole configuration; `profile` names where it started from."""

    profile: str
    threads: int = 2
    collect: CollectConfig = field(default_factory=CollectConfig)
    synth: SynthConfig = field(default_factory=SynthConfig)
    multimodal: MultimodalConfig = field(default_factory=MultimodalConfig)
    validate: ValidateConfig = field(default_factory=ValidateConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    base: BaseConfig = field(default_factory=BaseConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    burnin: BurnInConfig = field(default_factory=BurnInConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    prove: ProveConfig = field(default_factory=ProveConfig)
    demo: DemoConfig = field(default_factory=DemoConfig)
    plan: PlanConfig = field(default_factory=PlanConfig)
    serve: ServeConfig = field(default_factory=ServeConfig)

    def section(self, name: str) -> dict[str, Any]:
        """One section as plain JSON values."""
        value: dict[str, Any] = dataclasses.asdict(getattr(self, name))
        return value


def profile_names() -> list[str]:
    folder = resources.files("so8t.core") / "profiles"
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))


def load_config(profile: str = "", path: Path | None = None) -> Config:
    """Profile first, then the user's file over it. `profile` given on the command line wins over the file's.

    Raises ConfigUnreadable, ConfigKeyUnknown, ConfigValueInvalid, ProfileUnknown.
    """
    overlay: dict[str, Any] = {}
    source = ""
    if path is not None:
        source = _read(path)
        overlay = _parse(source, str(path))
    name = profile or str(overlay.pop("profile", "tiny"))
    overlay.pop("profile", None)
    if name not in profile_names():
        near = difflib.get_close_matches(name, profile_names(), 1)
        raise ProfileUnknown(detail=name + (f" -> {near[0]}?" if near else ""), where=", ".join(profile_names()))
    text = (resources.files("so8t.core") / "profiles" / f"{name}.toml").read_text(encoding="utf-8")
    base = _parse(text, f"{name}.toml")
    _build(Config, {"profile": name, **overlay}, str(path or ""), source)  # errors name the user's own file
    config: Config = _build(Config, _merge({"profile": name, **base}, overlay), f"{name}.toml", text)
    return config


def read_settings(cls: type[T], path: Path) -> T:
    """A small file of settings of its own, as strict as so8t.toml: frozen dataclasses, an unknown key is an error.

    Raises ConfigUnreadable, ConfigKeyUnknown, ConfigValueInvalid.
    """
    source = _read(path)
    made: T = _build(cls, _parse(source, str(path)), str(path), source)
    return made


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigUnreadable(where=path, detail=type(error).__name__) from error


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigUnreadable(where=where, detail=str(error)) from error


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _build(cls: type[Any], values: Mapping[str, Any], file: str, source: str, prefix: str = "") -> Any:
    hints = get_type_hints(cls)
    for key in values:
        if key not in hints:
            near = difflib.get_close_matches(key, hints, 1)
            detail = prefix + key + (f" -> {near[0]}?" if near else "")
            raise ConfigKeyUnknown(where=_locate(file, source, prefix + key), detail=detail)
    built = {}
    for key, value in values.items():
        if dataclasses.is_dataclass(hints[key]):
            if not isinstance(value, dict):
                raise ConfigValueInvalid(
                    where=_locate(file, source, prefix + key), detail=f"{prefix}{key}: table expected"
                )
            built[key] = _build(hints[key], value, file, source, f"{prefix}{key}.")
        elif dataclasses.is_dataclass(item := (*get_args(hints[key]), None)[0]):
            built[key] = _build_list(item, value, file, source, prefix + key)
        else:
            built[key] = _coerce(hints[key], value, _locate(file, source, prefix + key), prefix + key)
    return cls(**built)


def _build_list(cls: Any, values: Any, file: str, source: str, key: str) -> tuple[Any, ...]:
    """A list of tables; a bare value stands for a table with the first key alone."""
    if not isinstance(values, list):
        raise ConfigValueInvalid(where=_locate(file, source, key), detail=f"{key} = {values!r} (list)")
    first = dataclasses.fields(cls)[0].name
    tables = [value if isinstance(value, dict) else {first: value} for value in values]
    return tuple(_build(cls, table, file, source, f"{key}.") for table in tables)


def _coerce(hint: Any, value: Any, where: str, key: str) -> Any:
    """Check a scalar or list against its annotation; ints pass as floats, nothing else is bent."""
    origin = get_origin(hint)
    if origin is Literal:
        if value in get_args(hint):
            return value
        raise ConfigValueInvalid(where=where, detail=f"{key} = {value!r} ({' | '.join(map(str, get_args(hint)))})")
    if origin is tuple:
        if isinstance(value, list):
            return tuple(_coerce(get_args(hint)[0], v, where, key) for v in value)
    elif hint is float and isinstance(value, int) and not isinstance(value, bool):
        return _coerce(hint, float(value), where, key)
    elif isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        if isinstance(value, (int, float)):
            in_range(key, value, where)
        return value
    expected = "list" if origin is tuple else getattr(hint, "__name__", str(hint))
    raise ConfigValueInvalid(where=where, detail=f"{key} = {value!r} ({expected})")


def in_range(key: str, value: float, where: str) -> None:
    """Of a number; 0 or more where nothing else is said. Raises ConfigValueInvalid, also for NaN and infinity."""
    low, high = RANGES.get(key, (0, math.inf))
    if not low <= value <= high or value == math.inf:
        shown = f"{low:g} ≤ x ≤ {high:.10g}" if high < math.inf else "0 ≤ x < ∞"
        raise ConfigValueInvalid(where=where, detail=f"{key} = {value!r} ({shown})")


def _locate(file: str, source: str, key: str) -> str:
    """file:line of the first line that names the dotted key in its own table, else of its table, else the file."""
    lines = list(_keys(source))
    while key:
        for number, found in lines:
            if found == key or found.startswith(key + "."):
                return f"{file}:{number}"
        key = key.rpartition(".")[0]
    return file


def _keys(source: str) -> Iterator[tuple[int, str]]:
    """(line, dotted key) of every table header and key of a TOML text."""
    table = ""
    for number, line in enumerate(source.splitlines(), 1):
        text = line.split("#")[0].strip()
        if text.startswith("["):
            table = text.strip("[] ")
            yield number, table
        elif "=" in text:
            yield number, f"{table}.{text.split('=')[0].strip()}".strip(".")


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Human-readable list of what differs between two nested configurations."""
    lines: list[str] = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            lines += differences(a, b, f"{prefix}{key}.")
        elif _plain(a) != _plain(b):
            lines.append(f"{prefix}{key}: {_plain(a)} -> {_plain(b)}")
    return lines


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
