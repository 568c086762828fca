"""Images in the console: sent with a form, shown beside what was read of them to who decides and who audits."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from broken_reader import WAYS, broken
from console_browser import Browser
from console_server import Server, serving
from office_server import ANSWER, SCORES
from scanned import encoded, ruined, sheet

from so8t.ask.backend import FakeBackend
from so8t.core.serve_config import IntakeConfig
from so8t.core.types import Attachment, PageText, Request
from so8t.documents.ocr_process import OcrProcess
from so8t.operate.intake.intake import Intake

NOTICE = sheet("旅費精算のお知らせ", "領収書は月末までに総務課へ出してください。")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("office"), FakeBackend(SCORES, answer=ANSWER)) as started:
        yield started


@pytest.fixture
def sent(office: Server) -> Iterator[tuple[Browser, Browser, Browser, int]]:
    """(asker, reviewer, auditor, the ledger number of a request with an image that could hardly be read)."""
    people = [Browser(office) for _ in range(3)]
    for browser, name in zip(people, ("sato", "shonin", "kansa"), strict=True):
        assert browser.login(name).status_code == 303
    answer = send(people[0], "要点を教えて。", ("お知らせ.png", encoded(ruined(NOTICE, blur=2.2, contrast=0.55))))
    assert answer.status_code == 303, answer.text
    yield *people, int(answer.headers["location"].rpartition("=")[2])  # type: ignore[misc]
    for browser in people:
        browser.client.close()


def send(browser: Browser, query: str, *files: tuple[str, bytes], after: str = "") -> httpx.Response:
    data = {"query": query, "after": after, "classification": "", "csrf": browser.csrf()}
    parts = [("images", (name, content, "image/png")) for name, content in files] or [("images", ("", b"", ""))]
    return browser.client.post("/console/chat", data=data, files=parts, headers={"sec-fetch-site": "same-origin"})


def test_the_form_takes_files_and_the_reviewer_sees_them(sent: tuple[Browser, Browser, Browser, int]) -> None:
    asker, reviewer, auditor, seq = sent
    assert 'enctype="multipart/form-data"' in asker.get("/console/chat").text
    page = reviewer.get(f"/console/review/{seq}").text
    assert f'src="/console/review/{seq}/image/0/1"' in page and "要確認" in page and "お知らせ.png" in page
    picture = reviewer.get(f"/console/review/{seq}/image/0/1")
    assert picture.headers["content-type"] == "image/png" and "sandbox" in picture.headers["content-security-policy"]
    assert picture.headers["x-content-type-options"] == "nosniff"
    looked = reviewer.server.running.reader.entries(kinds=("access",))[-1]
    assert looked.data["event"] == "image_read" and looked.actor == "shonin" and looked.data["seq"] == seq
    assert auditor.get(f"/console/audit/{seq}/image/0/1").status_code == 200
    opened = auditor.post(f"/console/audit/{seq}/texts").text
    assert f'src="/console/audit/{seq}/image/0/1"' in opened and "お知らせ.png" in opened
    keys = json.loads(reviewer.server.running.reader.texts(seq)["attachment_keys"])
    assert keys[0][0] not in opened and keys[0][0] not in page


def test_what_a_browser_gets_was_made_anew(office: Server) -> None:
    asker, reviewer = Browser(office), Browser(office)
    asker.login("sato"), reviewer.login("shonin")
    trick = encoded(ruined(NOTICE, blur=2.2, contrast=0.55)) + b"<script>alert(1)</script>"
    seq = int(send(asker, "要点は?", ("a.html.png", trick)).headers["location"].rpartition("=")[2])
    shown = reviewer.get(f"/console/review/{seq}/image/0/1").content
    assert shown.startswith(b"\x89PNG") and b"script" not in shown
    for browser in (asker, reviewer):
        browser.client.close()


@pytest.mark.parametrize("place", ["image/1/1", "image/0/2", "image/99999999/1"])
def test_there_is_no_other_image(sent: tuple[Browser, Browser, Browser, int], place: str) -> None:
    assert sent[1].get(f"/console/review/{sent[3]}/{place}").status_code == 400


@pytest.mark.parametrize("way", WAYS)
def test_a_reader_that_fails_is_told_on_a_page(
    sent: tuple[Browser, Browser, Browser, int], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Our fault, in the visitor's language, with what to do next; and nothing was judged."""
    asker, reviewer, _, seq = sent
    running, reader = asker.server.running, OcrProcess()
    monkeypatch.setattr(reader, "_child", broken(way, monkeypatch))
    monkeypatch.setattr(running, "intake", Intake(IntakeConfig(), reader))
    before = running.reader.count(kinds=("decision",))
    asker.client.headers["accept"] = "text/html"
    answer = send(asker, "要点は?", ("a.png", encoded(NOTICE)))
    assert answer.status_code == 503 and "読み取りの側で失敗しました" in answer.text and "A20" in answer.text
    assert "もう一度お試しください" in answer.text and "/srv/models" not in answer.text
    asker.client.cookies.set("so8t-lang", "en")
    assert "our reader failed" in send(asker, "要点は?", ("a.png", encoded(NOTICE))).text
    asker.client.headers["accept"] = "text/event-stream"  # our script's
    answer = send(asker, "要点は?", ("a.png", encoded(NOTICE)))
    assert answer.status_code == 503 and answer.json()["error"]["message"].startswith("[A20] ")
    assert reviewer.get(f"/console/review/{seq}/image/0/1").status_code == 503
    assert running.reader.count(kinds=("decision",)) == before


