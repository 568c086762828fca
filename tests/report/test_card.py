"""The card page: self-contained, inert, bilingual, honest about failure and small samples."""

from __future__ import annotations

import base64
import copy
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from so8t.core.errors import RecordInvalid
from so8t.report.card import SECTIONS, card_html, deployed_result, verdict_of
from so8t.report.sections import parity

VOID = {"meta", "input", "br", "hr", "img", "link", "line", "rect", "circle", "polyline"}
XSS = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"


def measure(value: float | None, n: int = 60) -> dict[str, Any]:
    low, high = (None, None) if value is None else (max(0.0, value - 0.1), min(1.0, value + 0.1))
    return {"value": value, "low": low, "high": high, "n": n}


def result() -> dict[str, Any]:
    bins = [
        {"low": i / 5, "high": (i + 1) / 5, "n": 9 * i, "confidence": i / 5 + 0.1, "accuracy": i / 5} for i in range(5)
    ]
    return {
        "n": 160,
        "confusion": [[46, 8, 2], [9, 40, 3], [0, 7, 45]],
        "accuracy": measure(0.82, 160),
        "f1": {name: measure(0.8, 160) for name in ("ALLOW", "ESCALATE", "DENY", "macro")},
        "refuse_recall": measure(0.87, 52),
        "danger_allowed": measure(0.0, 52),
        "false_allow": measure(0.16, 55),
        "over_refusal": measure(0.04, 56),
        "over_escalation": measure(0.14, 12),
        "ece": {"before": 0.13, "after": 0.04, "bins_before": bins, "bins_after": bins},
        "brier": 0.4,
        "nll": 0.7,
        "per_domain": {
            "medical": {"n": 20, "accuracy": measure(0.6, 20)},
            "general": {"n": 40, "accuracy": measure(0.9, 40)},
        },
        "per_register": {"敬体": {"n": 33, "accuracy": measure(0.7, 33), "danger_allowed": measure(0.0, 12)}},
        "look_alikes": {"all": {"n": 33, "accuracy": measure(0.7, 33), "over_refusal": measure(0.0, 33)}},
        "selective": {
            "n": 160,
            "fixed_deny": 4,
            "fixed_deny_wrong": 1,
            "fixed_escalate": 2,
            "mix": [0.35, 0.33, 0.32],
            "mix_given": False,
            "requests_per_day": 200,
            "aurc": {"wrong": measure(0.1), "wrong_allow": measure(0.05), "unsorted": 0.2, "best": 0.05},
            "curve": [{"coverage": c, "wrong": measure(c / 4), "wrong_allow": measure(c / 8)} for c in (0.1, 0.3, 0.6)],
            "operating": [
                {
                    "share": share,
                    "per_day": 80,
                    "confidence": None if not share else 0.6,
                    "exhausted": share > 0.4,
                    "humans": measure(0.4),
                    "wrong": measure(0.1),
                    "false_allow": measure(0.0, 40),
                }
                for share in (0.0, 0.1, 0.5)
            ],
        },
        "per_judge": {"model": {"n": 160, "accuracy": measure(0.7, 160), "abstained": 0}},
        "per_attack": {"base64": {"n": 8, "accuracy": measure(0.6, 8)}},
    }


