"""What the machine's time costs. Apart from training, whose code is part of every checkpoint's version: this is not."""

from pydantic import Field

from ft_assets.config import StrictModel

__all__ = ["CostConfig"]


class CostConfig(StrictModel):
    """What the machine costs. It changes no artifact: another price retrains nothing, and shows in the next run."""

    price_per_hour: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Price of an hour of the machine that trains, in `currency`. None: no price is shown."""

    currency: str = Field(default="EUR", pattern="^[A-Z]{3}$")
    """Currency, as ISO 4217 writes it."""

    def price(self, seconds: float) -> float | None:
        """Price of so many seconds; None where an hour has none."""
        return None if self.price_per_hour is None else seconds / 3600 * self.price_per_hour
