"""What `--prm` may name: a reference PRM, or whatever `reasongym.prm.loading` knows by name; made into a scorer of records."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from reasongym.errors import PRMError
from reasongym.prm.base import ProcessRewardModel
from reasongym.prm.bench.adapter import StepBatchScorer
from reasongym.prm.bench.plain_text import LexicalScorer
from reasongym.prm.bench.references import Always, Oracle, Random, StepTypePrior
from reasongym.prm.loading import load_prm
from reasongym.prm.records import RecordScorer, StepRecord

REFERENCES: dict[str, Callable[[], Any]] = {
    "oracle": Oracle,
    "always-yes": lambda: Always(1),
    "always-no": lambda: Always(-1),
    "random": Random,
    "step-type prior": StepTypePrior,
    "lexical": LexicalScorer,
}


@runtime_checkable
class Unfitted(Protocol):
    """What must see labels before it can score: the bench fits it on other problems than those that it scores."""

    def fit(self, records: Sequence[StepRecord]) -> RecordScorer:
        """The scorer."""
        ...


def load_scorer(name: str, judge: Mapping[str, Any] | None = None) -> RecordScorer | Unfitted:
    """What the name stands for; `judge` are keywords for a judge by name.

    Raises:
        UnknownNameError: it stands for nothing.
        PRMError: as for `load_prm`; what it stands for is no PRM.
    """
    try:
        return as_scorer(load_prm(name, REFERENCES, judge=judge), name)
    except TypeError as error:
        raise PRMError(str(error)) from error


def as_scorer(prm: object, name: str = "prm") -> RecordScorer | Unfitted:
    """The object itself where it scores records or can be fitted, wrapped where it is a PRM of environments.

    Raises:
        TypeError: it is neither.
    """
    if inspect.isclass(prm):
        raise TypeError(f"{name} is the class {prm.__name__}; give an object: {prm.__name__}(...)")
    if callable(getattr(prm, "score_records", None)):
        for attribute, kind in (("criteria", tuple), ("version", str)):
            if not isinstance(getattr(prm, attribute, None), kind):
                raise TypeError(
                    f"{name} scores records, but its attribute {attribute!r} must be a {kind.__name__}, "
                    f"got {getattr(prm, attribute, None)!r}"
                )
        return prm  # type: ignore[return-value]
    if isinstance(prm, ProcessRewardModel):
        return StepBatchScorer(prm)
    if isinstance(prm, Unfitted):
        return prm
    raise TypeError(
        f"{name} is {prm!r}, no PRM: it needs criteria, version and score_records(records) -> one (T, k) array a record "
        "(or score(steps), as environments call it, with needs_annotation and default_beta)"
    )
