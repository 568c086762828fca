"""What the detectors that ship with LiteLLM and NeMo Guardrails would block of the benchmark's requests.

In an environment of their own, without so8t:

    python3 -m venv /tmp/other && /tmp/other/bin/pip install litellm fastapi nemoguardrails yara-python
    /tmp/other/bin/python benchmarks/other_detectors.py dev detectors-dev.json
    python benchmarks/judgement.py --detectors detectors-dev.json

litellm    every category of its content filter at the lowest severity, and its prompt injection heuristic
nemo       its injection detection (YARA: code, SQL, template, XSS). Its jailbreak heuristics, content safety and self
           check ask a model that neither ships with it nor is here, so they are not measured.

A package that is not installed is left out. What a detector blocks counts as DENY, the rest as ALLOW.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent / "judgement"
Blocks = Callable[[str], bool]


def litellm() -> Blocks:
    import litellm.proxy as proxy
    from fastapi import HTTPException
    from litellm.proxy.guardrails.guardrail_hooks.litellm_content_filter.content_filter import ContentFilterGuardrail
    from litellm.proxy.hooks.prompt_injection_detection import _OPTIONAL_PromptInjectionDetection

    folder = Path(next(iter(proxy.__path__))) / "guardrails" / "content_filter_data" / "categories"
    names = sorted(p.stem for p in folder.iterdir() if p.suffix in (".yaml", ".json"))
    categories = [{"category": n, "enabled": True, "action": "BLOCK", "severity_threshold": "low"} for n in names]
    guard = ContentFilterGuardrail("all", categories=categories, severity_threshold="low")
    heuristic = _OPTIONAL_PromptInjectionDetection()
    print(f"litellm: {len(guard.loaded_categories)} categories loaded", file=sys.stderr)

    def blocks(text: str) -> bool:
        try:
            guard._filter_single_text(text)
        except HTTPException:
            return True
        return bool(heuristic.check_user_input_similarity(text))

    return blocks


def nemo() -> Blocks:
    from nemoguardrails.library.injection_detection import actions

    folder = Path(actions.__file__).parent / "yara_rules"
    rules = actions._load_rules(folder, ("code", "sqli", "template", "xss"))
    return lambda text: bool(actions._reject_injection(text, rules)[0])


DETECTORS: dict[str, tuple[str, Callable[[], Blocks]]] = {
    "litellm": ("litellm", litellm),
    "nemo": ("nemoguardrails", nemo),
}


def main() -> int:
    if len(sys.argv) != 3 or sys.argv[1] not in ("dev", "test"):
        print(__doc__)
        return 2
    split, out = sys.argv[1], Path(sys.argv[2])
    rows = [json.loads(line) for path in sorted((HERE / split).glob("*.jsonl")) for line in path.open(encoding="utf-8")]
    found = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    for name, (package, make) in DETECTORS.items():
        if find_spec(package) is None:
            print(f"{name}: not installed", file=sys.stderr)
            continue
        blocks = make()
        key = f"{name} {metadata.version(package)}"
        found[key] = [row["id"] for row in rows if blocks(row["query"])]
        print(f"{key}: {len(found[key])} of {len(rows)} blocked", file=sys.stderr)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
