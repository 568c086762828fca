"""Nearness in meaning beside the words: within the clearance, made anew for another model, and never without words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from office_files import LEVELS, OfficeFiles
from office_server import build

from so8t.ask.backend import FakeBackend
from so8t.core.errors import BackendDown, BackendProtocol
from so8t.core.serve_config import SearchConfig
from so8t.operate.identity.identity import Identity, Role
from so8t.operate.search import vectors
from so8t.operate.search.pointing import Pointing
from so8t.operate.search.searching import search
from so8t.operate.search.service import DocumentSearch

# What the fake upstream takes a text to be about: money, or time off.
MEANING = {"旅費": (1, 0), "出張": (1, 0), "交通": (1, 0), "お金": (1, 0.1), "休暇": (0, 1), "お休み": (0.1, 1)}


class Meaning(FakeBackend):
    """Vectors by the words of MEANING; `down`: none."""

    down = False
    asked = 0

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.asked += len(texts)
        if self.down:
            raise BackendDown(where="test")
        return [list(meant(text)) for text in texts]


def meant(text: str) -> tuple[float, float]:
    found = [np.array(vector, float) for word, vector in MEANING.items() if word in text]
    return tuple(np.sum(found, axis=0) + 0.01) if found else (0.01, 0.01)


def filled(office: OfficeFiles) -> None:
    for level in LEVELS:
        office.write(f"{level}/旅費-{level}.txt", f"旅費は{level}の規程により精算します。")
        office.write(f"{level}/休暇-{level}.txt", f"休暇は{level}の手続きで取ります。")
    office.update()


MODEL, ANOTHER = (1.0, 0.5), (0.5, -1.0)  # what two models make of one text


def pointed(office: OfficeFiles) -> None:
    vectors.loaded(office.store)
    vectors.prepare(office.store, MODEL)
    while passages := vectors.waiting(office.store):
        vectors.put(office.store, passages, [meant(one.text) for one in passages])


def waiting_parts(office: OfficeFiles) -> int:
    return office.store.db.execute("SELECT count(*) FROM parts WHERE NOT pointed").fetchone()[0]  # type: ignore


@pytest.mark.parametrize("rank", range(len(LEVELS)))
def test_what_is_near_is_found_within_the_clearance(office: OfficeFiles, rank: int) -> None:
    filled(office)
    pointed(office)
    found = search(office.store, "お休みを取りたい", LEVELS[rank], vector=meant("お休み"))
    assert [hit.title or hit.place for hit in found.hits if "休暇" in hit.passage][:1]
    assert {hit.level for hit in found.hits} <= set(LEVELS[: rank + 1])
    first = found.hits[: rank + 1]
    assert all(hit.near and "休暇" in hit.passage and hit.marks == () for hit in first) and found.loosely


def test_documents_above_change_nothing_below(make: Callable[..., OfficeFiles]) -> None:
    office = make()
    filled(office)
    pointed(office)
    before = search(office.store, "お金の話", LEVELS[1], vector=meant("お金"))
    for n in range(20):
        office.write(f"極秘/お金-{n}.txt", "お金と出張と交通の話です。")
    office.update()
    pointed(office)
    assert search(office.store, "お金の話", LEVELS[1], vector=meant("お金")) == before


def test_words_that_all_stand_there_need_no_meaning(office: OfficeFiles) -> None:
    filled(office)
    pointed(office)
    found = search(office.store, "旅費", LEVELS[0], vector=meant("休暇"))
    assert [hit.near for hit in found.hits] == [False] and not found.loosely and found.total == 1


def test_another_model_or_a_changed_file_is_pointed_anew(office: OfficeFiles) -> None:
    filled(office)
    pointed(office)
    assert waiting_parts(office) == 0
    vectors.prepare(office.store, [4.01, 2.0])
    assert waiting_parts(office) == 0
    office.write("公開/旅費-公開.txt", "休暇の話に変わりました。")
    office.update()
    assert waiting_parts(office) == 1
    pointed(office)
    found = search(office.store, "お休み", LEVELS[0], vector=meant("お休み"))
    assert {hit.place for hit in found.hits[:2]} == {"旅費-公開.txt", "休暇-公開.txt"}
    vectors.prepare(office.store, ANOTHER)
    assert waiting_parts(office) == 2 * len(LEVELS)
    assert not any(hit.near for hit in search(office.store, "お休み", LEVELS[0], vector=meant("お休み")).hits)


def test_vectors_of_another_length_are_passed_over(office: OfficeFiles) -> None:
    filled(office)
    pointed(office)
    assert search(office.store, "お休み", LEVELS[0], vector=(1.0, 0.0, 0.0)).hits == ()


@given(st.text("あいう。\n", max_size=3000))
def test_passages_cover_the_text_and_are_short(text: str) -> None:
    made = vectors.spans(text)
    assert all(0 <= start < end <= len(text) and end - start <= vectors.PASSAGE for start, end in made)
    assert all(a[1] <= b[0] for a, b in pairwise(made))
    assert "".join("".join(text[a:b] for a, b in made).split()) == "".join(text.split()) or len(made) == 500


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=20))
def test_packing_keeps_the_direction(values: list[float]) -> None:
    packed = np.frombuffer(vectors.packed(values), np.int8).astype(float)
    length = float(np.linalg.norm(values)) * float(np.linalg.norm(packed))
    assert len(packed) == len(values)
    if max(map(abs, values)) > 1e-3:
        assert float(np.dot(values, packed)) / length > 0.99


def test_a_running_office_points_by_itself_and_does_without(office: OfficeFiles, tmp_path: Path) -> None:
    filled(office)
    backend = Meaning({"": [9.0, 0.0, 0.0]})
    gateway, *_, ledger, _, authenticator = build(tmp_path, backend)
    config = SearchConfig(index=str(office.store.path), folders=office.config.folders, vectors=True)
    documents = DocumentSearch(gateway, config)
    sato = Identity("sato", frozenset({Role.USER}), LEVELS[1], "key")

    async def story() -> None:
        watching = asyncio.create_task(documents.watch())
        end = time.monotonic() + 30
        while waiting_parts(office) and time.monotonic() < end:
            await asyncio.sleep(0.1)
        assert waiting_parts(office) == 0
        found = await documents.ask(sato, "お休みを取りたい", None, 5)
        assert found.hits[0].near and "休暇" in found.hits[0].passage
        asked = backend.asked
        assert not any(hit.near for hit in (await documents.ask(sato, "旅費 精算", None, 5)).hits)
        await asyncio.sleep(2)
        assert backend.asked == asked  # the words are enough, and an office at rest asks for nothing
        backend.down = True
        assert (await documents.ask(sato, "お休みを取りたい", None, 5)).hits == ()
        assert documents.pointing.problem == "BackendDown" and documents.problem == ""
        backend.down = False
        assert (await documents.ask(sato, "お休みを取りたい", None, 5)).hits[0].near
        assert documents.pointing.problem == "" and (await documents.state())["vectors"] == {"on": True, "problem": ""}
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    asyncio.run(story())
    documents.close()
    authenticator.close()
    ledger.close()


def test_a_vector_that_points_nowhere_is_passed_over(office: OfficeFiles) -> None:
    filled(office)
    vectors.loaded(office.store)
    vectors.prepare(office.store, MODEL)
    while passages := vectors.waiting(office.store):
        vectors.put(office.store, passages, [(0.0, 0.0) if "休暇" in one.text else meant(one.text) for one in passages])
    found = search(office.store, "お休み", LEVELS[0], vector=meant("お休み"))
    assert [hit.place for hit in found.hits] == ["旅費-公開.txt"]
    assert search(office.store, "お休み", LEVELS[0], vector=(0.0, 0.0)).hits == ()


def test_a_passage_that_the_upstream_refuses_keeps_nobody_waiting(office: OfficeFiles) -> None:
    class Choosy(Meaning):
        async def embed(self, texts: Sequence[str]) -> list[list[float]]:
            if any("休暇は公開" in text for text in texts):
                raise BackendProtocol(detail="too long")
            return await super().embed(texts)

    filled(office)
    pointing = Pointing(Choosy())
    asyncio.run(pointing.point(office.store, lambda: True))
    assert waiting_parts(office) == 0 and pointing.problem == ""
    found = search(office.store, "お金", LEVELS[0], vector=meant("お金"))
    assert [hit.place for hit in found.hits] == ["旅費-公開.txt"]
