"""Mail drafts over a real small model: how many of its bodies hold, and what the checks refuse the others for.

    python3 benchmarks/mail.py --model F.gguf [--turns gemma|phi]

A dozen orders in three registers, written for this. A body is used where it says every point, invents no number or
name, and is as polite as ordered; else the draft lists the points (operate/mail/drafting.py). Whatever the model
writes, every draft must say every point and hold no number that the order lacks: that is counted for all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from pathlib import Path

from so8t.ask.llamacpp import LlamaCpp
from so8t.ask.llamacpp_server import serve
from so8t.core.packaged import packaged, policy_text
from so8t.core.serve_config import MailConfig
from so8t.decide.calibrate import Calibration
from so8t.decide.domain import DomainModel
from so8t.decide.policy import parse_policy
from so8t.decide.prompt import ChatFormat
from so8t.judge.model import ModelJudge
from so8t.judge.precedent import PrecedentStore
from so8t.judge.triple import TripleJudge
from so8t.operate.answering import Answering
from so8t.operate.held import share, unheard
from so8t.operate.identity.identity import Identity, Role
from so8t.operate.mail.drafting import COVERED, PHRASES
from so8t.operate.mail.making import MailWork, request
from so8t.operate.mail.order import Order

CONTEXT = 2048
COMPANY = MailConfig(("example.co.jp",))
TURNS = {
    "gemma": "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else 'user' }}\n{{ m.content }}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
    "phi": "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}",
}
ORDERS = (
    ("定例会議の日程変更を連絡する", "丁寧", ["十二月三日の十五時からに変わります", "会議室は三階のままです"]),
    (
        "見積もりを依頼する",
        "丁重",
        ["包装機の部品五十個です", "十二月十日までにいただけると助かります"],
    ),
    (
        "納期の遅れを伝える",
        "丁重",
        ["部品の入荷が一週間遅れます", "出荷は十二月二十日になります"],
    ),
    ("勤務の交代を頼む", "簡潔", ["金曜の夜勤を代わってもらえませんか", "土曜は私が出ます"]),
    ("研修の案内を送る", "丁寧", ["情報セキュリティ研修は一月十五日です", "出欠を十二月末までに返信してください"]),
    ("書類の不備を知らせる", "丁寧", ["経費の申請書に領収書が足りません", "月末までに出し直してください"]),
    ("面談のお礼を伝える", "丁重", ["本日はお時間をいただきありがとうございました", "ご提案は社内で検討します"]),
    ("機器の停止を連絡する", "簡潔", ["土曜の九時から十二時まで、第二サーバーを止めます", "その間は印刷できません"]),
    ("資料を送る", "丁寧", ["安全講習の資料を添付します", "二頁の図だけ差し替えました"]),
    ("欠席を知らせる", "簡潔", ["明日の朝会は通院で欠席します", "報告は昼までに書いておきます"]),
    ("契約の更新を相談する", "丁重", ["保守契約は三月で切れます", "更新の条件を伺いたく存じます"]),
    ("忘れ物を知らせる", "簡潔", ["会議室に青い手帳がありました", "総務で預かっています"]),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, metavar="GGUF")
    parser.add_argument("--turns", choices=sorted(TURNS), default="gemma")
    options = parser.parse_args()
    return asyncio.run(measured(options.model, TURNS[options.turns]))


async def measured(model: Path, turns: str) -> int:
    policy, counts = parse_policy(*policy_text("demo")), Counter[str]()
    domains = DomainModel.from_bytes(packaged("models", "domain_model.npz").read_bytes())
    identity = Identity("b", frozenset({Role.USER}), policy.levels.names[1], "key")
    with serve(model, CONTEXT, threads=2) as address:
        backend = LlamaCpp(address)
        judged = ModelJudge(backend, ChatFormat(turns), "compact", 1.0)
        judge = TripleJudge(policy, judged, PrecedentStore([]), domains, Calibration())
        work = MailWork(Answering(backend, CONTEXT), COMPANY)
        for purpose, register, points in ORDERS:
            told = {"purpose": purpose, "register": register, "points": points, "to": ["田中 <t@example.co.jp>"]}
            order, begin = Order.from_json(told | {"sender": "総務課 佐藤"}), time.perf_counter()
            answer = await work(request(identity, order, None, policy, COMPANY), None, judge)
            made = answer.made or {}
            body, known = str(made["body"]), [order.query(), PHRASES, "1 2 3"]
            counts[str(made["written"])] += 1
            counts["every point"] += all(share(point, body) >= COVERED for point in points)
            counts["nothing invented"] += not unheard(body, known)
            print(f"{purpose}: {made['written']}, {time.perf_counter() - begin:.0f} s")
        await backend.close()
    total = len(ORDERS)
    print(", ".join(f"{name} {count}/{total}" for name, count in sorted(counts.items())))
    return 0 if counts["every point"] == counts["nothing invented"] == total else 1


if __name__ == "__main__":
    sys.exit(main())
