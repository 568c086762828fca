"""The training report shows every curve and every event, whole and inert, whatever the records hold."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import random
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t.report.training_figures import Training, statements, summary_rows
from so8t.report.training_log import ordered_steps
from so8t.report.training_report import training_report
from so8t.report.training_words import checkpoints_words, event_facts, event_words, pause_seconds, told

EVIL = "<script>alert(1)</script>\u2028\u202e\u200b\"'&"
Record = dict[str, Any]


def history(steps: int, angles: int = 4, every: int = 25) -> list[Record]:
    rng = random.Random(8)
    rows: list[Record] = []
    for i in range(steps):
        part = i / steps
        row: Record = {
            "step": i, "loss": 2 + 5 * math.exp(-6 * part) + 0.2 * rng.random(), "pet": 3.5 - part,
            "pet_weight": 0.001 if part < 0.2 else 0.005 if part < 0.6 else 0.01, "rate": 1e-3 * (1 - part),
            "gradient_norm": math.exp(rng.gauss(0, 1)), "tokens": 400 + i % 7,
        }  # fmt: skip
        if i % every == 0 and angles:
            row["angles"] = [0.1 * part * (layer + 1) / angles for layer in range(angles)]
        rows.append(row)
    return rows


def at(minute: int, step: int, event: str, **facts: Any) -> Record:
    return {"time": f"2026-11-25T{20 + minute // 60}:{minute % 60:02}:00+0900", "step": step, "event": event, **facts}


EVENTS: list[Record] = [
    at(0, 0, "start", steps=200),
    at(3, 30, "checkpoint", seconds=0.1),
    at(6, 60, "checkpoint", seconds=0.1),
    at(7, 60, "gpu", temperature=71.5, memory_used=9 * 2**30, memory_total=12 * 2**30, utilisation=97.0, watts=160.0),
    at(8, 70, "hot", temperature=76.0, paused=False),
    at(9, 80, "split", pieces=2, ja="メモリが足りず、二つに分けました", en="out of memory: in two pieces"),
    at(10, 60, "rollback", ja="ステップ 60 に戻りました", en="back at step 60", diverged="step 85"),
    at(12, 110, "hot", temperature=81.0, paused=True),
    at(16, 110, "cool", temperature=69.0, seconds=240.0, why="cool"),
    at(16, 120, "gpu", temperature=69.0, memory_used=9 * 2**30, memory_total=12 * 2**30, utilisation=None, watts=None),
    at(18, 130, "stop"),
    at(40, 130, "resume", steps=200),
    at(50, 150, "advice", kind="flat", ja=EVIL, en="the loss is flat"),
    at(60, 199, "validation", steps=200, validation_loss=2.25, validation_loss_average=2.125, weights="average"),
]  # fmt: skip
FACTS: Record = {
    "name": "夜の学習", "steps": 200, "validation_loss": 2.25, "validation_loss_average": 2.125, "weights": "average",
    "orthogonality_error": 1.1e-15, "determinant_error": 1.8e-15, "mean_skew": 0.0123, "mean_angle": math.radians(2),
    "lora_parameters": 524_288, "gate_parameters": 3_584, "samples": 4_040, "device": "cpu", "seconds": 163.7,
}  # fmt: skip


class Page(HTMLParser):
    """What a browser would find."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def values(self, name: str) -> list[str]:
        return [value or "" for key, value in self.attributes if key == name]


@pytest.fixture(scope="module")
def page() -> str:
    return training_report(history(200), EVENTS, FACTS, "ja")


def test_everything_is_shown(page: str) -> None:
    text = " ".join(Page(page).text)
    for part in (
        "完了", "Finished", "夜の学習", "200 / 200", f"{sum(r['tokens'] for r in history(200)):,}",
        "2 min 44 s", "2.2500", "2.1250", "平均の重み", "1.1e-15",
        "2.000°", "524,288", "3,584", "メモリが足りず", "back at step 60", "再開", "rolled back", "flat",
        "λ 0.005", "λ 0.01", "◁", "▷", "÷", "‖", "running median", "Learning rate", "Gradient norm", "対数目盛",
        "Rotation angle by layer", "GPU temperature", "GPU memory in use", "2 回保存", "2 checkpoints",
        "分割数 2", "pieces 2", "検証損失 2.25, 平均の重みでは 2.125, 採用は 平均の重み", "2026-11-25 20:09 UTC+09:00",
    ):  # fmt: skip
        assert part in text, part


