"""What a configuration takes, computed before anything is downloaded or trained (plan 1.2, 6.1, 7.1; SPEC T6, D9).

The table alone: the figures are those of build/plan/. Beside each stands what the plan document says.
"""

from __future__ import annotations

from so8t.build.model.shape import gate_parameters
from so8t.build.plan import disk
from so8t.build.plan.architecture import Architecture, architecture_of
from so8t.build.plan.cost import Cost
from so8t.build.plan.fit import CARDS, CONTEXT, FRAGMENTATION, Fit, choose, fit, shipped
from so8t.build.plan.memory import HEAP, Memory, burnin_bytes, memory
from so8t.build.plan.numerics import BF16, Device, numerics
from so8t.build.plan.row import GIB, Row, count, size, yen
from so8t.build.plan.timing import Timing, duration
from so8t.build.plan.workload import Workload, workload
from so8t.core.config import Config, PlanConfig

PLAN_HOURS, PLAN_REAL_HOURS = 33.0, 333.0  # plan 5.2: "33", and 600,000 samples at 0.5 a second
UNVERIFIED = ("12 GB のカードでは未検証", "unverified on a 12 GB card")
GGUF_PLAN = {"F16": "28 GB", "Q8_0": "14 GB", "Q4_K_M": "7 GB"}


def estimate(config: Config, device: Device = "cpu", timing: Timing | None = None) -> list[Row]:
    """Every row, grouped by topic. Without a measured `timing` no time is claimed.

    Raises BaseUnusable, SourceMissing or RecordInvalid for a base.path that cannot be planned for.
    """
    shape, work = architecture_of(config), workload(config)
    hours, timed = _time(config, shape, work, timing)
    return [
        *_parameters(config, shape),
        *_memory(config, shape, device),
        *_fit(config, shape),
        *timed,
        *_disk(config, shape, device),
        *_power(config.plan, hours),
        *_money(config.plan),
    ]


def disk_bytes(config: Config, device: Device = "cpu") -> float:
    """All files of a run together."""
    return sum(disk.files(architecture_of(config), config, device).values())


def _parameters(config: Config, shape: Architecture) -> list[Row]:
    train = config.train
    gates = gate_parameters(shape.layers, shape.hidden) if train.gate.enabled else 0
    lora = shape.lora(train.lora.rank, train.lora.targets)
    share = 100 * (gates + lora) / shape.total
    return [
        count("parameters", "土台", "base", shape.total, "14B", f"config.json ({shape.model_type})"),
        count("parameters", "LoRA", "LoRA", lora, "400M", "rank × (in + out)"),
        count("parameters", "回転ゲート", "rotation gates", gates, "786,432", "28 × hidden / 8 × layers"),
        Row(
            "parameters", "学習する割合", "share that is trained", f"{share:.2f} %", "4 %", number=share, unit="percent"
        ),
    ]


def _memory(config: Config, shape: Architecture, device: Device) -> list[Row]:
    found, how = memory(shape, config.train, device), numerics(config.train, device)
    kind = how.quantization if how.quantization != "none" else "bf16" if how.element == BF16 else "fp32"
    rows = [
        size("memory", "土台の重み", "weights of the base", found.weights, "~7 GB", f"{device}, {kind}"),
        size("memory", "LoRA の重み", "weights of LoRA", found.lora, "800 MB", "fp32"),
        size("memory", "ゲートと回転", "gates and rotations", found.gates, "", "fp32"),
        size("memory", "勾配", "gradients", found.gradients, "~500 MB", "fp32"),
        size(
            "memory",
            "最適化の状態",
            "optimizer states",
            found.optimizer,
            "~1.5 GB",
            f"{how.state:g} B × 学習する数",
            f"{how.state:g} B × trained",
        ),
        size("memory", "重みの平均(SWA)", "average of weights (SWA)", found.average, "", "fp32"),
        size(
            "memory",
            "書き出し中のチェックポイント",
            "checkpoint being written",
            found.snapshot,
            "",
            "主記憶に写す",
            "a copy in main memory",
        ),
        size("memory", "各層が残す値", "kept by the layers", found.layers, "~500 MB", *_kept_basis(config)),
        size(
            "memory",
            "最終層の後に残す値",
            "kept behind the last layer",
            found.top,
            "",
            "PET とヘッドの勾配",
            "PET, gradient of the head",
        ),
        size(
            "memory",
            "瞬間: 損失(ロジット)",
            "for a moment: loss (logits)",
            found.loss,
            "",
            "一度に少しのトークンだけ",
            "a few tokens at a time",
        ),
        size("memory", "瞬間: 逆伝播中の一層", "for a moment: one layer going back", found.layer),
        _peak(found, device),
    ]
    if device == "cpu":
        rows.append(_resident(found))
    names = ("焼きこみ", "burn-in")
    basis = ("一度に一層だけ、fp64 でも置くため(主記憶)", "one layer at a time, in fp64 as well (main memory)")
    burned = burnin_bytes(shape, config.burnin, config.train.lora)
    return [*(r for r in rows if r.number), size("memory", *names, burned, "", *basis)]


