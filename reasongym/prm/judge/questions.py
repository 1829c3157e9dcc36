"""What a judge is asked: rubrics from files, material that is fenced, and the questions made of both.

A prompt file has a version tag in its first line and sections `[name]`. A prompt reads: system text, the material, and last the
rubric, so that all questions about one step begin alike and share a cached prefix.

The material is whatever passages or policies wrote, fenced (`prm.fences`): every line of it begins with "| ", so no line of it
can pass for one of ours, and the lines that a step goes on with begin with "| > ", so none passes for the next step's. A local
model is handed it with special tokens off besides.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Template

from reasongym.prm.fences import fenced, labelled, one_line

PROMPTS = Path(__file__).parents[1] / "prompts"
LABELS = ("yes", "no")
"""The verdict's words; the first is the good one."""


@dataclass(frozen=True)
class Rubric:
    """How one criterion is judged.

    Attributes:
        criterion: its name.
        version: changes with the text; part of every score's record.
        applies: asks whether the criterion has anything to say about a step.
        verdict: asks whether the step meets it; "yes" is good.
    """

    criterion: str
    version: str
    applies: str
    verdict: str


@dataclass(frozen=True)
class Question:
    """One thing asked of a judge.

    Attributes:
        kind: "topic", "verdict" (answered by a label), "json", "reason" or "completion" (answered in words).
        criterion: which.
        system: the system text.
        material: the fenced step with what stands before it; the same for all questions about it.
        ask: rubric and form of the answer; "" where the material holds the whole prompt.
        max_tokens: of the reply.
    """

    kind: str
    criterion: str
    system: str
    material: str
    ask: str
    max_tokens: int

    @property
    def content(self) -> str:
        """The user's message."""
        return f"{self.material}\n{self.ask}" if self.ask else self.material

    @property
    def messages(self) -> list[dict[str, str]]:
        """As a chat."""
        return [{"role": "system", "content": self.system}, {"role": "user", "content": self.content}]

    @property
    def temperature(self) -> float:
        """A judge says what it holds likeliest."""
        return 0.0

    @property
    def by_label(self) -> bool:
        """Whether the probabilities of the labels are the answer."""
        return self.kind in ("topic", "verdict")


def sections(path: Path) -> tuple[str, dict[str, str]]:
    """(version tag, text by section) of a prompt file.

    Raises:
        ValueError: no version tag in the first line, or no section.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    version, body = (lines[0].strip() if lines else ""), "\n".join(lines[1:])
    parts = re.split(r"^\[(\w+)\]$", body, flags=re.MULTILINE)
    if not re.fullmatch(r"[\w.-]+-\d+", version) or parts[0].strip() or len(parts) < 3:
        raise ValueError(
            f"{path} is no prompt: its first line must be a version tag such as 'logic-1' (got {version!r}), "
            "followed by sections that begin with a line '[name]'"
        )
    return version, {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def read_rubric(path: str | os.PathLike) -> Rubric:
    """The rubric in a file named after its criterion, with the sections `[applies]` and `[verdict]`.

    Raises:
        ValueError: a section is missing or empty.
    """
    path = Path(path)
    version, parts = sections(path)
    missing = [name for name in ("applies", "verdict") if not parts.get(name)]
    if missing:
        raise ValueError(f"{path} lacks the section [{missing[0]}]; a rubric has [applies] and [verdict], each a question")
    return Rubric(path.stem, version, parts["applies"], parts["verdict"])


class Asking:
    """Makes questions of rubrics and material, in the words of `prompts/judge.txt`."""

    def __init__(self, rubrics: Sequence[Rubric], reply_tokens: int) -> None:
        self.version, self._texts = sections(PROMPTS / "judge.txt")
        self.rubrics = {rubric.criterion: rubric for rubric in rubrics}
        self._reply_tokens = reply_tokens
        self._asked = lru_cache(maxsize=1024)(self._ask)

    def step(self, text: str) -> str:
        """Material of an environment's step, as `StepBatch.text` tells it."""
        return f"{self._texts['steps']}\n{fenced(text)}"

    def solution(self, prompt: str, steps: Sequence[str], thoughts: Sequence[str] | None = None) -> str:
        """Material of the last of `steps`, with those before it; grows at its end from step to step."""
        told = []
        for i, step in enumerate(steps):
            told += [labelled(f"thought before step {i + 1}", thoughts[i])] if thoughts and thoughts[i] else []
            told.append(labelled(f"step {i + 1}", step))
        parts = (self._texts["records"], fenced(prompt), self._texts["solution"], *map(fenced, told))
        return "\n".join(parts)

    def question(self, kind: str, criterion: str, material: str, swapped: bool = False, given: str = "") -> Question:
        """A question; `swapped` names the labels in the other order, `given` is the verdict that a reason is asked for."""
        max_tokens = 1 if kind in ("topic", "verdict") else self._reply_tokens
        ask = self._asked(kind, criterion, swapped, given)
        return Question(kind, self.rubric(criterion).criterion, self._texts["system"], material, ask, max_tokens)

    def rubric(self, criterion: str) -> Rubric:
        """By which a criterion is judged."""
        return self.rubrics[criterion]

    def _ask(self, kind: str, criterion: str, swapped: bool, given: str) -> str:
        rubric, quote = self.rubric(criterion), '"{}"' if kind == "json" else "{}"
        words: Mapping[str, str] = {
            "criterion": rubric.criterion,
            "applies": rubric.applies,
            "verdict": rubric.verdict,
            "labels": " or ".join(quote.format(label) for label in (LABELS[::-1] if swapped else LABELS)),
            "given": given,
        }
        return Template(self._texts[kind]).substitute(words)


class AskingInWords(Asking):
    """Asks about criteria that are sentences, of a reward tree say: `prompts/criterion.txt` makes a rubric of any of them."""

    NAME = "requirement"

    def __init__(self, reply_tokens: int) -> None:
        super().__init__((), reply_tokens)
        self._frame = read_rubric(PROMPTS / "criterion.txt")
        self.version = f"{self.version}, {self._frame.version}"

    def rubric(self, criterion: str) -> Rubric:
        """The rubric of a sentence, which may be a model's and is fenced."""
        words = {"requirement": fenced(one_line(criterion))}
        applies, verdict = (Template(text).substitute(words) for text in (self._frame.applies, self._frame.verdict))
        return Rubric(self.NAME, self._frame.version, applies, verdict)
