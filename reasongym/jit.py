"""How every compiled operation of the suite is compiled. Importing this imports numba: only compiled modules do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba as nb

F = TypeVar("F", bound=Callable)
OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}


def operation(function: F) -> F:
    """A part of a kernel: inlined into the entry point, with no reference counting of arrays.

    Kernels only borrow arrays that their caller holds; counting references to them anyway took three quarters of a step
    (820 ns against 220 ns), and calls instead of inlining another third (132 ns). So: no allocation and no slices in here.
    Division follows NumPy (no exceptions), and there is no fastmath.
    """
    return nb.njit(inline="always", **OPTIONS)(function)


def rare_operation(function: F) -> F:
    """A part of a kernel that few steps reach: called instead of inlined, so that it is compiled once, not in every kernel."""
    return nb.njit(**OPTIONS)(function)


def entry_point(function: F) -> F:
    """A kernel that Python calls: it releases the GIL and runs over a range of rows."""
    return nb.njit(nogil=True, **OPTIONS)(function)


def scalar_function(function: F) -> F:
    """A function of numbers that kernels call without inlining it, and that Python can call too."""
    return nb.njit(**OPTIONS)(function)


@operation
def popcount(bits):
    """Number of elements of a set kept in the bits of an int32."""
    count = 0
    while bits != 0:
        bits &= bits - 1
        count += 1
    return count