def _resident(found: Memory) -> Row:
    """What the system shows for the process."""
    ja, en = "最大(glibc の既定の割り当て)", "peak (with glibc's allocator as it comes)"
    basis = "解放した分も持ち続けるため。MALLOC_MMAP_THRESHOLD_=65536 で上の値になる"
    basis_en = "it keeps what was freed; MALLOC_MMAP_THRESHOLD_=65536 gives the figure above"
    return size("memory", ja, en, HEAP * found.peak, "", f"× {HEAP:g}: {basis}", f"× {HEAP:g}: {basis_en}")


def _kept_basis(config: Config) -> tuple[str, str]:
    train = config.train
    rows = f"{train.batch_size} × {train.maximum_tokens} tokens"
    return (rows + "、計算し直す", rows + ", recomputed") if train.gradient_checkpointing else (rows, rows)


def _peak(found: Memory, device: Device) -> Row:
    """The three moments never meet, so the peak is less than the sum of the rows."""
    words = {
        "loss": ("損失の計算のとき", "while the loss is made"),
        "backward": ("最終層の逆伝播のとき", "going back through the last layer"),
        "last": ("最初の層の逆伝播のとき", "going back through the first layer"),
    }
    ja, en = words[max(found.moments, key=lambda name: found.moments[name])]
    if device == "cuda":
        ja, en = f"{ja}。{UNVERIFIED[0]}", f"{en}; {UNVERIFIED[1]}"
    return size("memory", "最大", "peak", found.peak, "10.5 GB", ja, en)


def _fit(config: Config, shape: Architecture) -> list[Row]:
    """Phi-4-mini's profiles on the usual cards; and this configuration, when it is none of them."""
    fits = shipped()
    own = [] if config.profile in {f.profile for f in fits} and not config.base.path else [fit(config, shape)]
    rows = [_fit_row(f, own=f in own) for f in [*fits, *own]]
    for card in CARDS:
        best = choose(card, fits)
        ja, en = f"{card} GB のカードなら", f"for a card of {card} GB"
        value, basis = (best.profile, "Phi-4-mini") if best else ("-", "")
        rows.append(Row("fit", ja, en, value, "12 GB: OK" if card == 12 else "", basis, number=card, unit="GB"))
    return rows


def _fit_row(found: Fit, own: bool) -> Row:
    cards = " / ".join(str(c) if found.on(c) else "-" for c in CARDS)
    ja, en = ("この設定", "this configuration") if own else (found.profile, found.profile)
    reserve = f"× {FRAGMENTATION:.2f} + {CONTEXT / GIB:g} GiB"
    basis, basis_en = f"最大 {reserve}。{UNVERIFIED[0]}", f"peak {reserve}; {UNVERIFIED[1]}"
    shown = f"{found.needed / GIB:.1f} GiB: {cards}"
    return Row("fit", ja, en, shown, "", basis, basis_en, number=found.needed, unit="bytes")


def _time(config: Config, shape: Architecture, work: Workload, timing: Timing | None) -> tuple[float | None, list[Row]]:
    train = config.train
    rows = [
        count(
            "time",
            "学習標本",
            "training samples",
            work.samples,
            "200,000",
            "多くて(依頼と文章)",
            "at most (requests, texts)",
        ),
        count(
            "time",
            "更新ステップ",
            "optimizer steps",
            work.steps,
            "37,500",
            "標本 × epochs / (batch × accumulation)",
            "samples × epochs / (batch × accumulation)",
        ),
    ]
    plan = "33 時間(自らの数字では 333)", "33 hours (333 by its own figures)"
    if timing is None:
        words = "測っていない", "so8t plan --probe で測る", "measure with so8t plan --probe", "not measured"
        rows.append(Row("time", "学習時間", "training time", words[0], plan[0], words[1], words[2], words[3], plan[1]))
        return None, rows
    found = duration(timing, work, shape.layers, train.accumulation, train.checkpoint.seconds)
    ja = f"{timing.device} で 1 層と 3 層、{timing.tokens} トークンずつを実測"
    en = f"measured on {timing.device}: 1 and 3 layers, {timing.tokens} tokens each"
    full = "どの行も上限の長さとして", "as if every row were of full length"
    return found.hours, [
        *rows,
        Row(
            "time",
            "1 ステップ",
            "one step",
            f"{found.seconds_per_step:,.2f} s",
            "",
            ja,
            en,
            number=found.seconds_per_step,
            unit="seconds",
        ),
        Row(
            "time",
            "速さ",
            "speed",
            f"{found.tokens_per_second:,.0f} tokens/s",
            "0.5 samples/s",
            ja,
            en,
            number=found.tokens_per_second,
            unit="tokens/s",
        ),
        Row(
            "time",
            "学習時間",
            "training time",
            f"{found.hours:,.1f} 時間",
            plan[0],
            *full,
            f"{found.hours:,.1f} hours",
            plan[1],
            found.hours,
            "hours",
        ),
        count(
            "time", "チェックポイントの回数", "checkpoints", found.checkpoints, "660", f"{train.checkpoint.seconds:g} s"
        ),
    ]


