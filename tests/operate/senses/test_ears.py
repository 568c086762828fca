"""Speech on the real faster-whisper and CTranslate2, by a small Whisper trained here on tones that stand for words."""

from __future__ import annotations

import io
import json
import re
import wave
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tiny_whisper import RATE, pin, spoken, wav

from so8t.cli import main
from so8t.core.errors import ConfigKeyUnknown, SenseUnusable, SourceUnreadable
from so8t.operate.senses import ears as ears_module
from so8t.operate.senses.ears import Ears, confidence
from so8t.operate.senses.hearing import Journal, heard, resumed

pytestmark = pytest.mark.slow
SAID = [("いいえ", 0.6, 1.5), ("会議", 2.1, 3.1), ("来週", 3.7, 4.7)]
CUE = re.compile(r"(\d\d):(\d\d):(\d\d\.\d{3}) --> (\d\d):(\d\d):(\d\d\.\d{3})")


@pytest.fixture(scope="module")
def ears(whisper: Path) -> Ears:
    return Ears(whisper)


def test_what_is_said_is_heard_with_its_time(ears: Ears) -> None:
    found = heard(ears, wav(spoken(SAID, 8, seed=41)))
    assert [cue.text for cue in found.cues] == [word for word, _, _ in SAID]
    for cue, (_, begin, end) in zip(found.cues, SAID, strict=True):
        assert abs(cue.start - begin) < 0.7 and abs(cue.end - end) < 0.7
    assert 0.5 < found.confidence <= 1 and found.seconds == 8 and found.text == "いいえ\n会議\n来週"


def test_most_of_many_recordings_is_heard(ears: Ears) -> None:
    rng, right, of = np.random.default_rng(8), 0, 0
    for n in range(12):
        words = [str(rng.choice(["はい", "いいえ", "会議", "来週"])) for _ in range(2)]
        said = [(words[0], 0.5, 1.5), (words[1], 2.2, 3.2)]
        found = [cue.text for cue in heard(ears, wav(spoken(said, 6, seed=100 + n))).cues]
        right += sum(a == b for a, b in zip(words, found, strict=False))
        of += 2
    assert right / of >= 0.75


def test_where_nobody_speaks_nothing_is_heard(ears: Ears) -> None:
    found = heard(ears, wav(spoken([], 6, seed=3)))
    assert not found.cues and found.confidence == 0.0 and found.vtt(0.6) == "WEBVTT\n"


def test_cues_lie_inside_the_recording(ears: Ears) -> None:
    found = heard(ears, wav(spoken([("はい", 0.2, 1.2)], 1.5)))
    assert all(0 <= cue.start < cue.end <= 1.5 for cue in found.cues)


def test_a_long_recording_goes_piece_by_piece(ears: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ears_module, "STEP_SECONDS", 4.0)
    said = [("会議", 0.6, 1.6), ("来週", 4.6, 5.6)]
    told: list[tuple[float, float]] = []
    found = heard(ears, wav(spoken(said, 8, seed=5)), told=lambda done, of: told.append((done, of)))
    assert [cue.text for cue in found.cues] == ["会議", "来週"] and found.cues[1].start >= 3.0
    assert told[-1][1] == 8.0 and told == sorted(told)


def test_it_goes_on_where_it_was_interrupted(ears: Ears, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ears_module, "STEP_SECONDS", 4.0)
    content = wav(spoken([("会議", 0.6, 1.6), ("来週", 4.6, 5.6)], 8, seed=5))
    journal = Journal.of(tmp_path / "a.vtt.partial", content, ears)

    whole = heard(ears, content)

    def stop(done: float, of: float) -> None:
        if done > 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resumed(ears, content, journal, 60, stop)
    with journal.path.open("a", encoding="utf-8") as file:
        file.write('{"end": 8.')  # cut off in the middle
    end, kept = journal.read()
    assert 3 <= end <= 4 and [cue.text for cue in kept] == ["会議"]
    asked: list[float] = []
    pieces = Ears.pieces

    def watched(self: Ears, samples: Any, begin: float = 0.0) -> Any:
        asked.append(begin)
        return pieces(self, samples, begin)

    monkeypatch.setattr(Ears, "pieces", watched)
    found = resumed(ears, content, journal, 60, lambda done, of: None)
    assert asked == [end] and found == whole and journal.read()[0] == 8.0
    other = Journal.of(journal.path, content + b"\0", ears)
    assert other.read() == (0.0, [])  # of another recording


