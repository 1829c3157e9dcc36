"""FairytaleQA: questions of education experts on whole tales, answered in free words.

Xu and others, "Fantastic Questions and Where to Find Them: FairytaleQA, An Authentic Dataset for Narrative Comprehension",
ACL 2022, arXiv 2203.13947.

A problem reads the whole tale: its sections in order, with a blank line between them; no unit crosses a section. The data
names the sections that a question is about, not the sentences. The support has one unit of each of them: the one that holds
the span closest to an answer by ROUGE-L, where several are as close the one that shares most link words with the question,
then the first. Three quarters of the answers are in the text ("explicit"); the support of the others ("implicit") is weak.
"""

from __future__ import annotations

import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from reasongym.errors import DataError
from reasongym.metrics.generated import words
from reasongym.tasks.files import File
from reasongym.tasks.passages import BETWEEN_SECTIONS, Asked, Faults, FaultyRecordError, Passage, Support, Units
from reasongym.tasks.rouge import Words, best_span
from reasongym.tasks.text_source import Recipe, TextSource, bound_of, knobs_of, shape_of
from reasongym.tasks.tokens import Tokenizer
from reasongym.types import Spans

UNIT_TOKENS = 64
"""Of the sentences 96% have no more (the shipped vocabulary); the others are halved."""
QUESTION_TOKENS = 48
"""The longest question of train and val has 32."""
SPANS = Spans("rouge_l", max_length=30, right_at=0.5)
"""99.0% of the training answers, and 98.6% of val's, have at most 31 tokens."""
ANSWERS = ("answer1", "answer2", "answer3", "answer4", "answer5", "answer6")
QUESTION_COLUMNS = ("question_id", "local-or-sum", "cor_section", "attribute1", "attribute2", "question", "ex-or-im1", *ANSWERS)
STORY_COLUMNS = ("section", "text")
KNOBS: dict[str, tuple[str, ...] | None] = {
    "form": ("explicit", "implicit"),
    "kind": (
        "action",
        "causal relationship",
        "character",
        "feeling",
        "outcome resolution",
        "prediction",
        "setting",
    ),
    "scope": ("local", "summary"),
    "max_units": None,
}
PARTS = {"train": "train", "validation": "val", "test": "test"}

_NUMBER = re.compile(r"[0-9]{1,6}")
_FILE = re.compile(r"(.+)-(questions|story)\.csv")


def load(
    *,
    source: str | os.PathLike[str],
    split: str = "train",
    num_problems: int | Literal["auto"] | None = "auto",
    difficulty: str | Mapping[str, Any] = "published",
    strict: bool = True,
    allow_partial: bool = False,
    annotation: bool = True,
    tokenizer: str | os.PathLike[str] | None = None,
    unit_tokens: int | None = None,
    question_tokens: int | None = None,
    max_answer_length: int | None = None,
) -> TextSource:
    """A source of FairytaleQA's published questions.

    Args:
        source: a `.tar.gz` or a folder that holds `questions/train/<tale>-questions.csv` and
            `section-stories/train/<tale>-story.csv` (so for `val`, `test`), at any depth; or a folder of such archives.
        split: "train", "validation" (the files of `val`) or "test".
        num_problems: upper bound; "auto" and None are all there are.
        difficulty: "published", or a mapping that keeps a part of the questions: "form" ("explicit", "implicit"), "kind"
            ("action", "feeling", ...), "scope" ("local": one section, "summary": several), "max_units" (shorter tales only).
        strict: False skips broken records (a question, or a tale that cannot be read), counts them in `skipped` and warns.
        allow_partial: nothing is marked as partial in this set.
        annotation: False hands out problems without answers and support.
        tokenizer: as in `reasongym.tasks.tokens.load_tokenizer`.
        unit_tokens: longest unit; longer sentences are halved until they fit. Default 64.
        question_tokens: longest question; a longer one is a broken record. Default 48.
        max_answer_length: most tokens between an answer's first and last one. Default 30.

    Raises:
        UnknownNameError: a split, difficulty, knob or value that does not exist.
        DataError: a file is missing or broken; the message names file and row.
        ImportError: a package of `reasongym[text]` is missing.
    """
    count = bound_of(split, num_problems)
    shape = shape_of(tokenizer, unit_tokens, question_tokens, max_answer_length, defaults=(UNIT_TOKENS, QUESTION_TOKENS, SPANS))
    knobs = knobs_of(difficulty, KNOBS)
    tales = _tales(Path(source).expanduser(), PARTS[split])
    recipe = Recipe(
        dataset="fairytaleqa",
        kind="published",
        split=split,
        digests=[part for tale in tales for part in (tale.name, tale.questions.digest, tale.story.digest)],
        knobs=knobs,
        shape=shape,
        read=lambda faults: _read(tales, knobs, faults),
        find_support=SectionSupport(shape.tokenizer, shape.spans.max_length),
        strict=strict,
    )
    return TextSource(recipe, num_problems=count, annotation=annotation)


@dataclass(frozen=True, slots=True)
class Tale:
    """The two files of a tale."""

    name: str
    questions: File
    story: File


