"""From a judge's reply to a verdict. Nothing here guesses: what cannot be read is an error, what is uncertain is unscored."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reasongym.prm.judge.errors import RefusedError, TruncatedError, UnknownCriterionError, UnreadableError
from reasongym.prm.judge.questions import LABELS, Question

LEAST_MASS = 0.5
"""Labels that together get less probability than this leave a step unscored."""


@dataclass(frozen=True)
class Reply:
    """What came back for one question, as it is stored.

    Attributes:
        probabilities: of each label as the reply's first token, all spellings of the label together; None where unasked.
        text: the reply in words.
        finish: why it ended: "stop", "length", "content_filter".
        refusal: what a refusal said, "" where there was none.
        tokens_in, tokens_out: as billed.
    """

    probabilities: Mapping[str, float] | None = None
    text: str = ""
    finish: str = "stop"
    refusal: str = ""
    tokens_in: int = 0
    tokens_out: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reply:
        """The inverse of `to_dict`."""
        return cls(**values)


@dataclass(frozen=True)
class Verdict:
    """A judge's verdict on one step and criterion.

    Attributes:
        criterion: which.
        score: in [-1, 1]; NaN = unscored.
        probability: of the good label among the labels, mean over both orders, before calibration; NaN where there is none.
        applies: probability that the criterion has anything to say about the step.
        mass: probability that the labels got together, the least of all questions asked; 1 for a verdict in words.
        reason: why, in the judge's words; "" where it was not asked.
        unscored: why there is no score; "" where there is one.
    """

    criterion: str
    score: float
    probability: float = math.nan
    applies: float = math.nan
    mass: float = math.nan
    reason: str = ""
    unscored: str = ""


def unscored(criterion: str, why: str, **known: Any) -> Verdict:
    """A verdict without a score."""
    return Verdict(criterion, math.nan, unscored=why, **known)


def share(reply: Reply, question: Question) -> tuple[float, float]:
    """(probability of the good label among the labels, mass of the labels) of a reply by label.

    Raises:
        RefusedError: the judge declined.
        UnreadableError: no probabilities, or numbers that are none.
    """
    refused(reply, question)
    if reply.probabilities is None:
        raise UnreadableError(f"{_about(question)}: the reply carries no probabilities of {' and '.join(LABELS)}")
    good, bad = (reply.probabilities.get(label, 0.0) for label in LABELS)
    mass = good + bad
    if not 0 <= mass <= 1 + 1e-3:
        raise UnreadableError(f"{_about(question)}: the labels' probabilities are {good} and {bad}, which no distribution has")
    return (good / mass if mass > 0 else math.nan), min(mass, 1.0)


@dataclass(frozen=True)
class Stated:
    """A verdict in words: whether the criterion applies, the reason, and the verdict, each as the judge stated it."""

    applies: bool
    good: bool
    reason: str


def stated(reply: Reply, question: Question) -> Stated:
    """The verdict in a JSON reply.

    Raises:
        RefusedError, TruncatedError, UnreadableError, UnknownCriterionError: see `errors`.
    """
    refused(reply, question)
    fields = _object(reply, question)
    if fields.get("criterion") != question.criterion:
        raise UnknownCriterionError(
            f"{_about(question)}: the reply judges the criterion {fields.get('criterion')!r}, which was not asked for"
        )
    answers = {}
    for name in ("applies", "verdict"):
        value = fields.get(name)
        value = LABELS[not value] if isinstance(value, bool) else value
        label = value.strip().casefold() if isinstance(value, str) else value
        if label not in LABELS:
            raise UnreadableError(f"{_about(question)}: {name!r} is {value!r} in the reply, expected {' or '.join(LABELS)}")
        answers[name] = label == LABELS[0]
    reason = fields.get("reason", "")
    return Stated(answers["applies"], answers["verdict"], reason if isinstance(reason, str) else json.dumps(reason))


def explanation(reply: Reply, question: Question) -> str:
    """The words of a reason, in one line; a reason that was cut off is kept, it decides nothing.

    Raises:
        RefusedError: the judge declined.
    """
    refused(reply, question)
    return " ".join(reply.text.split())


def mean(values: Sequence[float]) -> float:
    """Mean of both label orders."""
    return sum(values) / len(values)


def _object(reply: Reply, question: Question) -> dict[str, Any]:
    start = reply.text.find("{")
    try:
        if start < 0:
            raise ValueError("there is no {")
        found, _ = json.JSONDecoder(object_pairs_hook=_once).raw_decode(reply.text[start:])
    except ValueError as broken:
        if reply.finish == "length":
            raise TruncatedError(
                f"{_about(question)}: cut off after {reply.tokens_out} tokens, before the verdict; raise reply_tokens"
            ) from broken
        raise UnreadableError(f"{_about(question)}: the reply {_quote(reply.text)} is no JSON object ({broken})") from broken
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field stands in it twice")
    return fields


def refused(reply: Reply, question: Question) -> None:
    """Nothing, where the judge did not decline.

    Raises:
        RefusedError: it did.
    """
    if reply.refusal or reply.finish == "content_filter":
        raise RefusedError(f"{_about(question)}: the judge declined to answer: {_quote(reply.refusal or reply.finish)}")


def _about(question: Question) -> str:
    last = question.material.rsplit("\n", 1)[-1]
    return f"{question.kind} of {question.criterion!r} for the step {_quote(last)}"


def _quote(text: str) -> str:
    return repr(text if len(text) <= 120 else text[:117] + "...")