def test_images_are_for_reviewers_and_auditors(sent: tuple[Browser, Browser, Browser, int]) -> None:
    asker, reviewer, auditor, seq = sent
    assert asker.get(f"/console/review/{seq}/image/0/1").status_code == 403
    assert auditor.get(f"/console/review/{seq}/image/0/1").status_code == 403
    assert reviewer.get(f"/console/audit/{seq}/image/0/1").status_code == 403


def test_a_conversation_stays_as_doubtful_as_its_images(sent: tuple[Browser, Browser, Browser, int]) -> None:
    asker, _, _, seq = sent
    later = int(send(asker, "では、次に何をすればよいですか。", after=str(seq)).headers["location"].rpartition("=")[2])
    entry = asker.server.running.reader.entry(later)
    assert entry.decision == "ESCALATE" and entry.data["attachments"][0]["sealed"] == ""


def test_a_broken_form_is_refused(office: Server) -> None:
    browser = Browser(office)
    browser.login("sato")
    token, headers = browser.csrf(), {"sec-fetch-site": "same-origin"}
    kind = "multipart/form-data; boundary=x"
    bodies = [b"", b"--x\r\n", b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n", b"--y--",
              b'--x\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n' + token.encode(),
              b"--x\r\nA: " + b"a" * 5000,
              b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\na\r\n" * 81]  # fmt: skip
    for body in bodies:
        answer = browser.client.post("/console/chat", content=body, headers={**headers, "content-type": kind})
        assert answer.status_code in (400, 403), body[:60]
    assert send(browser, "要点は?", ("a.svg", b"<svg/>")).status_code == 400
    # Only the page that takes files takes such a form.
    data = {"csrf": token, "target": "x"}
    answer = browser.client.post("/console/account/logout", data=data, files={"images": b"x"}, headers=headers)
    assert answer.status_code == 400
    browser.client.close()


def test_a_precedent_is_not_made_of_an_image(sent: tuple[Browser, Browser, Browser, int]) -> None:
    """Its words may be misread, and another picture may bear the same."""
    _, reviewer, _, seq = sent
    form = {"decision": "ALLOW", "comment": "画像を確かめた", "answer": "要点は一つです。"}
    assert reviewer.post(f"/console/review/{seq}", form).status_code == 303
    server = reviewer.server
    case = server.do(server.running.reviews.case(seq))
    assert server.do(server.running.reviews.precedent(case)) is None


def test_a_recording_is_saved_and_not_played_in_the_page(office: Server) -> None:
    heard = Attachment("audio", (PageText(1, "会議は三時です。", 0.3, "whisper"),), "録音.wav", b"RIFF....WAVEfmt ")
    request = Request("req-sound", "要点は?", "社内限定", None, None, "sato", (), (), (heard,))
    seq = office.do(office.running.gateway.ask(request)).ledger_seq
    reviewer = Browser(office)
    reviewer.login("shonin")
    page = reviewer.get(f"/console/review/{seq}").text
    assert "録音を保存して聞く" in page and "要確認" in page and f'<img src="/console/review/{seq}' not in page
    saved = reviewer.get(f"/console/review/{seq}/image/0/1")
    assert saved.content == b"RIFF....WAVEfmt " and saved.headers["content-type"] == "application/octet-stream"
    assert saved.headers["content-disposition"] == f'attachment; filename="recording-{seq}.wav"'
    reviewer.client.close()