def _tales(place: Path, part: str) -> list[Tale]:
    """The tales of a part ("train", "val", "test"), by name."""
    archives = sorted(place.glob("*.tar.gz")) if place.is_dir() else [place]
    found = [entry for archive in archives for entry in _in_archive(archive)]
    if place.is_dir():
        found += _in_folder(place)
    files: dict[tuple[str, str], File] = {}
    parts = set()
    for path, file in found:
        match = _FILE.fullmatch(path.name)
        folders = set(path.parts[-3:-1])
        kind = next(iter(folders & {"questions", "section-stories"}), None)
        here = next(iter(folders & set(PARTS.values())), None)
        if match and here and kind == {"questions": "questions", "story": "section-stories"}[match[2]]:
            parts.add(here)
            if here == part:
                files[match[1], match[2]] = file
    if not files:
        raise DataError(
            f"{place} holds no files of FairytaleQA's part {part!r}: looked for questions/{part}/<tale>-questions.csv and "
            f"section-stories/{part}/<tale>-story.csv, found the parts {', '.join(sorted(parts)) or '(none)'}"
        )
    names = sorted({name for name, _ in files})
    for name in names:
        for kind in ("questions", "story"):
            if (name, kind) not in files:
                other = files[name, "story" if kind == "questions" else "questions"]
                raise DataError(f"{other.where} stands alone: there is no {name}-{kind}.csv of the part {part!r} to go with it")
    return [Tale(name, files[name, "questions"], files[name, "story"]) for name in names]


def _in_folder(place: Path) -> Iterator[tuple[PurePosixPath, File]]:
    for path in sorted(place.rglob("*.csv")):
        if path.is_file() and _FILE.fullmatch(path.name):
            yield PurePosixPath(*path.absolute().parts[-3:]), File.of(path)


def _in_archive(place: Path) -> Iterator[tuple[PurePosixPath, File]]:
    if not place.is_file():
        raise DataError(
            f"no FairytaleQA data at {str(place)!r}: expected a .tar.gz or a folder with questions/train/<tale>-questions.csv"
        )
    try:
        with tarfile.open(place) as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if member.isfile() and _FILE.fullmatch(path.name):
                    yield path, File(f"{place}/{member.name}", archive.extractfile(member).read())  # type: ignore[union-attr]
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{place} is no whole tar archive (cut short or broken): {error}") from error


def _read(tales: Sequence[Tale], knobs: Mapping[str, Any], faults: Faults) -> Iterator[Passage]:
    for tale in tales:
        try:
            sections = _sections(tale.story)
            rows = list(tale.questions.rows(QUESTION_COLUMNS))
        except DataError as error:
            if faults.strict:
                raise
            faults.add(tale.name, error)
            continue
        passage = Passage(tale.story.where, tuple(sections.values()), [])
        place = {number: i for i, number in enumerate(sections)}
        for where, row in rows:
            try:
                asked = _asked(row, where, tale.name, place)
            except FaultyRecordError as fault:
                faults.add(where, fault)
                continue
            if all(asked.meta[knob] == value for knob, value in knobs.items() if knob != "max_units"):
                passage.asked.append(asked)
        yield passage


def _sections(file: File) -> dict[int, str]:
    """The sections of a tale by number, in the file's order; one may go on in the next row (as in "The Remarkable Rocket")."""
    sections: dict[int, str] = {}
    last = None
    for where, row in file.rows(STORY_COLUMNS):
        if isinstance(row, str):
            raise DataError(f"{where}: {row}")
        number, text = row["section"].strip(), row["text"]
        if not _NUMBER.fullmatch(number) or (number != last and int(number) in sections):
            raise DataError(f"{where}: section must be a number that no earlier section has, got {number!r:.80}")
        if not text.strip():
            raise DataError(f"{where}: section {number} has no text")
        sections[int(number)] = sections[int(number)] + BETWEEN_SECTIONS + text if number == last else text
        last = number
    if not sections:
        raise DataError(f"{file.where} holds no section")
    return sections


def _asked(row: Mapping[str, str] | str, where: str, tale: str, place: Mapping[int, int]) -> Asked:
    if isinstance(row, str):
        raise FaultyRecordError(row)
    question = row["question"].strip()
    references = tuple(dict.fromkeys(text for name in ANSWERS if (text := row[name].strip())))
    if not question or not references:
        raise FaultyRecordError(f"{'the question' if not question else 'every answer'} is empty")
    meta: dict[str, Any] = {"tale": tale, "id": row["question_id"].strip()}
    for name, column in (("form", "ex-or-im1"), ("kind", "attribute1"), ("scope", "local-or-sum")):
        meta[name] = row[column].strip().lower()
        if meta[name] not in (KNOBS[name] or ()):
            raise FaultyRecordError(f"{column} must be one of {', '.join(KNOBS[name] or ())}, got {row[column]!r:.80}")
    numbers = [number.strip() for number in row["cor_section"].split(",")]
    for number in numbers:
        if not _NUMBER.fullmatch(number) or int(number) not in place:
            raise FaultyRecordError(
                f"cor_section {row['cor_section']!r:.80} must name sections of the tale, which has {min(place)} to {max(place)}"
            )
    sections = list(dict.fromkeys(map(int, numbers)))
    evidence = tuple(place[number] for number in sections)
    return Asked(where, question, references, meta, {"sections": sections}, evidence)


@dataclass(frozen=True, slots=True)
class SectionSupport:
    """Finds one unit of each section that a question is about; `Asked.evidence` is their indices."""

    tokenizer: Tokenizer
    max_length: int

    def __call__(self, passage: Passage, units: Units, question_links: Sequence[int]) -> list[Support]:
        pairs = zip(units.texts, self.tokenizer.encode_all(list(units.texts)), strict=True)
        found = [Words.of(text, encoding) for text, encoding in pairs]
        members: list[list[int]] = [[] for _ in passage.sections]
        for unit, section in enumerate(units.sections):
            members[section].append(unit)
        out: list[Support] = []
        for asked, links in zip(passage.asked, question_links, strict=True):
            references = [words(reference) for reference in asked.references]
            support = []
            for section in asked.evidence:
                ranks = [
                    (best_span(found[unit], references, self.max_length)[0], (units.links[unit] & links).bit_count(), -unit)
                    for unit in members[section]
                ]
                if ranks:
                    support.append(-max(ranks)[2])
            out.append(tuple(support))
        return out
