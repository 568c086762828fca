"""One line of the plan, in words and as a record."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Topic = Literal["parameters", "memory", "fit", "time", "disk", "cost"]
TOPICS: dict[Topic, tuple[str, str]] = {
    "parameters": ("パラメータ", "Parameters"),
    "memory": ("学習中のメモリ", "Memory while training"),
    "fit": ("カードに収まるか", "What fits on a card"),
    "time": ("時間", "Time"),
    "disk": ("ディスク", "Disk"),
    "cost": ("電力と費用", "Power and money"),
}
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Row:
    """Our figure, the plan document's, and where ours comes from. `number` is the figure itself, in `unit`.

    `value_en`, `plan_en`, `basis_en` stand where the words differ; "" = the same in both languages.
    """

    topic: Topic
    ja: str
    en: str
    value: str
    plan: str = ""
    basis: str = ""
    basis_en: str = ""
    value_en: str = ""
    plan_en: str = ""
    number: float | None = None
    unit: str = ""

    def cells(self, lang: str) -> list[str]:
        """item, estimate, the plan says, from."""
        if lang == "ja":
            return [self.ja, self.value, self.plan, self.basis]
        plan, basis = self.plan_en or self.plan, self.basis_en or self.basis
        return [self.en, self.value_en or self.value, plan, basis]

    def to_json(self) -> dict[str, str | float | None]:
        return asdict(self)


def count(topic: Topic, ja: str, en: str, number: int, plan: str = "", basis: str = "", basis_en: str = "") -> Row:
    return Row(topic, ja, en, f"{number:,}", plan, basis, basis_en, number=number, unit="count")


def size(topic: Topic, ja: str, en: str, number: float, plan: str = "", basis: str = "", basis_en: str = "") -> Row:
    """Bytes; below 10 MiB in MiB."""
    shown = f"{number / GIB:,.2f} GiB" if number >= 10 * 2**20 else f"{number / 2**20:.2f} MiB"
    return Row(topic, ja, en, shown, plan, basis, basis_en, number=number, unit="bytes")


def yen(ja: str, en: str, number: float, plan: str = "", basis: str = "", basis_en: str = "") -> Row:
    shown, plan_en = (f"{number:,.0f} 円", f"{number:,.0f} yen"), plan.replace("円", "yen")
    return Row("cost", ja, en, shown[0], plan, basis, basis_en, shown[1], plan_en, number, "yen")
