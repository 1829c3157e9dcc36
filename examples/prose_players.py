"""How far reading without understanding gets: `python examples/prose_players.py` prints a table for every kind of prose.

Scripted players answer validation problems of each kind: *majority* gives the commonest training answer (of passages: it
abstains); *random* a random span of a random unit; *last* a fitting span of the last unit; *tf-idf* a fitting span of the
unit that shares the rarest words with the question, and *tf-idf, abstains* does so above the similarity that was best on
training problems. *Rules on the right unit* is told which unit to look at; *expert* gives the gold. The *span oracle* is the
best span of the answer's unit.
"""

from __future__ import annotations

import argparse
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

from reasongym.metrics import exact_match, f1, rouge_l
from reasongym.seeding import rng
from reasongym.tasks.prose.source import ProseSource, passages, tales
from reasongym.types import Problem

WORD = re.compile(r"\w+(?:[-']\w+)*|[^\w\s]")
STOP = frozenset("the a an of in to and was is did who what when where which why how many for by with that at it".split())
NUMBER = re.compile(r"\d[\d,]*")
NAME = re.compile(r"[A-Z][\w']*(?:\s+(?:of the |of )?[A-Z][\w']*)*")
REASON = re.compile(r"(?:because|since|, for|for|after|reason was that|from|to)\s+([^.,;]+)")
THINGS = re.compile(r"\b(?:a|an|the)\s+\w+(?:[- ]\w+)?")


def words(text: str) -> list[str]:
    return [word.lower() for word in WORD.findall(text) if word[0].isalnum()]


