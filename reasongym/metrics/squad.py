"""Exact match and F1 of SQuAD 2.0 (Rajpurkar, Jia, Liang, 2018, arXiv 1806.03822).

The numbers and the names in a report are those of the data set's own evaluation script. Beyond it: questions without a
prediction are left out of every number (the script stops at them), and average precision needs no pictures to be drawn.
"""

from __future__ import annotations

import re
import string
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence

PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def normalize(text: str) -> str:
    """The text as answers are compared: lower case, without ASCII punctuation, without a/an/the, single spaces.

    Punctuation is deleted, not replaced by spaces ("U.S." is "us", "re-take" is "retake"), and it goes before the articles
    do ("the-end" is "theend"). Other punctuation stays ("5–3" is "5–3").
    """
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """1.0 where the normalised prediction is one of the normalised references, else 0.0.

    References that are empty once normalised do not count; where none is left, only an empty prediction is right.
    """
    return float(normalize(prediction) in _accepted(references))


def f1(prediction: str, references: Sequence[str]) -> float:
    """F1 of the normalised prediction's words against the best reference, in [0, 1]; words count as often as they occur.

    References that are empty once normalised do not count; where none is left, only an empty prediction is right.
    """
    words = normalize(prediction).split()
    return max(_overlap(words, reference.split()) for reference in _accepted(references))


def squad_report(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    no_answer_probabilities: Mapping[str, float] | None = None,
    threshold: float = 1.0,
) -> dict[str, float]:
    """Scores of a whole data set, in percent, under the names of the official script.

    Args:
        predictions: question id to answer; "" abstains. Ids that `references` lacks are ignored.
        references: question id to all accepted answers; an empty sequence means unanswerable.
        no_answer_probabilities: question id to the probability that there is no answer.
        threshold: a probability above it turns the prediction into "no answer".

    Returns:
        `exact`, `f1`, `total`; the same as `HasAns_...` and `NoAns_...` where there are such questions. With probabilities also
        `best_exact`, `best_exact_thresh`, `best_f1`, `best_f1_thresh` (the best that any cut between the questions, ordered by
        probability, could reach) and, where some question has an answer, the average precisions `pr_exact_ap`,
        `pr_f1_ap` and `pr_oracle_ap`. The best cut may fall between questions of one probability, as it may in the official
        script: then no threshold reaches it, and it depends on the order of `no_answer_probabilities`.

    Warns:
        UserWarning: some questions have no prediction; every number leaves them out.

    Raises:
        ValueError: no question has a prediction, or a question that has one lacks a probability.
    """
    ids = _scored(predictions, references)
    answerable = {i: bool(references[i]) for i in ids}
    raw = {name: {i: score(predictions[i], references[i]) for i in ids} for name, score in (("exact", exact_match), ("f1", f1))}
    probabilities = dict.fromkeys(ids, 0.0) if no_answer_probabilities is None else no_answer_probabilities
    lacking = [i for i in ids if i not in probabilities]
    if lacking:
        raise ValueError(
            f"no_answer_probabilities lacks {len(lacking)} of the {len(ids)} questions that have a prediction, among them "
            f"{lacking[:3]}; give every one a probability, or none at all"
        )
    final = {
        name: {i: float(not answerable[i]) if probabilities[i] > threshold else scores[i] for i in ids}
        for name, scores in raw.items()
    }
    report = _summary(final, ids)
    for prefix, kind in (("HasAns", True), ("NoAns", False)):
        part = [i for i in ids if answerable[i] is kind]
        if part:
            report |= {f"{prefix}_{name}": value for name, value in _summary(final, part).items()}
    if no_answer_probabilities is not None:
        report |= _cuts(raw, predictions, answerable, no_answer_probabilities)
    return report


def _accepted(references: Sequence[str]) -> list[str]:
    """The normalised references that say something; [""] where none does."""
    return [text for text in map(normalize, references) if text] or [""]


def _overlap(prediction: list[str], reference: list[str]) -> float:
    """F1 of two bags of words; without any words on a side, 1 where both have none."""
    if not prediction or not reference:
        return float(prediction == reference)
    same = sum((Counter(prediction) & Counter(reference)).values())
    if not same:
        return 0.0
    precision, recall = same / len(prediction), same / len(reference)
    return 2 * precision * recall / (precision + recall)


def _scored(predictions: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> list[str]:
    """The questions that have a prediction, in the order of the references."""
    ids = [i for i in references if i in predictions]
    if not ids:
        raise ValueError(
            f"none of the {len(references)} questions has a prediction; got {len(predictions)} predictions for ids such as "
            f"{list(predictions)[:3]}, expected ids such as {list(references)[:3]}"
        )
    missing = [i for i in references if i not in predictions]
    if missing:
        warnings.warn(
            f"{len(missing)} of {len(references)} questions have no prediction and are left out, among them {missing[:3]}; "
            "predict '' to abstain",
            stacklevel=3,
        )
    return ids


def _summary(scores: Mapping[str, Mapping[str, float]], ids: Sequence[str]) -> dict[str, float]:
    """Means of some questions, in percent, and how many they are."""
    means = {name: 100 * sum(of[i] for i in ids) / len(ids) for name, of in scores.items()}
    return {**means, "total": len(ids)}


def _cuts(
    raw: Mapping[str, Mapping[str, float]],
    predictions: Mapping[str, str],
    answerable: Mapping[str, bool],
    probabilities: Mapping[str, float],
) -> dict[str, float]:
    """What cuts between the questions, ordered by probability, could reach; equal ones in the mapping's own order."""
    order = sorted((i for i in probabilities if i in answerable), key=probabilities.__getitem__)
    ordered = [probabilities[i] for i in order]
    positives = sum(answerable.values())
    out: dict[str, float] = {}
    for name, scores in raw.items():
        # An unanswerable question is lost once it is answered, even by punctuation alone: so the official script has it.
        gains = [scores[i] if answerable[i] else -float(predictions[i] != "") for i in order]
        best, threshold = _best_cut(len(order) - positives, gains, ordered)
        out |= {f"best_{name}": 100 * best / len(order), f"best_{name}_thresh": threshold}
    if positives:
        for name, scores in (*raw.items(), ("oracle", answerable)):
            gains = [float(scores[i]) if answerable[i] else 0.0 for i in order]
            out[f"pr_{name}_ap"] = 100 * _average_precision(gains, ordered, positives)
    return out


def _best_cut(start: float, gains: Sequence[float], probabilities: Sequence[float]) -> tuple[float, float]:
    """(best sum of scores, probability of the last question answered then, or 0); of equal cuts the first.

    Args:
        start: the sum where none is answered.
        gains: what answering each question too adds, the least probably unanswerable question first.
        probabilities: of no answer, in the same order.
    """
    total = best = start
    threshold = 0.0
    for gain, probability in zip(gains, probabilities, strict=True):
        total += gain
        if total > best:
            best, threshold = total, probability
    return best, threshold


def _average_precision(gains: Sequence[float], probabilities: Sequence[float], positives: int) -> float:
    """Area under precision over recall as a step function, with one step for all questions of the same probability.

    Args:
        gains: what each question adds to the true positives, the least probably unanswerable question first.
        probabilities: of no answer, in the same order.
        positives: true positives that there are to be had.
    """
    area = true = recall = 0.0
    following = [*probabilities[1:], None]
    for count, (gain, here, after) in enumerate(zip(gains, probabilities, following, strict=True), start=1):
        true += gain
        if here != after:
            area += true / count * (true / positives - recall)
            recall = true / positives
    return area
