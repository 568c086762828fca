"""What the gateway itself says to the asker: refusals, hand-overs, and why an answer is withheld."""

from __future__ import annotations

from collections.abc import Sequence

from so8t.core.types import Decision, Floor, Verdict

FAILED = "答えを作れませんでした。時間をおいて、もう一度お試しください。"
EMPTY = "(モデルは何も答えませんでした)"


def refusal(verdict: Verdict, floors: Sequence[Floor] = ()) -> str:
    """For what is not allowed. Which rules matched is for reviewers, who cannot be tried out; `floors` are facts of the
    asker's own request, and he is told. Raises ValueError for an ALLOW, which has an answer instead."""
    if verdict.decision == Decision.DENY:
        said = f"この依頼にはお応えできません。根拠: {verdict.policy_ref}。"
        return said + "お困りの点があれば、正規の手続きを担当部門にご相談ください。"
    if verdict.decision == Decision.ESCALATE:
        target = verdict.escalation_target
        why = "".join(one.reason for one in floors if one.decision is Decision.ESCALATE)
        said = f"この依頼は {target} の判断が必要です。{why}引き継ぎとして記録しました。根拠: {verdict.policy_ref}。"
        return said + "".join(f"判定器 {o.judge} が答えていません: {o.reason}。" for o in verdict.opinions if o.failed)
    raise ValueError(verdict.decision)


def withheld(why: str) -> str:
    return f"答えを作りましたが、確認のため差し止めました({why})。"


def cut_short(why: str) -> str:
    """Ends an answer of which part has been released already."""
    return f"\n(ここから先は、確認のため差し止めました。{why})"


def tool_allowed(tool: str, case: int, *, used: bool) -> str:
    """A person has allowed a call; the asker makes it, once."""
    if used:
        return f"道具 {tool} の呼び出しは許可され、実行されました。"
    return f'道具 {tool} の呼び出しが許可されました。同じ引数に "case": {case} を添えて送ると、一度だけ実行します。'