def test_a_mere_warning_is_no_pause(page: str) -> None:
    assert "温度による休止 1(4 分)" in page and "paused for heat 1 (4 min)" in page
    assert "休むほどではない" in page and pause_seconds(EVENTS) == 240.0
    timed = [at(0, 1, "hot"), at(5, 1, "cool"), at(6, 2, "cool"), at(7, 3, "hot")]
    assert pause_seconds(timed) == 300.0


def test_the_page_is_the_same_bytes_again(page: str) -> None:
    again = json.loads(json.dumps([history(200), EVENTS, FACTS]))
    assert training_report(*again, "ja") == page


def test_the_contents_lead_somewhere(page: str) -> None:
    found = Page(page)
    links = [link for link in found.values("href") if link.startswith("#")]
    assert [link[1:] for link in links] == ["summary", "loss", "course", "rotation", "machine", "events"]
    assert {link[1:] for link in links} <= set(found.values("id")) and len(found.values("href")) == 6
    assert len(found.values("id")) == len(set(found.values("id")))


def test_nothing_comes_from_outside_and_no_text_is_markup(page: str) -> None:
    found = Page(page)
    assert not {"script", "img", "link", "iframe", "object", "base", "form"} & set(found.tags)
    assert "style" not in dict(found.attributes) and "src" not in dict(found.attributes)
    assert "alert(1)" in page and not set("\u2028\u202e\u200b") & set(page)
    assert re.findall(r"https?://[^\s\"'<]*", page) == ["http://www.w3.org/2000/svg"] * page.count("<svg")


def test_the_policy_allows_the_one_style_sheet_and_nothing_else(page: str) -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in page.replace("&#39;", "'")
    assert ".narrow-plot" in style and ".masthead" in style


def test_every_plot_is_well_formed_and_titled_in_both_languages(page: str) -> None:
    plots = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.S)]
    assert len(plots) == 2 + 4 + 2 + 4
    assert all(" / " in str(plot[0].text) and plot[1].text for plot in plots)


def test_english_first() -> None:
    page = training_report(history(50), EVENTS, FACTS, "en")
    assert '<html lang="en">' in page and "Training report · Unfinished / 途中まで · so8t" in page
    assert page.index("Learning rate") < page.index("学習率")


def test_old_records_without_tokens_and_angles() -> None:
    old = [{k: v for k, v in r.items() if k not in ("tokens", "angles")} for r in history(60)]
    page = training_report(old, [], FACTS | {"steps": 60})
    assert "回転ゲートのパラメータ" in page and "Rotation angle by layer" not in page and "tokens" not in page
    assert "完了" in page and 'id="events"' not in page and 'id="machine"' not in page


def test_forty_thousand_steps_stay_small() -> None:
    rows = history(40_000, angles=32)
    events = [at(i % 180, 60 * i, "checkpoint", seconds=0.1) for i in range(660)]
    events += [
        at(i % 180, 10 * i, "gpu", temperature=60 + i % 9, memory_used=i % 50, memory_total=60, utilisation=i % 100,
           watts=100 + i % 31) for i in range(4_000)
    ]  # fmt: skip
    page = training_report(rows, events, FACTS | {"steps": 40_000})
    assert len(page.encode()) < 700_000
    assert "40,000 / 40,000" in page and "660 回保存" in page and page.count("<tr>") < 100


@pytest.mark.parametrize(
    ("steps", "facts", "finished"),
    [(200, {"steps": 200}, True), (199, {"steps": 200}, False), (200, {}, False), (0, {"steps": 200}, True),
     (0, {}, False)],
)  # fmt: skip
def test_finished_is_what_reached_its_last_step(steps: int, facts: Record, finished: bool) -> None:
    assert Training(ordered_steps(history(steps)), [], facts).finished is finished
    assert (">✓<" in training_report(history(steps), [], facts)) is finished


