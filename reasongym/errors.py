"""Errors at real boundaries, and the message for an unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ReasonGymError(Exception):
    """Base of the suite's own errors."""


class DataError(ReasonGymError, ValueError):
    """A data file is missing, cut short or broken; the message names file and line."""


class UnknownNameError(ReasonGymError, ValueError):
    """A name that is not registered; the message lists the nearest known ones."""


class PRMError(ReasonGymError, RuntimeError):
    """A process reward model broke its contract (shape, range, criteria) or failed."""


def unknown(kind: str, name: object, known: Iterable[str], listed_by: str = "") -> UnknownNameError:
    """The error for an unknown `kind` of thing (`split`, `gate`, ...): quotes it and names the nearest known ones.

    Args:
        kind: what it was meant to be.
        name: what was asked for.
        known: all that there are; they are named too, unless
        listed_by: says what lists them, where they are many.
    """
    known = sorted(str(k) for k in known)
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    rest = f"{listed_by} lists all {len(known)}" if listed_by else f"known: {', '.join(known)}"
    return UnknownNameError(f"unknown {kind} {name!r}: {hint}{rest}")
