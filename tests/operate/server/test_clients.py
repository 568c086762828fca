"""The real `openai` and `ollama` clients, which only had their address changed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import ollama
import openai
import pytest
from office_server import ANSWER, Server

ASKED = "会議の議事録を三行にまとめてください。"


def connected(server: Server, key: str) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{server.address}/v1", api_key=key, max_retries=0, http_client=httpx.Client(trust_env=False)
    )


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with connected(server, server.keys["user"]) as made:
        yield made


@pytest.fixture
def other(server: Server) -> Iterator[ollama.Client]:
    made = ollama.Client(server.address, headers=server.headers(), trust_env=False)
    yield made
    made._client.close()


def test_openai_completes(server: Server, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="so8t", messages=[{"role": "user", "content": ASKED}], temperature=0, max_tokens=64
    )
    answer = raw.parse()
    assert answer.choices[0].message.content == ANSWER and answer.choices[0].finish_reason == "stop"
    told = answer.model_extra["so8t"]  # type: ignore[index]
    assert told["decision"] == "ALLOW" and raw.headers["x-so8t-decision"] == "ALLOW"
    entry = server.reader.entry(told["ledger"]["seq"])
    assert entry is not None and entry.head == told["ledger"]["head"] and entry.actor == "user"
    assert server.reader.texts(entry.seq) == {"query": ASKED, "reply": ANSWER}
    assert answer.usage is not None and answer.usage.completion_tokens == len(ANSWER)


@pytest.mark.parametrize(("words", "decision"), [("人に聞くこと", "ESCALATE"), ("禁じること", "DENY")])
def test_a_refusal_is_a_normal_answer_that_says_so(client: openai.OpenAI, words: str, decision: str) -> None:
    answer = client.chat.completions.create(model="so8t", messages=[{"role": "user", "content": words}])
    assert answer.choices[0].finish_reason == "content_filter" and "三行" not in str(answer.choices[0].message.content)
    assert answer.model_extra["so8t"]["decision"] == decision  # type: ignore[index]


def test_openai_streams(server: Server, client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="so8t", messages=[{"role": "user", "content": ASKED}], stream=True,
            stream_options={"include_usage": True},
        )
    )  # fmt: skip
    said = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    assert "".join(said) == ANSWER and len(said) == 3  # sentence by sentence
    assert chunks[0].model_extra["so8t"]["decision"] == "ALLOW"  # type: ignore[index]
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == len(ANSWER)
    decision, answer = server.reader.entries(kinds=("decision", "answer"))
    assert answer.data["decision_seq"] == decision.seq and server.reader.texts(answer.seq) == {"reply": ANSWER}
    assert server.reader.texts(decision.seq) == {"query": ASKED}


@pytest.mark.parametrize("words", ["人に聞くこと", "禁じること"])
def test_a_streamed_refusal_ends_well_formed(client: openai.OpenAI, words: str) -> None:
    chunks = list(
        client.chat.completions.create(model="so8t", messages=[{"role": "user", "content": words}], stream=True)
    )
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    assert "".join(c.choices[0].delta.content or "" for c in chunks)


def test_openai_lists_models_and_embeds(client: openai.OpenAI, server: Server) -> None:
    assert [m.id for m in client.models.list()] == ["so8t"] and client.models.retrieve("so8t").owned_by == "so8t"
    made = client.embeddings.create(model="so8t", input=["一", "二"], encoding_format="float")
    assert [d.index for d in made.data] == [0, 1] and made.data[0].embedding != made.data[1].embedding
    note = server.reader.entries(kinds=("note",))[-1]
    assert note.data["event"] == "embedded" and note.actor == "user"


def test_openai_errors_are_the_clients_own(server: Server, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="gpt-4"):
        client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "x"}])
    with pytest.raises(openai.BadRequestError, match="tools"):
        client.chat.completions.create(
            model="so8t", messages=[{"role": "user", "content": "x"}],
            tools=[{"type": "function", "function": {"name": "f"}}],
        )  # fmt: skip
    with connected(server, "sk-guess") as stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    with connected(server, server.keys["reviewer"]) as reviewer, pytest.raises(openai.PermissionDeniedError):
        reviewer.models.list()


def test_a_conversation_reaches_the_model_without_what_was_not_allowed(server: Server, client: openai.OpenAI) -> None:
    client.chat.completions.create(
        model="so8t",
        messages=[
            {"role": "system", "content": "敬語で答えてください。"},
            {"role": "user", "content": "研修の日程を教えて。"},
            {"role": "assistant", "content": "来週の月曜です。"},
            {"role": "user", "content": ASKED},
        ],
    )
    prompt = server.backend.prompts[-1]
    assert prompt.index("敬語で") < prompt.index("研修の日程") < prompt.index("ALLOW\n来週の月曜") < prompt.index(ASKED)
    assert prompt.count("[user]") == 2 and prompt.count("[assistant]") == 2
    judged = server.backend.prompts[-2]
    assert "研修の日程" not in judged  # the model judges the request as it was trained to


def test_clearance_is_that_of_the_asker(server: Server, client: openai.OpenAI) -> None:
    body = {"so8t": {"classification": "極秘"}}
    answer = client.chat.completions.create(
        model="so8t", messages=[{"role": "user", "content": "資料を要約して。"}], extra_body=body
    )
    assert answer.model_extra["so8t"]["decision"] == "DENY"  # type: ignore[index]
    assert server.reader.entries(kinds=("decision",))[-1].data["clearance"] == "社内限定"


def test_ollama_chats(other: ollama.Client, server: Server) -> None:
    answer = other.chat("so8t", [{"role": "user", "content": ASKED}])
    assert answer.message.content == ANSWER and answer.done and answer.done_reason == "stop"
    pieces = list(other.chat("so8t", [{"role": "user", "content": ASKED}], stream=True))
    assert "".join(p.message.content or "" for p in pieces) == ANSWER and [p.done for p in pieces][-2:] == [False, True]
    assert pieces[-1].eval_count == len(ANSWER)


def test_ollama_generates_and_refuses(other: ollama.Client) -> None:
    assert other.generate("so8t", ASKED).response == ANSWER
    assert "".join(p.response for p in other.generate("so8t", ASKED, stream=True)) == ANSWER
    refused = list(other.generate("so8t", "禁じること", stream=True))
    assert refused[-1].done_reason == "content_filter" and refused[0].response


def test_ollama_lists_shows_embeds(other: ollama.Client) -> None:
    assert [m.model for m in other.list().models] == ["so8t"]
    assert other.show("so8t").details is not None
    assert len(other.embed("so8t", ["一", "二"]).embeddings) == 2


@pytest.mark.parametrize("change", ["pull", "delete", "push", "copy"])
def test_ollama_cannot_change_models(other: ollama.Client, change: str) -> None:
    arguments = ("so8t", "x") if change == "copy" else ("so8t",)
    with pytest.raises(ollama.ResponseError) as caught:
        getattr(other, change)(*arguments)
    assert caught.value.status_code == 403


def test_the_verdict_is_in_ollamas_answer_too(server: Server) -> None:
    body = {"model": "so8t", "messages": [{"role": "user", "content": ASKED}], "stream": False}
    answer = httpx.post(f"{server.address}/api/chat", json=body, headers=server.headers(), trust_env=False)
    assert answer.json()["so8t"]["decision"] == answer.headers["x-so8t-decision"] == "ALLOW"
    lines = httpx.post(
        f"{server.address}/api/chat", json=body | {"stream": True}, headers=server.headers(), trust_env=False
    )
    first, *_, last = [json.loads(line) for line in lines.text.splitlines()]
    assert first["so8t"]["decision"] == "ALLOW" and last["done"] is True
