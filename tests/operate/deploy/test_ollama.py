"""A bundle into Ollama: what is sent, that it is sent once, and a clear word for everything that can go wrong."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from so8t.ask import ollama_api
from so8t.core.bundle import open_bundle
from so8t.core.errors import (
    BackendDown,
    BackendProtocol,
    BundleBroken,
    EnvironmentUnfit,
    LogprobsMissing,
    So8tError,
    UsageError,
)
from so8t.core.progress import Progress
from so8t.operate.deploy import ollama
from so8t.operate.deploy.ollama import Deployed, deploy

Run = Callable[[Any], str]


def put(bundle: Path, address: str, *only: str, **options: Any) -> list[Deployed]:
    return asyncio.run(deploy(open_bundle(bundle), address, "so8t", Progress(lang="en"), only, **options))


def test_three_models_as_the_modelfiles_say(bundle: Path, stand_in: Any, run_ollama: Run) -> None:
    done = put(bundle, run_ollama(stand_in))
    assert [d.published.target.model for d in done] == ["so8t:f16", "so8t:q4_k_m", "so8t:q8_0"]
    assert set(stand_in.models) == {"so8t:f16", "so8t:q4_k_m", "so8t:q8_0"}
    listed = json.loads((bundle / "bundle.json").read_text())["files"]
    for one in done:
        made = stand_in.models[one.published.target.model]
        quantisation = one.published.target.quantisation
        assert made.digest == "sha256:" + listed[f"gguf/model-{quantisation}.gguf"]
        assert made.file.read_bytes() == (bundle / "gguf" / f"model-{quantisation}.gguf").read_bytes()
        assert made.parameters == {"temperature": 0.7, "num_ctx": 1024, "stop": ["<|end|>", "<|user|>"]}
        assert f'TEMPLATE """{made.template}"""' in (bundle / f"Modelfile.{quantisation}").read_text()
        assert one.published.uploaded and one.published.created and one.published.shown.same_file
        assert one.rendered and one.answer.startswith("ALLOW") and one.why is None
        assert one.scores == {"ALLOW": -0.1, "ESCALATE": -2.5, "DENY": -4.0}


def test_nothing_asks_for_a_download(bundle: Path, stand_in: Any, run_ollama: Run) -> None:
    """A `from`, or /api/pull, would make Ollama fetch from the internet."""
    put(bundle, run_ollama(stand_in), "Q8_0")
    allowed = {"version", "show", "create", "chat", "generate", "blobs"}
    assert {p.split("/")[2] for p in stand_in.paths()} == allowed
    bodies = [body for _, path, body in stand_in.requests if path == "/api/create"]
    assert [set(b) for b in bodies] == [{"model", "files", "template", "system", "parameters"}]
    assert list(bodies[0]["files"]) == ["model-Q8_0.gguf"]


def test_prompts_go_raw_uncut_and_with_the_measured_context(bundle: Path, stand_in: Any, run_ollama: Run) -> None:
    put(bundle, run_ollama(stand_in), "Q8_0")
    (body,) = [b for _, p, b in stand_in.requests if p == "/api/generate"]
    assert body["raw"] and body["truncate"] is False and body["shift"] is False and body["top_logprobs"] == 20
    assert body["options"]["num_ctx"] == 1024 and body["options"]["temperature"] == 0
    assert body["prompt"].startswith("<|user|>権限:社内限定") and body["prompt"].endswith("<|end|><|assistant|>")


def test_twice_sends_and_makes_nothing_the_second_time(bundle: Path, stand_in: Any, run_ollama: Run) -> None:
    address = run_ollama(stand_in)
    put(bundle, address)
    stand_in.requests.clear()
    done = put(bundle, address)
    assert not any(d.published.uploaded or d.published.created for d in done)
    assert not [p for p in stand_in.paths("POST") if "blobs" in p or "create" in p]


def test_a_model_that_was_changed_is_made_anew_without_an_upload(bundle: Path, stand_in: Any, run_ollama: Run) -> None:
    address = run_ollama(stand_in)
    put(bundle, address, "Q8_0")
    for change in ({"template": "{{ .System }}"}, {"system": "別の役"}, {"parameters": {"num_ctx": 16384}}):
        for name, value in change.items():
            setattr(stand_in.models["so8t:q8_0"], name, value)
        (one,) = put(bundle, address, "Q8_0")
        assert one.published.created and not one.published.uploaded
        assert stand_in.models["so8t:q8_0"].parameters["num_ctx"] == 1024


def test_an_upload_that_broke_goes_on_with_the_next_call(bundle: Path, stand_in: Any, run_ollama: Run) -> None:
    address = run_ollama(stand_in)
    put(bundle, address, "F16")
    stand_in.drop_uploads = 1
    with pytest.raises(BackendDown, match="blobs"):
        put(bundle, address)
    assert set(stand_in.models) == {"so8t:f16"}
    stand_in.requests.clear()
    done = put(bundle, address)
    assert [d.published.uploaded for d in done] == [False, True, True]


def test_large_files_go_in_pieces(
    bundle: Path, stand_in: Any, run_ollama: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ollama_api, "PIECE_BYTES", 1000)
    sizes: list[int] = []
    whole = ollama_api.OllamaApi.upload

    async def upload(self: Any, digest: str, file: Path, told: Callable[[int], None]) -> None:
        await whole(self, digest, file, lambda n: (sizes.append(n), told(n))[1])

    monkeypatch.setattr(ollama_api.OllamaApi, "upload", upload)
    put(bundle, run_ollama(stand_in), "Q8_0")
    assert max(sizes) <= 1000 and sum(sizes) == (bundle / "gguf" / "model-Q8_0.gguf").stat().st_size


def test_a_copy_that_ollama_makes_for_itself_is_said(bundle: Path, stand_in: Any, run_ollama: Run) -> None:
    """v0.30 and later write every GGUF anew: another digest, and nothing to compare the next time."""
    stand_in.copies = True
    (one,) = put(bundle, run_ollama(stand_in), "Q8_0")
    assert one.published.created and not one.published.shown.same_file


def test_the_ggufs_own_template_is_known(bundle: Path, stand_in: Any, run_ollama: Run) -> None:
    stand_in.prefers_jinja = True
    (one,) = put(bundle, run_ollama(stand_in), "Q8_0")
    assert one.published.shown.template == "GGUF" and one.rendered


def test_a_version_that_does_not_show_its_prompts(bundle: Path, stand_in: Any, run_ollama: Run) -> None:
    stand_in.shows_prompts = False
    assert put(bundle, run_ollama(stand_in), "Q8_0")[0].rendered is None


def test_without_logprobs_it_is_deployed_and_said(bundle: Path, stand_in: Any, run_ollama: Run) -> None:
    stand_in.logprobs = False
    (one,) = put(bundle, run_ollama(stand_in), "Q8_0")
    assert one.scores is None and isinstance(one.why, LogprobsMissing) and "llamacpp" in one.why.next_en
    assert one.to_json("ja")["no_scores"]["error"] == "A03"


def test_a_label_outside_the_twenty_is_not_guessed(bundle: Path, stand_in: Any, run_ollama: Run) -> None:
    del stand_in.engine.near["DENY"]
    (one,) = put(bundle, run_ollama(stand_in), "Q8_0")
    assert one.scores is None and isinstance(one.why, BackendProtocol) and "DENY" in one.why.detail


WRONG: list[tuple[dict[str, Any], type[So8tError], str]] = [
    ({"create_line": "no space left on device"}, BackendProtocol, "no space left"),
    ({"create_cut": True}, BackendProtocol, "no success"),
    ({"refuse_blobs": True}, BackendProtocol, "digest mismatch"),
    ({"redirect": "http://127.0.0.1:1"}, BackendProtocol, "HTTP 307"),
    ({"huge": True}, BackendProtocol, "bytes"),
    ({"template_lie": "{{ .Prompt }}"}, BackendProtocol, "not as sent: template"),
    ({"body": "<html>"}, BackendProtocol, "JSON"),
    ({"body": '{"done": true, "message": {"content": ""}}'}, BackendProtocol, "no answer"),
    ({"body": '{"done": true, "message": "x"}'}, BackendProtocol, "no answer"),
]


@pytest.mark.parametrize(("switches", "error", "word"), WRONG, ids=lambda v: "-".join(v) if isinstance(v, dict) else "")
def test_what_goes_wrong_is_said(
    bundle: Path, stand_in: Any, run_ollama: Run, switches: dict[str, Any], error: type[So8tError], word: str
) -> None:
    for name, value in switches.items():
        setattr(stand_in, name, value)
    with pytest.raises(error, match=word):
        put(bundle, run_ollama(stand_in), "Q8_0")


def test_silence_ends(bundle: Path, stand_in: Any, run_ollama: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollama, "ANSWER_SECONDS", 0.3)
    stand_in.silent = 1.0
    with pytest.raises(BackendDown, match="Timeout"):
        put(bundle, run_ollama(stand_in), "Q8_0")


def test_a_prompt_other_than_the_trainings_is_refused(
    bundle: Path, stand_in: Any, run_ollama: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(stand_in), "_render", lambda *_: "<|im_start|>user")
    with pytest.raises(BackendProtocol, match="prompt not as trained"):
        put(bundle, run_ollama(stand_in), "Q8_0")


def test_nobody_there(bundle: Path) -> None:
    with pytest.raises(BackendDown, match=r"127\.0\.0\.1:1"):
        put(bundle, "http://127.0.0.1:1")


@pytest.mark.parametrize("name", ["", "a:b", "../so8t", "-x", "a/b/c", "registry.ollama.ai/a/b", "名前", "x" * 81])
def test_names_that_mean_something_else_are_refused(bundle: Path, name: str) -> None:
    with pytest.raises(UsageError):
        asyncio.run(deploy(open_bundle(bundle), "http://127.0.0.1:1", name, Progress(lang="en")))


def test_an_unknown_quantisation_is_a_usage_error(bundle: Path) -> None:
    with pytest.raises(UsageError, match="Q5_K_M"):
        put(bundle, "http://127.0.0.1:1", "Q5_K_M")


def test_a_modelfile_that_points_elsewhere_is_refused(bundle: Path) -> None:
    for source in ("llama3.2", "./gguf/model-F16.gguf", "/etc/passwd"):
        path = bundle / "Modelfile.Q8_0"
        path.write_text(path.read_text().replace("./gguf/model-Q8_0.gguf", source))
        # the listing is no longer right either, so the bundle is taken as opened before
        from so8t.core.bundle import Bundle

        with pytest.raises(BundleBroken, match="FROM"):
            made = Bundle(bundle, json.loads((bundle / "bundle.json").read_text()), None)
            asyncio.run(deploy(made, "http://127.0.0.1:1", "so8t", Progress(lang="en"), ["Q8_0"]))
        path.write_text(path.read_text().replace(source, "./gguf/model-Q8_0.gguf"))


# -- through Ollama's own program -----------------------------------------------------------------------------------

PROGRAM = """#!{python}
import hashlib, json, os, pathlib, sys, urllib.request
assert sys.argv[1] == "create" and sys.argv[3] == "-f", sys.argv
assert not [k for k in os.environ if k.lower().endswith("_proxy")]
modelfile = pathlib.Path(sys.argv[4])
if {fails}:
    sys.exit("pulling manifest\\nError: something went wrong")
