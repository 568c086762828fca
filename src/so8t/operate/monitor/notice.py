"""How people are told of a finding: a line in a file, a mail on the LAN (operate/review/notify.py)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.message import EmailMessage

from so8t.core.serve_config import NotifyConfig
from so8t.operate.monitor.finding import SEVERITY_WORDS, Finding


@dataclass(frozen=True, slots=True)
class FindingNotice:
    """`held`: how many more were kept back in the quiet hours that have ended."""

    finding: Finding
    seq: int
    time: str
    address: str
    held: int = 0

    def line(self) -> str:
        fields = self.finding.to_json() | {"event": "finding", "seq": self.seq, "time": self.time}
        return json.dumps(fields | {"held": self.held, "address": self.address}, ensure_ascii=False)

    def mail(self, config: NotifyConfig) -> EmailMessage:
        message, meaning = EmailMessage(), self.finding.meaning
        message["From"], message["To"] = config.sender, ", ".join(config.recipients)
        message["Subject"] = f"[so8t] {SEVERITY_WORDS[self.finding.severity].ja} 台帳 {self.seq}"
        held = f"\n静かな時間に、ほかに {self.held} 件ありました。\n{self.held} more came in the quiet hours.\n"
        message.set_content(
            f"{self.finding.line('ja')}\n次に: {meaning.next.ja}\n時刻 {self.time}\n{self.address}\n\n"
            f"{self.finding.line('en')}\nnext: {meaning.next.en}\n" + (held if self.held else "")
        )
        return message
