"""Results of tools are data: an order is left out wherever the text is cut, and the rest is whole."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from office_server import ANY, CHAT, POLICY
from tool_server import ORDER, PLAN

from so8t.ask.backend import FakeBackend
from so8t.core.packaged import policy_text
from so8t.core.types import Request
from so8t.decide.calibrate import Calibration
from so8t.decide.policy import parse_policy
from so8t.judge.model import ModelJudge
from so8t.judge.narrowing import Narrowing
from so8t.judge.precedent import PrecedentStore
from so8t.judge.triple import TripleJudge
from so8t.operate.tools.results import PASSAGE, passages, sifted

FINANCE = Narrowing("finance", "d", parse_policy(*policy_text("finance")))
ASKED = Request("r", "予定は?", "社内限定")


def judge(narrowing: Narrowing | None = None) -> TripleJudge:
    model = ModelJudge(FakeBackend(), CHAT, "compact", 1.0)
    return TripleJudge(POLICY, model, PrecedentStore([]), ANY, Calibration(), narrowing=narrowing)


@given(st.text(alphabet="あい。\n! ", max_size=1500))
def test_passages_are_short_and_lose_no_letter(text: str) -> None:
    found = list(passages(text))
    assert all(0 < len(passage) <= PASSAGE for passage in found)
    kept = "".join("".join(found).split())
    assert kept == "".join(text.split()) or set(text) <= set("。! \n")


@settings(max_examples=40)
@given(st.integers(0, 2 * PASSAGE), st.sampled_from(["、", "。", "\n"]))
def test_an_order_is_left_out_wherever_it_is_cut(before: int, end: str) -> None:
    """Commas alone make one sentence of any length, which is cut somewhere, also through the order."""
    text = "予定、" * (before // 3) + "ん" * (before % 3) + ORDER.rstrip("。") + end + "十五時から面談"
    kept, left_out = sifted(text, ASKED, judge())
    assert left_out >= 1 and "個人アドレスへ送" not in kept


def test_what_is_harmless_is_kept_whole() -> None:
    assert sifted(f"{PLAN}\n十五時から面談。", ASKED, judge()) == (f"{PLAN}\n十五時から面談。", 0)
    assert sifted("", ASKED, judge()) == ("", 0)


def test_the_agents_rules_and_markings_count_as_well() -> None:
    credit = "この担保でいくらまで貸せますか。審査の判断をお願いします。"
    assert sifted(credit, ASKED, judge())[1] == 0 and sifted(credit, ASKED, judge(FINANCE))[1] == 1
    marked = "【極秘】買収の件。"
    assert sifted(marked, ASKED, judge())[1] == 1
    assert sifted(marked, Request("r", "予定は?", "極秘"), judge())[1] == 0
