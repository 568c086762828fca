"""Transcripts in the forms people have them: who said what, and in which line of the file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import RecordInvalid
from so8t.operate.minutes.transcript import (
    LONGEST,
    MAX_CHARACTERS,
    MAX_UTTERANCES,
    MOST_SPEAKERS,
    parse,
    without_fillers,
)

Said = list[tuple[int, str, str]]


def said(text: str) -> Said:
    return [(one.line, one.speaker, one.text) for one in parse(text).utterances]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("佐藤: 始めます。\n鈴木:はい。", [(1, "佐藤", "始めます。"), (2, "鈴木", "はい。")]),
        ("佐藤：始めます。\n続けます。\n\n鈴木：はい。",
         [(1, "佐藤", "始めます。"), (2, "佐藤", "続けます。"), (4, "鈴木", "はい。")]),
        ("【佐藤】始めます。\r\n【鈴木 部長】はい。", [(1, "佐藤", "始めます。"), (2, "鈴木 部長", "はい。")]),
        ("○山田委員 質問します。", [(1, "山田委員", "質問します。")]),
        ("山田 太郎  0:03\nえーと、始めます。", [(2, "山田 太郎", "えーと、始めます。")]),
        ("[00:01:02] 佐藤: 始めます。", [(1, "佐藤", "始めます。")]),
        ("誰の言葉とも書いていない文です。", [(1, "", "誰の言葉とも書いていない文です。")]),
        ("日時: 2026年11月30日\n出席者: 佐藤、鈴木\n佐藤: 始めます。", [(3, "佐藤", "始めます。")]),
        ("佐藤: 見るのは http://127.0.0.1:8008/ です。", [(1, "佐藤", "見るのは http://127.0.0.1:8008/ です。")]),
        ("見るのは10:30の便です。", [(1, "", "見るのは10:30の便です。")]),
    ],
)  # fmt: skip
def test_written_transcripts(text: str, expected: Said) -> None:
    assert said(text) == expected


def test_webvtt_and_srt_captions() -> None:
    vtt = "WEBVTT\n\nNOTE 自動\n\n1\n00:01:02.500 --> 00:01:04.000 align:start\n<v 佐藤>始めます。</v>\n\n00:01:05.000 --> 00:01:06.000\n<c>続けます。</c>\n"  # noqa: E501
    assert said(vtt) == [(7, "佐藤", "始めます。"), (10, "佐藤", "続けます。")]
    assert [one.seconds for one in parse(vtt).utterances] == [62.5, 65.0]
    srt = "1\n00:00:01,000 --> 00:00:02,000\n鈴木: はい。\n二行目。\n\n2\n00:00:03,000 --> 00:00:04,000\n終わり。\n"
    assert said(srt) == [(3, "鈴木", "はい。"), (4, "鈴木", "二行目。"), (8, "鈴木", "終わり。")]


def test_a_long_speech_is_read_in_pieces_that_name_its_line() -> None:
    made = parse("佐藤: " + "予算について話します。" * 60).utterances
    assert len(made) > 2 and {one.line for one in made} == {1} and all(len(one.text) <= LONGEST for one in made)


@given(st.text(max_size=400))
def test_whatever_comes_is_read_or_refused_and_lines_exist(text: str) -> None:
    try:
        made = parse(text)
    except RecordInvalid:
        return
    assert all(1 <= one.line <= len(made.source) and one.text.strip() for one in made.utterances)


@given(st.lists(st.sampled_from(["佐藤", "鈴木", "Sato", "田中 部長"]), min_size=1, max_size=20))
def test_every_line_keeps_its_speaker(speakers: list[str]) -> None:
    made = said("\n".join(f"{name}: 発言{n}です。" for n, name in enumerate(speakers)))
    assert [(line, name) for line, name, _ in made] == list(enumerate(speakers, 1))


@pytest.mark.parametrize("text", ["", "   \n\n", "WEBVTT\n\n00:00.000 --> 00:01.000\n\n", "あ" * (MAX_CHARACTERS + 1)])
def test_nothing_to_read_and_too_much(text: str) -> None:
    with pytest.raises(RecordInvalid):
        parse(text)


def test_too_many_utterances() -> None:
    with pytest.raises(RecordInvalid, match=str(MAX_UTTERANCES)):
        parse("あ\n" * (MAX_UTTERANCES + 1))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("えー、始めます。", "始めます。"),
        ("えっと、その、ですね。", "その、ですね。"),
        ("はい、あのー、明日です。", "はい、明日です。"),
        ("あのとき決めました。", "あのとき決めました。"),
        ("えー", "えー"),
    ],
)
def test_fillers_are_left_out_and_words_are_not(text: str, plain: str) -> None:
    assert without_fillers(text) == plain


@pytest.mark.parametrize("text", ["改めて" * 3000, "1" * 9000, "一十" * 4500, "「" * 9000, " " * 9000 + "終"])
def test_no_piece_is_long_whatever_it_is_made_of(text: str) -> None:
    made = parse(f"佐藤: {text}")
    assert all(len(one.text) <= LONGEST for one in made.utterances)
    assert "".join(one.text for one in made.utterances).replace(" ", "") == text.replace(" ", "")


def test_labels_beyond_count_are_no_people() -> None:
    lines = [f"項目{n}: 値{n}です。" for n in range(500)] + ["佐藤: はい。"] * 3
    made = parse("\n".join(lines))
    assert len(made.speakers) == MOST_SPEAKERS and "佐藤" in made.speakers