class Index:
    """How rare words are in training units."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        counts: Counter[str] = Counter()
        units = [unit for problem in problems for unit in problem.story.units]
        for unit in units:
            counts.update(set(words(unit)))
        self.rarity = {word: math.log(len(units) / (1 + count)) for word, count in counts.items()}
        self.rarest = math.log(len(units))

    def similarity(self, question: str, unit: str) -> float:
        """Cosine of the TF-IDF vectors."""
        a, b = ({w: n * self.rarity.get(w, self.rarest) for w, n in Counter(words(text)).items()} for text in (question, unit))
        norms = math.sqrt(sum(x * x for x in a.values()) * sum(x * x for x in b.values()))
        return sum(x * b.get(w, 0.0) for w, x in a.items()) / norms if norms else 0.0

    def best(self, problem: Problem) -> tuple[int, float]:
        """The unit nearest to the question, and how near it is."""
        near = [self.similarity(problem.question, unit) for unit in problem.story.units[: problem.num_units]]
        return max(range(len(near)), key=near.__getitem__), max(near)


def fitting(question: str, unit: str) -> str:
    """A span of a unit that fits the question word and does not stand in the question."""
    asked, known = question.lower(), set(words(question)) - STOP
    if re.search(r"\b(when|year|date)\b", asked):
        spans = [n for n in NUMBER.findall(unit) if len(n) == 4] or re.findall(r"(?:while|during|at|on|in) [^,.;]+", unit)
    elif re.search(r"how (many|much|tall|high|long|large|broad|wide)|price|sum|height|length|size|population", asked):
        spans = NUMBER.findall(unit)
    elif re.search(r"\b(who|whom|whose)\b", asked):
        spans = NAME.findall(unit)
    elif re.search(r"\b(where|town|city|place)\b", asked):
        spans = NAME.findall(unit[1:]) + THINGS.findall(unit)
    elif re.search(r"\b(why|reason|cause|ruined|brought)\b", asked):
        spans = REASON.findall(unit)
    else:
        spans = THINGS.findall(unit) + REASON.findall(unit) + NAME.findall(unit[1:])
    spans = [span.strip() for span in spans if not set(words(span)) & known]
    if spans:
        return spans[0]
    left = [word for word in WORD.findall(unit) if word[0].isalnum() and word.lower() not in known]
    return " ".join(left[-4:])


def any_span(unit: str, first: float, length: float) -> str:
    """A span of up to six words."""
    tokens = unit.split()
    start = int(first * len(tokens))
    return " ".join(tokens[start : start + 1 + int(length * 6)]).strip(".,;")


def span_oracle(problem: Problem, most: int = 20) -> float:
    """The best ROUGE-L of any span of a supporting unit."""
    best = 0.0
    for unit in (problem.support or ())[-1:]:
        tokens = problem.story.units[unit].split()
        for start in range(len(tokens)):
            for end in range(start + 1, min(start + most, len(tokens)) + 1):
                best = max(best, rouge_l(" ".join(tokens[start:end]), problem.answers))
                if best == 1.0:
                    return best
    return best


def threshold(index: Index, problems: Sequence[Problem]) -> float:
    """The similarity below which abstaining pays most on training problems."""
    scored = [(index.best(problem), problem) for problem in problems]
    gains = [
        (near, f1(fitting(p.question, p.story.units[unit]), p.answers), float(not p.answers)) for (unit, near), p in scored
    ]
    cuts = sorted(near for near, _, _ in gains)
    return max([0.0, *cuts[::10]], key=lambda cut: sum(right if near >= cut else none for near, right, none in gains))


def report(title: str, train: ProseSource, test: ProseSource, problems: int) -> None:
    """Prints one table."""
    known = [train.problem(i) for i in range(problems)]
    asked = [test.problem(i) for i in range(problems)]
    index, draws = Index(known), rng(0).random((problems, 3))
    score: Callable[[str, Sequence[str]], float] = f1 if test.spans.metric == "f1" else rouge_l
    common = Counter(p.answers[0] if p.answers else "" for p in known).most_common(1)[0][0]
    picks = [index.best(p) for p in asked]
    rows: dict[str, list[str]] = {
        f"majority ({common or 'abstain'})": [common] * problems,
        "random": [any_span(p.story.units[int(d[0] * p.num_units)], d[1], d[2]) for p, d in zip(asked, draws, strict=True)],
        "last": [fitting(p.question, p.story.units[p.num_units - 1]) for p in asked],
        "tf-idf": [fitting(p.question, p.story.units[unit]) for p, (unit, _) in zip(asked, picks, strict=True)],
    }
    none = sum(not p.answers for p in asked)
    if none:
        cut = threshold(index, known)
        rows["tf-idf, abstains"] = [span if near >= cut else "" for span, (_, near) in zip(rows["tf-idf"], picks, strict=True)]
    # the same unit-picker on the unit that holds the answer: what the span rules alone are worth
    rows["rules on the right unit"] = [fitting(p.question, p.story.units[p.support[-1]]) if p.support else "" for p in asked]
    rows["expert"] = [p.answers[0] if p.answers else "" for p in asked]
    held = [(unit, p) for (unit, _), p in zip(picks, asked, strict=True) if p.support]
    length = sum(p.num_units for p in asked) / problems
    print(f"\n{title}: {problems} problems, {length:.1f} units, {none / problems:.1%} unanswerable")
    print(
        f"tf-idf picks a supporting unit in {sum(unit in p.support for unit, p in held) / len(held):.1%} of the answerable, "
        f"the answer's own in {sum(unit == p.support[-1] for unit, p in held) / len(held):.1%}; "
        f"the last unit is the answer's in {sum(p.num_units - 1 == p.support[-1] for _, p in held) / len(held):.1%}"
    )
    if test.spans.metric == "rouge_l":
        oracle = [span_oracle(p) for p in asked]
        print(
            f"span oracle: ROUGE-L {sum(oracle) / problems:.3f}, 1 for {sum(x == 1 for x in oracle) / problems:.1%}, "
            f"below 0.5 for {sum(x < 0.5 for x in oracle) / problems:.1%}"
        )
    print(f"{'player':26} {'EM':>6} {test.spans.metric:>8} {'answerable':>11}")
    for name, given in rows.items():
        exact = sum(exact_match(answer, p.answers) for answer, p in zip(given, asked, strict=True)) / problems
        each = [(f1 if not p.answers else score)(answer, p.answers) for answer, p in zip(given, asked, strict=True)]
        able = [x for x, p in zip(each, asked, strict=True) if p.answers]
        print(f"{name:26} {exact:6.1%} {sum(each) / problems:8.1%} {sum(able) / len(able):11.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--smoke", action="store_true", help="20 problems of each kind")
    options = parser.parse_args()
    problems = 20 if options.smoke else options.problems
    for difficulty in ("easy", "published"):
        train, test = (passages(split=split, difficulty=difficulty) for split in ("train", "validation"))
        report(f"passages, {difficulty}", train, test, problems)
    for kind in ("summary", "fairytale"):
        report(f"tales, {kind}", tales(kind=kind), tales(kind=kind, split="validation"), problems)


if __name__ == "__main__":
    main()
