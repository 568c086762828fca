"""so8t policy test | measure | check | diff | list: what a policy file does, before anybody relies on it."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from so8t.core.errors import UsageError
from so8t.core.packaged import packaged, policy_text
from so8t.core.types import Decision
from so8t.decide.policy import Policy, parse_policy
from so8t.decide.policy_change import change
from so8t.judge.policy_cases import Case, Rates, Result, RuleTally, rates, read_cases, run_cases, tally

Action = Callable[[argparse.Namespace], int]
KINDS = {"same": "同じ / same", "tighter": "厳しくなるだけ / only tighter", "other": "緩みうる / may be looser"}


def policy(options: argparse.Namespace) -> int:
    """Dispatch on options.action; options.files are cases (test, measure), one policy (check) or two (diff)."""
    actions: Mapping[str, Action] = {"test": test, "measure": measure, "check": check, "diff": diff, "list": listing}
    return actions[options.action](options)


def open_policy(name: str) -> Policy:
    """A ready-made policy by name or a file by path. Raises PolicyInvalid, SourceMissing, SourceUnreadable."""
    return parse_policy(*policy_text(name))


def test(options: argparse.Namespace) -> int:
    """The rules against cases; without files, those that ship with the policy. Exit code 1 if any fails."""
    parsed = open_policy(options.policy)
    files = [Path(f) for f in options.files] or [packaged("policies", "cases", f"{options.policy}.jsonl")]
    results = run_cases([case for file in files for case in read_cases(file, parsed)], parsed)
    wrong = [result for result in results if result.problems]
    by_rule = tally(results, parsed)
    unused = [id for id, t in by_rule.items() if not t.found]
    if options.json:
        _print_json(
            cases=len(results),
            different=[r.to_json() for r in wrong],
            rules={id: dataclasses.asdict(t) for id, t in by_rule.items()},
            unused=unused,
        )
    else:
        _print_test(results, wrong, by_rule, unused)
    return 1 if wrong else 0


def _print_test(
    results: Sequence[Result], wrong: Sequence[Result], by_rule: Mapping[str, RuleTally], unused: Sequence[str]
) -> None:
    for result in wrong:
        print(f"{result.case.where}: {'; '.join(result.problems)}  [{' '.join(result.opinion.rules)}]")
    print("規則 / rule: 捕捉 hit, 見逃し miss, 際どい無害 near miss, 誤警報 false alarm")
    for id, t in by_rule.items():
        print(f"  {id}: {t.hits} {t.misses} {t.near} {t.alarms}")
    if unused:
        print(f"どの事例でも働かない規則 / rules no case needs: {' '.join(unused)}")
    print(f"{len(results) - len(wrong)} / {len(results)}")


def measure(options: argparse.Namespace) -> int:
    """How often the rules put a floor under labelled requests of any origin; nothing fails.

    Requests with the default levels are read with the policy's own of the same rank. --domain keeps those of one.
    """
    parsed = open_policy(options.policy)
    if not options.files:
        raise UsageError(detail="policy measure FILE ... --policy NAME")
    cases: list[Case] = []
    for file in options.files:
        cases += read_cases(Path(file), parsed, foreign_levels=True)
    if options.domain:
        cases = [case for case in cases if case.request.domain == options.domain]
    found = rates(run_cases(cases, parsed), parsed)
    if options.json:
        _print_json(
            policy=parsed.id, digest=parsed.digest, **{d.value: dataclasses.asdict(r) for d, r in found.items()}
        )
    else:
        print("\n".join(_rate_line(r) for r in found.values()))
    return 0


def _rate_line(found: Rates) -> str:
    if found.label is Decision.ALLOW:
        return f"ALLOW {found.count}: 誤警報 / false alarms {found.floor_any} ({found.share(found.floor_any):.1%})"
    parts = {
        "下限 DENY / floor DENY": found.floor_deny,
        "下限あり / any floor": found.floor_any,
        "規則だけで / by rules alone": found.floor_by_rules,
    }
    return f"{found.label} {found.count}: " + ", ".join(f"{k} {n} ({found.share(n):.1%})" for k, n in parts.items())


def check(options: argparse.Namespace) -> int:
    """Read a policy; a bad one is an error with file:line."""
    (name,) = _names(options, 1)
    parsed = open_policy(name)
    facts = _facts(parsed) | {
        "words": len(parsed.words),
        "markers": len(parsed.markers),
        "domains": sorted(parsed.domains),
        "forbidden": len(parsed.answer.forbidden),
        "canaries": len(parsed.answer.canaries),
        "targets": len(parsed.review.targets),
        "deadline_hours": parsed.review.deadline_hours,
        "four_eyes": len(parsed.review.four_eyes),
        "complete": parsed.complete,
    }
    if options.json:
        _print_json(**facts)
    else:
        for key, value in facts.items():
            print(f"{key}: {' '.join(value) if isinstance(value, list) else value}")
        if not parsed.complete:
            print("[end] がありません:書きかけのファイルと見分けがつきません / no [end]: it might be cut off")
    return 0


def _facts(parsed: Policy) -> dict[str, Any]:
    hard = [rule.effect for rule in parsed.rules if rule.hard]
    return {
        "id": parsed.id,
        "version": parsed.version,
        "label": parsed.label,
        "digest": parsed.digest,
        "levels": list(parsed.levels.names),
        "rules": len(parsed.rules),
        "hard_deny": hard.count(Decision.DENY),
        "hard_escalate": hard.count(Decision.ESCALATE),
    }


def diff(options: argparse.Namespace) -> int:
    """What differs, and whether the new policy can only be stricter. Exit code 0 for same or tighter, 1 for other."""
    old, new = map(open_policy, _names(options, 2))
    found = change(old, new)
    if options.json:
        _print_json(**found.to_json())
    else:
        for difference in found.differences:
            print(f"{' ' if difference.harmless else '!'} {difference.text}")
        print(KINDS[found.kind])
    return 1 if found.kind == "other" else 0


def listing(options: argparse.Namespace) -> int:
    """The ready-made policies."""
    _names(options, 0)
    rows = []
    for file in sorted(packaged("policies").glob("*.toml")):
        parsed, cases = open_policy(str(file)), packaged("policies", "cases", f"{file.stem}.jsonl")
        count = len(read_cases(cases, parsed)) if cases.is_file() else 0
        rows.append({"name": file.stem, "label": parsed.label, "rules": len(parsed.rules), "cases": count})
    if options.json:
        _print_json(policies=rows)
    else:
        for row in rows:
            print(f"{row['name']:<20} 規則 {row['rules']:>3}  事例 {row['cases']:>3}  {row['label']}")
    return 0


def _names(options: argparse.Namespace, count: int) -> list[str]:
    if len(options.files) != count:
        raise UsageError(detail=f"policy {options.action}: {count} file(s), not {len(options.files)}")
    return list(map(str, options.files))


def _print_json(**values: Any) -> None:
    print(json.dumps(values, ensure_ascii=False))
