"""Bars: what a benchmark has measured against its goal, as a table for people and one JSON line for tools."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

__all__ = ["Bar", "show"]


@dataclass(frozen=True)
class Bar:
    """One figure with its goal. `at_least` says on which side of the goal it should be."""

    what: str
    value: float
    goal: float
    at_least: bool
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.value >= self.goal if self.at_least else self.value <= self.goal


def show(bars: Sequence[Bar]) -> None:
    """Print the bars: a table, then `{"bars": [...]}` as the last line."""
    width = max((len(bar.what) for bar in bars), default=4)
    print(f"\n{'what':<{width}}  {'value':>10}  {'goal':>12}  met")
    for bar in bars:
        goal = f"{'≥' if bar.at_least else '≤'} {bar.goal:g}"
        print(
            f"{bar.what:<{width}}  {bar.value:>10.3f}  {goal:>12}  {'yes' if bar.met else 'NO'}  {bar.unit}"
        )
    rows = [{**asdict(bar), "met": bar.met} for bar in bars]
    print(json.dumps({"bars": [{k: row[k] for k in ("what", "value", "goal", "met")} for row in rows]}))
