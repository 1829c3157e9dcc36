"""Utilities: g(WM_t), what the memory after a step is worth.

| name | value | reads |
| --- | --- | --- |
| `coverage` | change of the share of the support held | support |
| `balance` | change of: the share of the support that is held, minus the share that was read and is not held | support |
| `level` | the share of the support held, not differenced | support |
| `answerability` | change of whether the right answer follows from what memory holds | support, gold, the world's solver |
| `prudence` | `balance` against what would be needed if the text ended with what was read | question, the world's solver |
| `use` | change of the share of the held units that were recalled since they were stored | nothing |
| `none` | 0 | nothing |

All but `answerability` and `prudence` are compiled. Any object with `value(view)` can be passed as `utility=`.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from reasongym.errors import unknown
from reasongym.jit import operation, popcount
from reasongym.types import MemoryView

NONE, COVERAGE, LEVEL, USE, BALANCE, OUTSIDE = range(6)
UTILITIES = {
    "none": NONE, "coverage": COVERAGE, "balance": BALANCE, "level": LEVEL, "use": USE, "answerability": OUTSIDE,
    "prudence": OUTSIDE,
}  # fmt: skip
ANNOTATED = frozenset({"coverage", "balance", "level", "answerability", "prudence"})


@runtime_checkable
class Utility(Protocol):
    """An object that values a memory.

    Attributes:
        needs_annotation: whether it reads the support.
    """

    needs_annotation: bool

    def value(self, view: MemoryView) -> np.ndarray:
        """(n,) float32: g of the memory after the step; NaN = unscored."""
        ...


def utility_code(utility: object) -> int:
    """The kernel's code of a utility given by name or as an object.

    Raises:
        UnknownNameError: no utility of this name.
        TypeError: neither a name nor a `Utility`.
    """
    if utility is None:
        return NONE
    if isinstance(utility, str):
        if utility not in UTILITIES:
            raise unknown("utility", utility, UTILITIES)
        return UTILITIES[utility]
    if not isinstance(utility, Utility):
        raise TypeError(f"utility={utility!r} must be one of {', '.join(UTILITIES)} or have needs_annotation and value(view)")
    return OUTSIDE


def needs_annotation(utility: object) -> bool:
    """Whether this utility reads the support."""
    return utility in ANNOTATED if isinstance(utility, str) else bool(getattr(utility, "needs_annotation", False))


@operation
def compiled_value(code, state, slots, num_support):
    """g of one environment's memory. Where support is unknown, what reads it is unscored (NaN)."""
    if code == NONE:
        return 0.0
    if code == USE:
        level = _share_used(state, slots)
    elif num_support < 0:
        return np.nan
    elif num_support == 0:
        return 0.0
    else:
        level = popcount(state.holding) / num_support
        if code == BALANCE:
            level -= popcount(state.seen & ~state.holding) / num_support
    change = level - state.level
    state.level = level
    return level if code == LEVEL else change


@operation
def _share_used(state, slots):
    """Of the units held, those that were recalled since they were stored."""
    held, recalled = 0, 0
    for k in range(state.occupied):
        held += slots[k].held
        recalled += slots[k].used
    return recalled / held if held > 0 else 0.0