def test_the_sentences_say_what_was_measured() -> None:
    rows = history(100)
    found = Training(rows, EVENTS, FACTS | {"steps": 100})
    first, median = rows[0]["loss"], sorted(r["loss"] for r in rows[-5:])[2]
    ja = [w.ja for w in statements(found)]
    assert ja[0].startswith(f"100 ステップ学習し、損失は {first:.3f} から {median:.3f} になりました(最後の 5 ステップ")
    assert ja[1] == "検証損失は最後の重みで 2.2500、平均の重みで 2.1250。平均の重みを採りました。"
    assert ja[2].startswith("チェックポイント 2、再開 1、巻き戻し 1、バッチの分割 1、温度による休止 1")
    assert ja[3] == f"最も回った層で {math.degrees(0.1 * 0.75):.2f}°。回転ゲートは直交行列のまま(ずれ 1.1e-15)。"
    assert "NOT orthogonal" in statements(Training([], [], {"orthogonality_error": 0.01}))[1].en
    assert statements(Training([], [], {}))[0].en == "No step is recorded yet."


def test_speed_is_not_guessed_after_a_resume() -> None:
    rows = history(100)
    tokens = sum(r["tokens"] for r in rows)
    assert Training(rows, [], {"seconds": 10.0}).tokens_per_second == tokens / 10
    assert Training(rows, EVENTS, {"seconds": 10.0}).tokens_per_second is None
    assert Training(rows, EVENTS, {"seconds": 10.0, "tokens_per_second": 7.0}).tokens_per_second == 7.0
    assert Training([], [], {"seconds": 10.0}).tokens_per_second is None
    assert Training(rows, [], {"seconds": 0}).tokens_per_second is None


@pytest.mark.parametrize("key", sorted(set(FACTS) - {"name", "steps"}))
def test_what_is_not_known_is_left_out(key: str) -> None:
    found = Training(history(20), [], FACTS)
    less = Training(history(20), [], {k: v for k, v in FACTS.items() if k != key})
    gone = 2 if key == "seconds" else 1  # without a time there is no speed either
    assert len(summary_rows(less)) == len(summary_rows(found)) - gone
    assert all(row[1] not in ("", "—") for row in summary_rows(less))


def test_checkpoints_in_a_row_are_told_once() -> None:
    rows = [(e["event"], n) for e, n in told(EVENTS)]
    assert rows[:3] == [("start", 1), ("checkpoint", 2), ("hot", 1)] and ("gpu", 1) not in rows
    assert [n for _, n in told([at(0, i, "checkpoint") for i in range(5)])] == [5]
    assert "5 回" in checkpoints_words(5).ja and list(told([at(0, 0, "gpu"), {"step": 3}])) == []


def test_words_of_an_event() -> None:
    assert event_words({"event": "rollback"}).en == "rolled back to the last checkpoint"
    assert event_words({"event": "rollback", "ja": " 戻った ", "en": "back"}).ja == "戻った"
    assert event_words({"event": "x", "en": "only English"}).ja == "only English"
    assert event_words({"event": "unheard of"}).ja == "unheard of"
    facts = event_facts({"event": "cool", "seconds": 240.5, "why": "unreadable", "temperature": 70, "new": None})
    assert facts.ja == "秒 240.5, 理由 温度を読めない, 温度 ℃ 70"


def test_nothing_at_all() -> None:
    page = training_report([], [], {})
    assert "途中まで" in page and "<svg" not in page and "まだありません" in page


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(EVIL)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
KEYS = st.sampled_from(["step", "loss", "pet", "pet_weight", "rate", "gradient_norm", "tokens", "angles"])
EVENT_KEYS = st.sampled_from(
    ["step", "event", "time", "ja", "en", "temperature", "memory_used", "memory_total", "seconds", "paused", "loss"]
)
NAMES = st.sampled_from(["start", "resume", "checkpoint", "rollback", "split", "hot", "cool", "validation", "gpu"])
EVENT = st.fixed_dictionaries({"event": NAMES | ANYTHING, "step": st.integers(0, 30) | ANYTHING})


@given(
    st.lists(st.dictionaries(KEYS, SCALARS | st.lists(SCALARS, max_size=3)) | ANYTHING, max_size=12),
    st.lists(EVENT | st.dictionaries(EVENT_KEYS, ANYTHING) | ANYTHING, max_size=8),
    st.dictionaries(st.sampled_from(sorted(FACTS)) | st.text(max_size=5), ANYTHING, max_size=6),
)
@settings(max_examples=40, deadline=None)
def test_records_may_hold_anything(rows: list[Any], events: list[Any], facts: Record) -> None:
    page = training_report([*history(3), *rows], events, facts)
    found = Page(page)
    assert "script" not in found.tags and "style" not in dict(found.attributes)
    for svg in re.findall(r"<svg.*?</svg>", page, re.S):
        ElementTree.fromstring(svg)
