"""Power and money, reckoned from the prices in [plan] (plan 1.2, 6.2; SPEC O11). Arithmetic, never a promise."""

from __future__ import annotations

from dataclasses import dataclass

from so8t.core.config import PlanConfig

MONTHS = 12


@dataclass(frozen=True, slots=True)
class Cost:
    """Yen and kilowatt hours."""

    prices: PlanConfig

    @property
    def initial(self) -> float:
        return self.prices.hardware_yen + self.prices.labour_hours * self.prices.labour_yen

    @property
    def monthly_kwh(self) -> float:
        return self.prices.running_watts * self.prices.running_hours / 1000

    @property
    def monthly_power(self) -> float:
        return self.monthly_kwh * self.prices.yen_per_kwh

    @property
    def monthly(self) -> float:
        return self.monthly_power + self.prices.maintenance_yen

    def training_kwh(self, hours: float) -> float:
        return self.prices.training_watts * hours / 1000

    def training(self, hours: float) -> float:
        """Yen for the electricity of a training of so many hours."""
        return self.training_kwh(hours) * self.prices.yen_per_kwh

    def payback_months(self, cloud: float) -> float | None:
        """Months until what is saved beside a bill of `cloud` yen a month equals the initial cost; None = never."""
        saved = cloud - self.monthly
        return self.initial / saved if saved > 0 else None

    def saving(self, cloud: float) -> float | None:
        """Share of a bill of `cloud` yen a month that is saved; negative = it costs more."""
        return (cloud - self.monthly) / cloud if cloud > 0 else None

    def return_on_investment(self, cloud: float, months: int = MONTHS) -> float | None:
        """(saved in `months` - initial) / initial; None where nothing was invested."""
        if self.initial <= 0:
            return None
        return ((cloud - self.monthly) * months - self.initial) / self.initial