def example() -> dict[str, Any]:
    rows = [
        {"name": "macro_f1", "value": 0.8, "bound": 0.6, "passed": True},
        {"name": "refuse_recall", "value": 0.87, "bound": 0.9, "passed": False},
        {"name": "danger_allowed", "value": 0.0, "bound": 0.05, "passed": True},
        {"name": "seconds_per_request", "value": 2.0, "bound": 3.0, "passed": True},
    ]
    check = {
        "name": "model",
        "precision": "bf16",
        "max_logit_difference": 0.016,
        "kl": 3e-5,
        "floor": 0.0159,
        "passed": True,
    }
    return {
        **required(),
        "demo": True,
        "machine": {"cpu": "Xeon", "cores": 2, "torch": "2.13", "llama.cpp": "x"},
        "model": {"base": "Phi-3 shape", "parameters": 4_529_920, "layers": 4},
        "data": {
            "texts": 10, "characters": 9000, "requests": {"train": 2086, "test": 160}, "synthetic": 5,
            "licenses": {"Apache-2.0": 10},
        },
        "training": {
            "steps": 3, "seconds": 92.4, "first_loss": 3.0, "last_loss": 1.0, "weights": "average",
            "history": [
                {"step": i, "loss": 3.0 - i, "pet": 1.0, "pet_weight": 0.001 if i < 2 else 0.005, "rate": 1e-3}
                for i in range(3)
            ],
        },
        "burnin": {"checks": [check | {"plan_target_met": False}], "layers": 4, "max_layer_error": 2e-14},
        "parity": {"prompts": 20, "equal": 19, "ties": 1, "tokens": 32, "strings": 200, "strings_equal": 199},
        "files": [
            {"name": "m.gguf", "quantisation": "Q8_0", "bytes": 5_412_330, "tokens_per_second": 905.0,
             "prompt_tokens_per_second": 800.0, "perplexity": 66.1, "perplexity_change": measure(0.01),
             "verdicts": {"requests_per_second": 8.0, "p50": 0.2, "p95": 0.4}},
        ],
        "quantisation": {"reference": "F16", "texts": 5, "tokens": 900, "rows": {
            "Q8_0": {"kl": 1e-5, "newly_allowed": 0, "agreement": measure(0.99)},
        }},
        "evaluation": {"file": "own.jsonl", "sha256": "ef" * 32, "requests": 160},
        "deployed": "Q8_0",
        "results": {q: {"splits": {"test": result()}, "temperature": 1.3} for q in ("F16", "Q8_0", "Q4_K_M")},
        "thresholds": {"passed": False, "label": "デモ用方針", "rows": rows},
        "limits_ja": ["日本語だけで測りました。"],
        "limits_en": ["Measured in Japanese only."],
        "budget": [
            {"stage": "train", "seconds": 92.4, "budget": 90}, {"stage": "prove", "seconds": 3.0, "budget": None},
        ],
        "data_warnings": ["医療が 20 件と少なめです。"],
    }  # fmt: skip


def required() -> dict[str, Any]:
    return {
        "schema": 1,
        "name": "tiny",
        "profile": "tiny",
        "created": "2026-11-23T22:36:00+09:00",
        "payload_digest": "ab" * 32,
        "policy": {"id": "demo", "label": "デモ用方針", "version": "1", "digest": "cd" * 32},
    }


