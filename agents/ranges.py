"""Checks of hyper-parameters: what is wrong, what was got, what was expected."""

from __future__ import annotations

import math
from typing import Any


def check_whole(of: Any, least: int, *names: str) -> None:
    """Attributes are whole numbers of at least `least`.

    Raises:
        ValueError: the first that is not.
    """
    for name in names:
        value = getattr(of, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")


def check_shares(of: Any, *names: str) -> None:
    """Attributes lie in [0, 1].

    Raises:
        ValueError: the first that does not.
    """
    for name in names:
        if not 0 <= getattr(of, name) <= 1:
            raise ValueError(f"{name} must lie in [0, 1], got {getattr(of, name)!r}")


def check_positive(of: Any, *names: str, finite: bool = True) -> None:
    """Attributes are positive and, unless it is said otherwise, finite.

    Raises:
        ValueError: the first that is not.
    """
    for name in names:
        value = getattr(of, name)
        if not value > 0 or (finite and value == math.inf):
            raise ValueError(f"{name} must be positive{' and finite' * finite}, got {value!r}")


def check_not_negative(of: Any, *names: str) -> None:
    """Attributes are finite and not negative.

    Raises:
        ValueError: the first that is.
    """
    for name in names:
        if not 0 <= getattr(of, name) < math.inf:
            raise ValueError(f"{name} must be finite and not negative, got {getattr(of, name)!r}")