text = modelfile.read_text()
file = modelfile.parent / text.split()[1]
digest = "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
template = text.split('TEMPLATE \"\"\"')[1].rsplit('\"\"\"', 1)[0]
body = {{"model": sys.argv[2], "files": {{file.name: digest}}, "template": template, "parameters":
    {{"temperature": 0.7, "num_ctx": 1024, "stop": ["<|end|>", "<|user|>"]}}}}
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
for path, content in (("/api/blobs/" + digest, file.read_bytes()), ("/api/create", json.dumps(body).encode())):
    opener.open(urllib.request.Request(os.environ["OLLAMA_HOST"] + path, content)).read()
"""


def program(folder: Path, *, fails: bool) -> None:
    import sys

    path = folder / "ollama"
    path.write_text(PROGRAM.format(python=sys.executable, fails=fails), encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    return folder


def test_by_the_program(bundle: Path, stand_in: Any, run_ollama: Run, programs: Path) -> None:
    program(programs, fails=False)
    (one,) = put(bundle, run_ollama(stand_in), "Q8_0", by="cli")
    assert one.published.shown.same_file and one.scores and set(stand_in.models) == {"so8t:q8_0"}


def test_the_programs_last_word_is_passed_on(bundle: Path, stand_in: Any, run_ollama: Run, programs: Path) -> None:
    program(programs, fails=True)
    with pytest.raises(BackendProtocol, match="something went wrong"):
        put(bundle, run_ollama(stand_in), "Q8_0", by="cli")


def test_without_the_program(bundle: Path, stand_in: Any, run_ollama: Run, programs: Path) -> None:
    with pytest.raises(EnvironmentUnfit, match="ollama"):
        put(bundle, run_ollama(stand_in), "Q8_0", by="cli")
