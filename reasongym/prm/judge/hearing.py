"""How a judge comes to its verdicts: which questions are asked of the model, and what the replies to them say together.

A pair is (material, criterion). `Hearing.by_label` reads the probabilities of the labels, `Hearing.in_words` replies in words;
each question is asked in both label orders, and every reply is stored as it arrives.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reasongym.prm.judge.errors import CapabilityError, CostError, JudgeError
from reasongym.prm.judge.model import LanguageModel
from reasongym.prm.judge.questions import LABELS, Asking, Question
from reasongym.prm.judge.store import question_key
from reasongym.prm.judge.verdicts import LEAST_MASS, Reply, Verdict, explanation, mean, share, stated, unscored

ORDERS = (False, True)
Pair = tuple[str, str]
logger = logging.getLogger(__name__)


class Hearing:
    """Asks about pairs and decides on them.

    Args:
        asking: words the questions.
        model: answers them; its store keeps the replies, its ledger counts them.
        reasons: also ask why, beside label probabilities.
        skips: leave unscored what fails, instead of raising.
    """

    def __init__(self, asking: Asking, model: LanguageModel, *, reasons: bool, skips: bool) -> None:
        self._asking, self._backend, self.store, self._ledger = asking, model.backend, model.store, model.ledger
        self._reasons, self._skips = reasons, skips

    def by_label(self, pairs: Sequence[Pair]) -> dict[Pair, Verdict]:
        """Verdicts from the labels' probabilities; a server is asked for the verdict only where the criterion applies."""
        out: dict[Pair, Verdict] = {}
        shares: dict[tuple[str, Pair], tuple[float, float]] = {}
        for round_ in (("topic", "verdict"),) if self._backend.shares_prefix else (("topic",), ("verdict",)):
            asked = {
                (kind, pair): [self._asking.question(kind, pair[1], pair[0], order) for order in ORDERS]
                for kind in round_
                for pair in pairs
                if pair not in out
            }
            found = self._read(asked, share)
            for (kind, pair), answers in found.items():
                if isinstance(answers, JudgeError):
                    out[pair] = unscored(pair[1], str(answers))
                else:
                    shares[kind, pair] = mean([p for p, _ in answers]), min(mass for _, mass in answers)
                    self._ledger.mass += sum(mass for _, mass in answers)
                    self._ledger.masses += len(answers)
            for pair in pairs:
                if pair not in out and ("topic", pair) in shares:
                    verdict = _decided(pair[1], shares["topic", pair], shares.get(("verdict", pair)))
                    if verdict is not None:
                        out[pair] = verdict
        return self._with_reasons(out) if self._reasons else out

    def _with_reasons(self, judged: dict[Pair, Verdict]) -> dict[Pair, Verdict]:
        asked = {
            pair: [self._asking.question("reason", pair[1], pair[0], given=LABELS[verdict.probability < 0.5])]
            for pair, verdict in judged.items()
            if not verdict.unscored
        }
        for pair, answers in self._read(asked, explanation).items():
            if not isinstance(answers, JudgeError):
                judged[pair] = replace(judged[pair], reason=answers[0])
        return judged

    def in_words(self, pairs: Sequence[Pair]) -> dict[Pair, Verdict]:
        """Verdicts from replies in words, one in each label order."""
        asked = {pair: [self._asking.question("json", pair[1], pair[0], order) for order in ORDERS] for pair in pairs}
        out = {}
        for pair, answers in self._read(asked, stated).items():
            if isinstance(answers, JudgeError):
                out[pair] = unscored(pair[1], str(answers))
                continue
            applies, good = (mean([float(getattr(a, name)) for a in answers]) for name in ("applies", "good"))
            reason = next((a.reason for a in answers if a.reason and a.good == (good >= 0.5)), answers[0].reason)
            verdict = _decided(pair[1], (applies, 1.0), (good, 1.0))
            assert verdict is not None  # both halves are known
            out[pair] = replace(verdict, reason=reason)
        return out

    def _read(self, asked: Mapping[Any, Sequence[Question]], reader: Callable[[Reply, Question], Any]) -> dict[Any, Any]:
        """For each key what `reader` makes of the replies to its questions, or the first error.

        Raises:
            JudgeError: the first error of all, unless failures are to be left unscored.
        """
        replies = self._ask([question for questions in asked.values() for question in questions])
        out: dict[Any, Any] = {}
        for key, questions in asked.items():
            try:
                out[key] = [reader(_reply(replies[question]), question) for question in questions]
            except JudgeError as error:
                if not self._skips or isinstance(error, CapabilityError):
                    raise
                out[key] = error
        return out

    def _ask(self, questions: Iterable[Question]) -> dict[Question, Reply | JudgeError]:
        """The reply to each question, from the store or the model; every new one is stored as it arrives."""
        out: dict[Question, Reply | JudgeError] = {}
        missing: list[tuple[Question, str]] = []
        for question in dict.fromkeys(questions):
            key = question_key(self._backend.identity, question)
            known = self.store.get(key)
            if known is None:
                missing.append((question, key))
            else:
                out[question] = known
        self._ledger.questions += len(out) + len(missing)
        self._ledger.hits += len(out)

        def keep(i: int, reply: Reply) -> None:
            question, key = missing[i]
            self.store.put(key, reply)
            out[question] = reply

        failures = self._backend.answer([question for question, _ in missing], keep, stop_early=not self._skips)
        out.update({missing[i][0]: error for i, error in failures.items()})
        if failures and self._skips:
            first = next(iter(failures.values()))
            logger.warning("%d of %d questions got no reply and are left unscored: %s", len(failures), len(missing), first)
        elif failures:
            raise _worst(failures.values())
        return out


def _decided(criterion: str, topic: tuple[float, float], verdict: tuple[float, float] | None) -> Verdict | None:
    """The verdict from (probability, mass) of topic and verdict; None while only the verdict's call can tell."""
    applies, mass = topic
    if mass < LEAST_MASS:
        return unscored(criterion, f"the labels got {mass:.2f} of the probability when the topic was asked", mass=mass)
    if applies < 0.5:
        return unscored(criterion, "does not apply", applies=applies, mass=mass)
    if verdict is None:
        return None
    probability, certain = verdict
    known: dict[str, Any] = {"applies": applies, "mass": min(mass, certain), "probability": probability}
    if certain < LEAST_MASS:
        return unscored(criterion, f"the labels got {certain:.2f} of the probability when the verdict was asked", **known)
    return Verdict(criterion, 2 * probability - 1, **known)


def _reply(found: Reply | JudgeError) -> Reply:
    if isinstance(found, JudgeError):
        raise found
    return found


def _worst(errors: Iterable[JudgeError]) -> JudgeError:
    """The error that says most about why the run stopped."""
    return max(errors, key=lambda error: isinstance(error, CapabilityError | CostError))