def _disk(config: Config, shape: Architecture, device: Device) -> list[Row]:
    parts, keep = disk.files(shape, config, device), config.train.checkpoint.keep
    one = disk.checkpoint(shape, config, device)
    return [
        size(
            "disk",
            "土台のモデル",
            "base model",
            parts["base"],
            "28 GB",
            f"{parts['base'] / shape.total:g} B × 土台",
            f"{parts['base'] / shape.total:g} B × base",
        ),
        size(
            "disk",
            "データ",
            "data",
            parts["data"],
            "45 GB",
            "多くて(収集・生成・画像)",
            "at most (collected, generated, images)",
        ),
        size("disk", "チェックポイント1個", "one checkpoint", one, "15 GB", "LoRA + gates + AdamW + SWA"),
        size("disk", "チェックポイント全部", "all checkpoints", parts["checkpoints"], "75 GB", f"× ({keep} + 1)"),
        size("disk", "焼きこみ後のモデル", "model after burn-in", parts["merged"], "15 GB", "fp32"),
        *(
            size("disk", f"GGUF {q}", f"GGUF {q}", disk.gguf(shape, q), GGUF_PLAN.get(q, ""))
            for q in config.export.quantisations
        ),
        size(
            "disk",
            "合計",
            "in all",
            sum(parts.values()),
            "250 GB",
            "GGUF は export と bundle の二か所",
            "GGUFs lie in export and in bundle",
        ),
    ]


def _power(prices: PlanConfig, hours: float | None) -> list[Row]:
    """The electricity of training: of the measured hours, or of the plan's two."""
    cost = Cost(prices)
    basis = f"{prices.training_watts:g} W, {prices.yen_per_kwh:g} 円/kWh"
    basis_en = f"{prices.training_watts:g} W, {prices.yen_per_kwh:g} yen/kWh"
    cases = [("", "", hours)] if hours is not None else []
    cases += [(f"({h:g} 時間なら)", f" ({h:g} hours)", h) for h in (PLAN_HOURS, PLAN_REAL_HOURS)]
    rows = []
    for ja, en, h in cases:
        kwh = f"{cost.training_kwh(h):,.1f} kWh: "
        names = (f"学習の電気代{ja}", f"electricity of training{en}")
        rows.append(yen(*names, cost.training(h), "", kwh + basis, kwh + basis_en))
    return rows


def _money(prices: PlanConfig) -> list[Row]:
    cost = Cost(prices)
    use, arithmetic = f"{cost.monthly_kwh:,.0f} kWh", ("設定 [plan] の値の計算", "arithmetic on [plan]")
    rows = [
        yen("月の電気代", "electricity a month", cost.monthly_power, "7,560 円", use),
        yen(
            "月の費用", "running cost a month", cost.monthly, "57,560 円", "電気代 + 保守", "electricity + maintenance"
        ),
        yen("初期費用", "initial cost", cost.initial, "2,025,000 円", "機器 + 工数", "hardware + labour"),
    ]
    clouds = [(f"月 {c:,.0f} 円", f"{c:,.0f} yen a month", c) for c in prices.cloud_yen]
    if len(clouds) > 1:
        clouds.append(("全部を足した額", "all of them together", sum(prices.cloud_yen)))
    for ja, en, cloud in clouds:
        roi = cost.return_on_investment(cloud)
        rows += [
            _share(f"節約({ja}とくらべて)", f"saving (beside {en})", cost.saving(cloud), "87 %", arithmetic),
            _payback(cost, ja, en, cloud, arithmetic),
            _share(f"1 年目の ROI({ja}とくらべて)", f"ROI of the first year (beside {en})", roi, "", arithmetic),
        ]
    return rows


def _payback(cost: Cost, ja: str, en: str, cloud: float, basis: tuple[str, str]) -> Row:
    months = cost.payback_months(cloud)
    shown = ("回収できない", "never") if months is None else (f"{months:.1f} か月", f"{months:.1f} months")
    return Row(
        "cost",
        f"回収期間({ja}とくらべて)",
        f"payback (beside {en})",
        shown[0],
        "約 6 か月",
        *basis,
        shown[1],
        "about 6 months",
        months,
        "months",
    )


def _share(ja: str, en: str, value: float | None, plan: str, basis: tuple[str, str]) -> Row:
    shown = "-" if value is None else f"{100 * value:+,.0f} %"
    return Row("cost", ja, en, shown, plan, *basis, number=value, unit="ratio")