def test_the_command_writes_webvtt(whisper: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording, out = tmp_path / "会議.wav", tmp_path / "会議.vtt"
    recording.write_bytes(wav(spoken(SAID, 8, seed=41)))
    assert main(["hear", str(recording), "--model", str(whisper), "--out", str(out), "--lang", "ja"]) == 0
    text = out.read_text(encoding="utf-8")
    assert text.startswith("WEBVTT\n\nNOTE 確度 ") and "<v 話者>会議</v>" in text
    times = [tuple(float(h) * 3600 + float(m) * 60 + float(s) for h, m, s in (t[:3], t[3:])) for t in CUE.findall(text)]
    assert len(times) == 3 and all(begin < end for begin, end in times) and not list(tmp_path.glob("*.partial"))
    assert "3 発言、8 秒" in capsys.readouterr().out
    assert main(["hear", str(recording), "--model", str(whisper), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [cue["text"] for cue in told["cues"]] == ["いいえ", "会議", "来週"] and told["vtt"] == text
    assert main(["hear", str(recording)]) == 2 and main(["hear", "none.wav", "--model", str(whisper)]) == 3


def test_only_the_pinned_files_are_read(ears_copy: Callable[[], Path]) -> None:
    changed, more, without, wrong = (ears_copy() for _ in range(4))
    with (changed / "tokenizer.json").open("ab") as file:
        file.write(b" ")
    (more / "vocabulary.txt").write_text("x", encoding="utf-8")
    (without / "tokenizer.json").unlink()  # faster-whisper would fetch one
    pin(without)
    pin(wrong, "langauge = 'ja'")
    spoiled = [(changed, "SHA-256"), (more, "vocabulary.txt"), (without, "tokenizer.json"), (wrong, "language")]
    for folder, why in spoiled:
        error = ConfigKeyUnknown if folder is wrong else SenseUnusable
        with pytest.raises(error, match=why):
            Ears(folder)


def test_weights_that_are_no_model_are_refused(ears_copy: Callable[[], Path]) -> None:
    folder = ears_copy()
    (folder / "model.bin").write_bytes(b"junk" * 1000)
    with pytest.raises(SenseUnusable):
        Ears(pin(folder))


def test_confidence_is_no_more_than_that_anybody_spoke() -> None:
    sure = SimpleNamespace(avg_logprob=-0.1, no_speech_prob=0.1)
    assert confidence(sure) == pytest.approx(np.exp(-0.1))
    assert confidence(SimpleNamespace(avg_logprob=-0.1, no_speech_prob=0.9)) == pytest.approx(0.1)
    assert confidence(SimpleNamespace(avg_logprob=0.5, no_speech_prob=0.0)) == 1.0


def test_a_recording_longer_than_allowed_is_refused(ears: Ears) -> None:
    with pytest.raises(SourceUnreadable, match="> 2 s"):
        heard(ears, wav(spoken([], 3)), seconds=2)


def test_other_rates_and_channels_are_heard_alike(ears: Ears) -> None:
    samples = spoken(SAID, 8, seed=41)
    stereo = np.repeat(np.interp(np.arange(8 * 44_100) / 44_100, np.arange(len(samples)) / RATE, samples), 2)
    made = io.BytesIO()
    with wave.open(made, "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(44_100)
        out.writeframes((np.clip(stereo, -1, 1) * 32767).astype("<i2").tobytes())
    assert [cue.text for cue in heard(ears, made.getvalue()).cues] == [word for word, _, _ in SAID]
