"""What can go wrong with a judge, by type. All are `PRMError`, so a policy of "raise" stops a run with the reason."""

from __future__ import annotations

from reasongym.errors import PRMError


class JudgeError(PRMError):
    """A judge gave no verdict."""


class CapabilityError(JudgeError):
    """The server cannot do what was asked of it: no log-probabilities, no such model, no access."""


class RefusedError(JudgeError):
    """The judge, or a filter in front of it, declined to answer."""


class TruncatedError(JudgeError):
    """The reply was cut off before the verdict."""


class UnreadableError(JudgeError):
    """The reply is no verdict: not JSON, a missing or repeated field, a label that was not offered, nothing at all."""


class UnknownCriterionError(UnreadableError):
    """The reply judges a criterion that was not asked for."""


class WindowError(JudgeError):
    """The prompt is longer than the model's window."""


class RequestError(JudgeError):
    """The server rejected this one request."""


class UnavailableError(JudgeError):
    """The server is dead, too slow, or keeps failing."""


class UnreachableError(UnavailableError):
    """There is no connection to the server at all."""


class CostError(JudgeError):
    """The next call might spend more than `max_cost`."""
