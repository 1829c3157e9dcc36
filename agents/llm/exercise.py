"""An exercise in reading, to begin from: sentences of a text one after another, each with what to do, and the answer.

What a turn of play teaches is one decision for one sentence, with the memory around it. To see whether a sentence bears on a
question takes a model from scratch many thousand of them; here a sequence has ten, in a fifth of the tokens. So the exercise is
a conversation in which nothing is forgotten, and no substitute for play.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from agents.llm.chat import Message, Prompter
from agents.llm.supervised import Pair
from agents.llm.transcripts import WORD
from reasongym.seeding import rng
from reasongym.types import Problem, ProblemSource


def telling_words(problems: Iterable[Problem], common: int = 60) -> set[str]:
    """Words of texts and questions, but for so many of the commonest, which say little by themselves."""
    count = Counter[str]()
    for problem in problems:
        for text in (*problem.story.units, problem.question):
            count.update(WORD.findall(text))
    return {word for word, _ in count.most_common()[common:]}


def exercises(
    source: ProblemSource,
    problems: Sequence[int],
    words: Collection[str],
    sentences: int = 10,
    near: float = 0.5,
    seed: int = 0,
) -> Iterator[list[Message]]:
    """A conversation a problem: the question, some sentences in the order of the text, those needed among them, the answer.

    Args:
        source: of problems whose support is known.
        problems: indices of the split.
        words: that tell something (`telling_words`): a sentence is near to a question that has one of its words.
        sentences: of a conversation; texts that have fewer give what they have.
        near: share of the sentences that are not needed which are near, where there are so many.
        seed: of the choice.

    Raises:
        ValueError: a problem's support is not known.
    """
    draw, kept = rng(seed, 23), frozenset(words)
    for index in problems:
        problem = source.problem(int(index))
        if problem.support is None:
            raise ValueError(f"problem {index} of {source.name} has no support, so nobody knows what should be kept")
        units, needed = problem.story.units[: problem.num_units], set(problem.support)
        asked = kept.intersection(WORD.findall(problem.question))
        others = [unit for unit in draw.permutation(len(units)).tolist() if unit not in needed]
        others.sort(key=lambda unit: asked.isdisjoint(WORD.findall(units[unit])))
        count = min(len(others), max(0, sentences - len(needed)))
        some = round(near * count)
        chosen = sorted([*needed, *others[:some], *others[len(others) - (count - some) :]])
        shown = [(unit, units[unit], unit in needed) for unit in chosen]
        yield conversation(problem.question, shown, len(units), problem.answers[0] if problem.answers else "none")


def conversation(question: str, sentences: Sequence[tuple[int, str, bool]], of: int, answer: str) -> list[Message]:
    """The question, sentences (place in the text, words, whether it is needed) with what to do, the answer: all as in play."""
    chat: list[Message] = []
    slot, lead = 1, f"Question: {question}\n"
    for unit, text, needed in sentences:
        chat.append({"role": "user", "content": f"{lead}Desk (sentence {unit + 1} of {of}): {text}"})
        chat.append({"role": "assistant", "content": f"store {slot}" if needed else "next"})
        slot, lead = slot + needed, "\n"
    chat.append({"role": "user", "content": "\nDesk is empty: the text is over."})
    chat.append({"role": "assistant", "content": f"answer {answer}"})
    return chat


def marked(chat: Sequence[Message], prompter: Prompter) -> tuple[Pair, list[float]]:
    """(what precedes the first reply, the rest) in token ids, and weights of the tokens of the rest: 1 where it is a reply."""
    ids, said = prompter.conversation(chat)
    first = said.index(True)
    return (ids[:first], ids[first:]), [float(one) for one in said[first:]]
