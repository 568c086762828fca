"""The sections on risk, slices and quantisations: what they say, what they leave out, and what junk does to them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from so8t.report.card_quantisations import quantisations
from so8t.report.card_selective import selective
from so8t.report.card_slices import REGISTER_WORDS, look_alikes, slice_tables
from so8t.report.figures import FIGURES
from so8t.report.reading import cell
from so8t.report.sections import threshold_rows


def measure(value: float | None, n: int = 60) -> dict[str, Any]:
    return {"value": value, "low": value, "high": value, "n": n}


def operating(share: float, **changes: Any) -> dict[str, Any]:
    row = {
        "share": share, "moved": 3, "exhausted": False, "per_day": 81, "confidence": 0.62 if share else None,
        "humans": measure(0.405), "wrong": measure(0.1, 90), "false_allow": measure(0.0, 52),
        "danger_allowed": measure(None, 0), "over_refusal": measure(0.02, 20),
    }  # fmt: skip
    return row | changes


def risk(**changes: Any) -> dict[str, Any]:
    point = {"coverage": 0.4, "wrong": measure(0.1), "wrong_allow": measure(0.0)}
    found = {
        "n": 100, "fixed_deny": 7, "fixed_deny_wrong": 2, "fixed_escalate": 5, "mix": [0.34, 0.33, 0.33],
        "mix_given": False, "requests_per_day": 200, "curve": [point, point | {"coverage": 0.6}],
        "aurc": {"wrong": measure(0.05), "wrong_allow": measure(0.01), "unsorted": 0.13, "best": 0.02},
        "operating": [operating(0.0), operating(0.1), operating(0.5, exhausted=True)],
    }  # fmt: skip
    return {"selective": found | changes}


def test_the_budget_in_natural_frequencies() -> None:
    found = selective(risk(), "ja")
    first, second, last = found["rows"]
    assert (first["humans"], first["per_day"], first["confidence"]) == ("40", "81", "—")
    assert second["confidence"] == "≤ 0.62" and "さらに 10 %" in second["name"].ja and last["exhausted"]
    wrong, false_allow, danger, refused = first["cells"]
    assert wrong["text"] == "10.0 %" and false_allow["small"] == "< 3/52 = 5.8 %"
    assert danger["text"] == "—" and refused["few"] and (refused["n"], false_allow["n"]) == ("n 20", "")


def test_it_says_what_the_budget_cannot_move() -> None:
    words = " ".join(w.ja + w.en for w in selective(risk(), "ja")["notes"])
    assert "7 件は、どの行でも拒否のまま" in words and "nobody may lift them" in words and "5 件" in words
    assert "34.0 %" in words and "prove.mix" in words
    given = " ".join(w.ja for w in selective(risk(mix_given=True, mix=[0.9, 0.07, 0.03]), "ja")["notes"])
    assert "許可 90.0 %" in given and "重みを付けた" in given


@pytest.mark.parametrize("junk", [None, [], {}, "x", 3, [1], [{"share": "x"}], [{"share": 0.1, "humans": 1}]])
def test_without_points_there_is_no_section(junk: Any) -> None:
    assert selective(risk(operating=junk), "ja") == {} and selective({"selective": junk}, "ja") == {}


def test_slices_show_the_figures_that_matter_and_registers_too() -> None:
    part = {"n": 40, **{name: measure(0.25, 40) for name in ("accuracy", "danger_allowed", "false_allow")}}
    tables = slice_tables({"per_register": {"敬体": part, "方言": part}, "per_domain": {"medical": part}})
    assert [t["title"].ja for t in tables] == ["分野ごと", "文体ごと"]
    assert tables[1]["rows"][0]["words"] == REGISTER_WORDS["敬体"] and tables[1]["rows"][1]["words"].ja == "方言"
    assert [c["text"] for c in tables[0]["rows"][0]["cells"]] == ["25.0 %", "25.0 %", "25.0 %", "—", "—"]
    assert slice_tables({"per_domain": {"medical": {"n": 3, "accuracy": measure(1.0, 3)}}}) == []  # an older card


def test_look_alikes_are_compared_with_plain_ones_in_a_fixed_order() -> None:
    part = {"n": 40, "accuracy": measure(0.5, 40), "over_refusal": measure(0.0, 40), "over_escalation": measure(1, 40)}
    found = look_alikes({"look_alikes": {"plain": part, "new": part, "all": part, "paired": 3}})
    assert [r["words"].ja for r in found["rows"]] == ["紛らわしいもの(下の二つ)", "その他の無害な依頼", "new"]
    assert found["rows"][0]["cells"][1]["small"] == "< 3/40 = 7.5 %" and look_alikes({}) == {}


def test_a_cell_never_says_a_rate_is_nought_or_perfect_without_its_bound() -> None:
    assert cell(FIGURES["danger_allowed"], measure(0.0, 300))["small"] == "< 3/300 = 1.0 %"
    assert cell(FIGURES["accuracy"], measure(1.0, 10))["small"] == "> 1 − 3/10 = 70.0 %"
    assert cell(FIGURES["danger_allowed"], measure(0.0, 2))["small"] == "< 3/2 = 100.0 %"
    assert cell(FIGURES["danger_allowed"], measure(0.1, 300))["small"] == "10.0–10.0"
    assert cell(FIGURES["danger_allowed"], {"value": float("nan")})["text"] == "—"


def test_a_threshold_and_its_figure_have_one_interval() -> None:
    """Drawing families gives [0, 0] where no failure was seen; the bound is that of 3/n, in every table."""
    result = {"danger_allowed": measure(0.0, 8)}
    judged = {"rows": [{"name": "danger_allowed", "value": 0.0, "bound": 0.05, "passed": True}]}
    (row,) = threshold_rows({"thresholds": judged}, result)
    assert row["interval"] == cell(FIGURES["danger_allowed"], measure(0.0, 8))["small"] == "< 3/8 = 37.5 %"
    assert any("またぐ" in note.ja for note in row["notes"])


def side_by_side() -> dict[str, Any]:
    verdicts = {"requests_per_second": 8.4, "p50": 0.21, "p95": 3.2, "n": 330, "concurrency": 2}
    names = ("F16", "Q8_0", "Q4_K_M")
    files = [
        {"quantisation": q, "bytes": 1e6, "tokens_per_second": 90.0, "prompt_tokens_per_second": 800.0,
         "perplexity": 700.0, "verdicts": verdicts}
        for q in names
    ]  # fmt: skip
    files[1]["perplexity_change"] = {"value": 0.012, "low": 0.01, "high": 0.014, "n": 50}
    files[2]["perplexity_change"] = {"value": -0.00044, "low": -0.002, "high": 0.001, "n": 50}
    row = {"kl": 1e-5, "agreement": measure(0.99, 330), "newly_allowed": 1}
    compared = {"reference": "F16", "texts": 50, "tokens": 8142, "rows": {"Q8_0": row, "Q4_K_M": row}}
    return {"files": files, "quantisation": compared, "results": {q: {"temperature": 1.2} for q in names}}


def test_three_quantisations_side_by_side_with_the_plan_s_figures() -> None:
    found = quantisations(side_by_side(), "Q8_0")
    rows = {words.ja: cells for words, cells in found["rows"]}
    assert found["names"] == [("F16", False), ("Q8_0", True), ("Q4_K_M", False)]
    assert [c["text"] for c in rows["困惑度の変化"]] == ["—", "+1.20 %", "-0.044 %"]
    assert [c["met"] for c in rows["困惑度の変化"]] == [None, False, True]
    assert rows["困惑度の変化"][1]["note"].ja == "計画 < 1 %" and rows["困惑度の変化"][2]["note"].ja == "計画 2–3 %"
    assert [c["text"] for c in rows["判定まで 中央値(計画 < 3 s)"]] == ["210 ms"] * 3
    assert [c["met"] for c in rows["判定まで 95 %(計画 < 3 s)"]] == [False] * 3
    assert rows["判定の一致"][0]["note"].ja == "基準" and rows["判定の一致"][1]["text"] == "99.0 %"
    assert rows["読む速さ (tokens/s)"][0]["text"] == "800" and rows["判定の速さ (件/s)"][0]["text"] == "8.4"
    assert any("50 本(8,142 トークン)" in n.ja for n in found["notes"])


def test_what_was_not_measured_is_not_shown_and_it_is_said() -> None:
    card = side_by_side()
    for file in card["files"]:
        for key in ("perplexity", "perplexity_change", "verdicts"):
            file.pop(key, None)
    card["quantisation"] = {"perplexity_missing": "cyllama"}
    found = quantisations(card, "Q8_0")
    assert not [w for w, _ in found["rows"] if re.search("困惑度|判定", w.ja)]
    assert [n.ja for n in found["notes"]] == ["困惑度は測れませんでした(cyllama がありません)。"]


def test_requests_that_the_model_left_unanswered_are_said() -> None:
    from so8t.report.sections import decisions

    found = decisions({"n": 3, "accuracy": measure(0.5, 3), "model_failed": 2}, "ja")
    assert len(found["notes"]) == 1 and found["notes"][0].ja.startswith("2 件")
    assert decisions({"n": 3, "accuracy": measure(0.5, 3), "model_failed": 0}, "ja")["notes"] == []
