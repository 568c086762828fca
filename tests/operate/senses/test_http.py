"""Eyes and ears through a running office: roles, limits, the same judgement and ledger as every request."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from office_server import ANSWER, SCORES, build, people
from scanned import encoded, ruined, sheet
from sense_models import anomaly_model, colour_detector, part, square
from starlette.testclient import TestClient

from so8t.ask.backend import FakeBackend
from so8t.core.errors import SenseUnusable
from so8t.core.ledger_read import LedgerReader
from so8t.core.serve_config import SensesConfig
from so8t.operate.intake.kept import Kept
from so8t.operate.senses.service import Senses
from so8t.operate.server.app import application
from so8t.operate.server.senses import routes

QUESTION = "この写真に何が写っていますか。"


class Office:
    """What a test needs of it."""

    def __init__(self, folder: Path, config: SensesConfig) -> None:
        gateway, desk, self.ledger, texts, authenticator = build(folder, FakeBackend(SCORES, answer=ANSWER))
        self.desk, self.senses, self.gateway = desk, Senses(config), gateway
        self.keys = asyncio.run(people(authenticator))
        self.reader = LedgerReader(folder / "ledger.db", texts)
        app = application(desk, routes(desk, self.senses), hosts=("127.0.0.1",), concurrent=8)
        self.client = TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000))

    def post(self, place: str, body: Any = None, who: str = "user", **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.keys[who]}"} if who else {}
        return self.client.post(f"/so8t/v1/{place}", json=body, headers=headers, **options)

    def close(self) -> None:
        self.senses.close()
        self.desk.intake.close()  # type: ignore[union-attr]
        self.ledger.close()


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    made = Office(folder, SensesConfig(eyes=str(colour_detector(folder / "eyes"))))
    with made.client:
        yield made
    made.close()


def coded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def png(image: Any) -> bytes:
    made = io.BytesIO()
    image.save(made, "PNG")
    return made.getvalue()


RED = png(square("red", (160, 320, 319, 479)))
PALE = png(square((230, 80, 80), (160, 320, 319, 479)))  # type: ignore[arg-type]


def test_what_is_seen_is_told_and_noted(office: Office) -> None:
    answer = office.post("see", {"image": coded(RED)})
    told = answer.json()
    assert answer.status_code == 200 and told["by"] == "eyes" and not told["doubtful"] and "answer" not in told
    assert told["seen"][0]["label"] == "赤い部品" and told["text"].startswith("検出: 赤い部品(確度 1.00")
    entry = office.reader.entry(told["ledger"]["seq"])
    assert entry is not None and entry.kind == "access" and entry.data["event"] == "seen" and entry.actor == "user"
    assert "赤い部品" not in json.dumps(entry.data, ensure_ascii=False)


def test_a_question_about_it_is_judged_and_the_image_kept(office: Office, tmp_path: Path) -> None:
    told = office.post("see", {"image": coded(RED), "question": QUESTION, "name": "検査3.png"}).json()
    assert told["so8t"]["decision"] == "ALLOW" and told["answer"] == ANSWER
    entry = office.reader.entry(told["so8t"]["ledger"]["seq"])
    assert entry is not None and entry.data["attachments"][0]["pages"][0]["engine"] == "detector"
    texts = office.reader.texts(entry.seq)
    assert texts["query"].startswith(f"{QUESTION}\n【画像: 検査3 / 区分:不明 / OCR確度 1.00】\n検出: 赤い部品")
    assert Kept.beside(office.gateway.ledger.path).read(entry.data, texts, 0) == RED


def test_a_doubtful_sight_goes_to_a_person(office: Office) -> None:
    told = office.post("see", {"image": coded(PALE), "question": QUESTION}).json()
    entry = office.reader.entry(told["so8t"]["ledger"]["seq"])
    assert told["doubtful"] and told["so8t"]["decision"] == "ESCALATE"
    assert entry is not None and entry.data["rules"] == ["uncertain-reading"]


def test_an_anomaly_enters_the_same_way(tmp_path: Path) -> None:
    import numpy as np

    office = Office(tmp_path, SensesConfig(eyes=str(anomaly_model(tmp_path / "eyes"))))
    with office.client:
        image = part(np.random.default_rng(3), good=True)
        image.paste(190, (36, 36, 60, 60))
        told = office.post("see", {"image": coded(png(image)), "question": "この部品を出荷してよいですか。"}).json()
    office.close()
    assert told["engine"] == "anomaly" and told["seen"][0]["label"] == "異常の疑い" and "指標" in told["text"]


def test_pages_are_read_by_ocr_where_asked(office: Office) -> None:
    clear, bad = sheet("点検表", "油量は規定の範囲です。"), ruined(sheet("点検表", "油量は規定の範囲です。"), blur=2.2)
    told = office.post("see", {"image": coded(encoded(clear)), "by": "ocr"}).json()
    assert told["by"] == "ocr" and "油量は規定の範囲" in told["text"] and not told["doubtful"]
    told = office.post("see", {"image": coded(encoded(bad)), "by": "ocr", "question": "要点は?"}).json()
    assert told["so8t"]["decision"] == "ESCALATE"


def test_a_form_does_as_well(office: Office) -> None:
    headers = {"Authorization": f"Bearer {office.keys['user']}"}
    answer = office.client.post("/so8t/v1/see", data={"question": QUESTION, "classification": "極秘"},
                                files={"image": ("a.png", RED, "image/png")}, headers=headers)  # fmt: skip
    assert answer.status_code == 200 and answer.json()["so8t"]["decision"] == "DENY"  # 社内限定 may not read 極秘


@pytest.mark.parametrize("body", [
    {}, {"image": 3}, {"image": ""}, {"image": "あ"}, {"image": "http://127.0.0.1/a.png"}, {"image": "AAAA"},
    {"image": coded(RED[:100])}, {"image": coded(RED), "by": "nose"}, {"image": coded(RED), "question": ""},
    {"image": coded(RED), "question": 3}, {"image": coded(RED), "name": 3}, [],
    {"image": coded(RED), "question": "x", "so8t": {"domain": "medical"}}, {"image": coded(RED), "way": "ocr"},
    {"image": coded(RED), "so8t": {"clearance": "極秘"}},
])  # fmt: skip
def test_what_is_no_image_or_question_is_refused(office: Office, body: Any) -> None:
    assert office.post("see", body).status_code == 400


def test_roles_and_what_is_not_set_up(office: Office) -> None:
    assert office.post("see", {"image": coded(RED)}, who="").status_code == 401
    assert office.post("see", {"image": coded(RED)}, who="auditor").status_code == 403
    answer = office.post("hear", {"audio": coded(b"RIFF")})
    assert answer.status_code == 400 and "serve.senses" in answer.text
    answer = office.post("hear", {"audio": "http://127.0.0.1/a.wav"})
    assert answer.status_code == 400


def test_weights_that_were_changed_are_our_fault_at_the_first_question(tmp_path: Path) -> None:
    folder = colour_detector(tmp_path / "eyes")
    (folder / "model.onnx").write_bytes(b"junk")
    office = Office(tmp_path, SensesConfig(eyes=str(folder)))
    with pytest.raises(SenseUnusable, match="SHA-256"):  # a server does not even start
        office.senses.check()
    with office.client:
        answer = office.post("see", {"image": coded(RED)})
    office.close()
    assert answer.status_code == 503 and "SHA-256" in answer.text


@pytest.mark.slow
def test_a_recording_is_heard_and_judged(tmp_path: Path, whisper: Path) -> None:
    from tiny_whisper import spoken, wav

    office = Office(tmp_path, SensesConfig(ears=str(whisper), minutes=0.5))
    sound = wav(spoken([("会議", 0.6, 1.6), ("来週", 2.2, 3.2)], 6, seed=5))
    with office.client:
        told = office.post("hear", {"audio": coded(sound)}).json()
        assert told["text"] == "会議\n来週" and told["vtt"].startswith("WEBVTT") and told["seconds"] == 6.0
        entry = office.reader.entry(told["ledger"]["seq"])
        assert entry is not None and entry.data["event"] == "heard" and entry.data["engine"] == "whisper"
        asked = office.post("hear", {"audio": coded(sound), "question": "この録音の要点は?"}).json()
        assert asked["so8t"]["decision"] == ("ESCALATE" if asked["doubtful"] else "ALLOW")
        entry = office.reader.entry(asked["so8t"]["ledger"]["seq"])
        assert entry is not None and entry.data["attachments"][0]["media_type"] == "audio"
        too_long = office.post("hear", {"audio": coded(wav(spoken([], 31)))})
        assert too_long.status_code == 400 and "> 30 s" in too_long.text
        assert office.post("hear", {"audio": coded(b"#EXTM3U\nhttp://127.0.0.1/")}).status_code == 400
    office.close()