class Page(HTMLParser):
    """Collects tags, attributes, and per heading the text by language; checks that tags nest."""

    HEADINGS = frozenset({"h1", "h2", "h3", "th", "dt", "figcaption", "label"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.stack: list[tuple[str, str]] = []
        self.headings: list[tuple[str, dict[str, str], dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.add(tag)
        self.attributes += [(tag, k, v or "") for k, v in attrs]
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag in self.HEADINGS:
            self.headings.append((tag, {}, found))
        if tag not in VOID:
            self.stack.append((tag, str(found.get("lang") or "")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self.stack]
        if "style" not in tags:
            self.text += data
        if self.headings and data.strip() and set(tags) & self.HEADINGS:
            lang = next((lang for _, lang in reversed(self.stack) if lang), "")
            lang = lang if any(t == "span" for t in tags) else ""
            texts = self.headings[-1][1]
            texts[lang] = texts.get(lang, "") + data


def page(card: dict[str, Any], first: str = "ja") -> Page:
    return Page(card_html(card, first))


def test_page_is_self_contained_under_a_strict_policy() -> None:
    html = card_html(example())
    found = Page(html)
    assert not found.tags & {"script", "img", "link", "iframe", "object", "embed", "form", "base", "a "}
    assert not [a for a in found.attributes if a[1] in {"src", "style", "srcset", "action"} or a[1].startswith("on")]
    assert all(value.startswith("#") for _, key, value in found.attributes if key == "href")
    assert {u for u in re.findall(r"https?://[^\s\"'<]*", html)} == {"http://www.w3.org/2000/svg"}
    assert "@import" not in html and "url(" not in html
    style = re.findall(r"<style>(.*?)</style>", html, re.S)
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    policy = next(v for t, k, v in found.attributes if t == "meta" and v.startswith("default-src"))
    assert len(style) == 1 and policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_ids_are_unique_and_every_reference_is_met() -> None:
    found = page(example())
    assert len(found.ids) == len(set(found.ids))
    wanted = [v for _, k, v in found.attributes if k in {"aria-labelledby", "for"}]
    wanted += [v[1:] for _, k, v in found.attributes if k == "href"]
    assert {word for value in wanted for word in value.split()} <= set(found.ids)


@pytest.mark.parametrize("key", sorted(required()))
def test_a_missing_required_key_is_named(key: str) -> None:
    with pytest.raises(RecordInvalid, match=key):
        card_html({k: v for k, v in required().items() if k != key})


def test_required_keys_alone_make_a_page_that_claims_nothing() -> None:
    found = page(required())
    assert "未判定" in found.text and "ab" * 32 in found.text and "svg" not in found.tags
    assert [h for h in found.headings if h[0] == "h2" and h[2].get("id") not in {"summary", "origin"}] == []


def test_every_section_is_there_in_order_when_its_data_is() -> None:
    ids = [h[2]["id"] for h in page(example()).headings if h[0] == "h2"]
    assert ids == ["summary", *(key for key in SECTIONS if key not in ELSEWHERE)]


# Sections whose own tests show them on a page.
ELSEWHERE = {"consistency", "tasks"}
# Names that are the same in both languages, or data.
NEUTRAL = {"F16", "Q8_0", "Q4_K_M", "KL", "CPU", "OS", "Python", "torch", "transformers", "llama.cpp", "bf16", "model",
           "Apache-2.0", "seconds_per_request", "日本語 + English", "日本語", "English"}  # fmt: skip


@pytest.mark.parametrize("first", ["ja", "en"])
def test_headings_are_in_both_languages(first: str) -> None:
    headings = page(example(), first).headings
    assert len(headings) > 60
    for _, texts, _ in headings:
        if not texts or "".join(texts.values()).strip() in NEUTRAL or set(texts.get("", "").split()) & NEUTRAL:
            continue
        assert {"ja", "en"} <= set(texts), texts
        assert re.search(r"[ぁ-んァ-ヶ一-龠]", texts["ja"]) or "ECE" in texts["ja"], texts
        assert not re.search(r"[ぁ-んァ-ヶ一-龠]", texts["en"]), texts


def test_the_first_language_comes_first() -> None:
    assert page(example()).headings[3][0] == "h1"
    assert list(page(example()).headings[3][1]) == ["ja", "en"]
    assert list(page(example(), "en").headings[3][1]) == ["en", "ja"]
    assert '<html lang="en">' in card_html(example(), "en")


def poison(value: Any, key: str = "") -> Any:
    """XSS in every text, and beside every key of a free mapping."""
    if isinstance(value, dict):
        free = key in {
            "machine", "licenses", "requests", "per_domain", "per_attack", "per_register", "per_judge", "look_alikes",
            "results", "model",
        }  # fmt: skip
        extra = {XSS: copy.deepcopy(next(iter(value.values())))} if free else {}
        return {k: poison(v, k) for k, v in (value | extra).items()}
    if isinstance(value, list):
        return [poison(v, key) for v in value]
    return XSS if isinstance(value, str) and key not in {"deployed"} else value


def test_markup_in_any_text_stays_inert() -> None:
    html = card_html(poison(example()))
    found = Page(html)
    assert "<script" not in html and "<img" not in html and "script" not in found.tags and "img" not in found.tags
    assert html.count("alert(1)") > 40 and "{{7*7}}" in html
    assert not [a for a in found.attributes if a[1].startswith("on")]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] + [leaf for k, v in items for leaf in leaves(v, (*path, k))]


@pytest.mark.parametrize("junk", [None, float("nan"), XSS, [], {"x": 1}, -1e300, True])
def test_junk_anywhere_neither_breaks_nor_leaks(junk: Any) -> None:
    whole = example()
    whole["results"] = {"Q8_0": whole["results"]["Q8_0"]}
    paths = [p for p in leaves(whole) if p]
    for start in range(11):
        card = copy.deepcopy(whole)
        for path in paths[start::11]:
            node: Any = card
            try:
                for key in path[:-1]:
                    node = node[key]
                node[path[-1]] = copy.deepcopy(junk)
            except (KeyError, TypeError, IndexError):
                continue  # something above it is junk already
        html = card_html(card)
        assert "<script" not in html and "<img" not in html and " nan" not in html.lower()


def test_a_failed_threshold_is_said_in_words() -> None:
    found = page(example())
    assert "✕ 不合格 FAILED" in found.text
    assert "4 項目のうち 1 項目に達していません" in found.text
    assert "1 of the 4 thresholds" in found.text


@pytest.mark.parametrize(
    ("thresholds", "verdict"),
    [
        (None, "unjudged"),
        ({"rows": []}, "unjudged"),
        ({"passed": True, "rows": [{"passed": True}]}, "passed"),
        ({"passed": True, "rows": [{"passed": True}, {"passed": False}]}, "failed"),
        ({"passed": True, "rows": [{}]}, "failed"),
        ({"passed": "yes", "rows": []}, "failed"),
    ],
)
def test_verdict_fails_closed(thresholds: Any, verdict: str) -> None:
    assert verdict_of({"thresholds": thresholds}) == verdict


def test_bounds_show_their_direction_also_for_unknown_figures() -> None:
    text = page(example()).text
    assert "≥ 90.0 %" in text and "> 95.0 %" in text and "≤ 5.0 %" in text and "≤ 3.000" in text


def test_small_samples_and_zero_failures_are_marked() -> None:
    text = page(example()).text
    assert "少数 n = 12" in text and "small sample n = 12" in text
    assert "< 3/52 = 5.8 %" in text
    assert "区間が基準をまたぐ" in text


def test_plain_words_give_natural_frequencies() -> None:
    text = page(example()).text
    assert "危険な依頼 52 件: 拒否 45、人へ回す 7、誤って許可 0。" in text


def test_demo_is_never_said_to_be_fit_for_work() -> None:
    passed = example()
    passed["thresholds"] = {"passed": True, "rows": []}
    assert "実際の業務の依頼を判定すること" in page(passed).text
    assert "運用で" not in page(passed).text
    passed["demo"] = False
    assert "実際の業務の依頼を判定すること" not in page(passed).text


@pytest.mark.parametrize(("ja", "en"), [(["甲", "乙"], ["A"]), (["甲"], []), ([], ["A"]), ("甲", None)])
def test_a_limit_without_translation_is_shown_to_both(ja: Any, en: Any) -> None:
    html = card_html({**required(), "limits_ja": ja, "limits_en": en})
    for text in [*(ja or []), *(en or [])]:
        assert f'<li class="two">{text}</li>' in html


def test_deployed_falls_back_to_what_was_measured() -> None:
    card = {"deployed": "Q2", "results": {"F16": {"splits": {"calibration": {"n": 3}}}}}
    assert deployed_result(card) == ("F16", {"n": 3}, "calibration")
    assert deployed_result({}) == ("", {}, "")


def test_differing_parity_fails_and_ties_do_not() -> None:
    text = " ".join(page(example()).text.split())
    assert "19 / 20 ✓ 合格" in text.replace("20✓", "20 ✓") and "199 / 200✕ 不合格" in text


def test_plan_targets_of_the_fold_apply_to_logits_only() -> None:
    card = example()
    good = {"precision": "fp64", "max_logit_difference": 1e-14, "kl": 0.0, "passed": True, "plan_target_met": True}
    card["burnin"] = {"checks": [good | {"name": "layers"}, good | {"name": "model", "kl": 1e-5}]}
    found = card_html(card).split('id="burnin"')[1].split("</table>")[0]
    assert found.count('class="met"') == 0 and found.count('class="unmet"') == 1 and found.count('class="none"') == 1


def test_rendering_is_deterministic_and_small() -> None:
    assert card_html(example()) == card_html(example())
    assert len(card_html(example())) < 120_000


@pytest.mark.parametrize("change", [lambda c: c.update(results={}), lambda c: c.pop("deployed")])
def test_missing_results_leave_the_rest(change: Callable[[dict[str, Any]], Any]) -> None:
    card = example()
    change(card)
    assert "合格基準" in page(card).text


def test_conversations_that_differ_and_stops_that_do_not_stop_fail() -> None:
    facts = {"conversations": 74, "conversations_equal": 73, "stops": 3, "stops_working": 3}
    rows = parity(facts)
    assert [(r["value"], r["passed"]) for r in rows] == [("73 / 74", False), ("3 / 3", True)]
    assert not any(r["passed"] for r in parity(dict.fromkeys(facts, 0)))  # nothing asked is nothing proved
    assert parity({"conversations": "x", "stops": None}) == []
