"""NarrativeQA: questions on books and film scripts, asked about their summary or about the whole text, answered in free words.

Kocisky, Schwarz, Blunsom, Dyer, Hermann, Melis, Grefenstette, "The NarrativeQA Reading Comprehension Challenge",
arXiv 1712.07040 (2017).

The published data says nothing about where an answer is found, so the support of every question is unknown; with
difficulty={"support": "weak"} it is guessed from the answers (`weak_support`), which is noisy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from reasongym.errors import DataError
from reasongym.tasks.files import File
from reasongym.tasks.parquet import hub_rows, is_hub
from reasongym.tasks.passages import Asked, Faults, Passage, Support, Units
from reasongym.tasks.text_source import Recipe, TextSource, bound_of, knobs_of, shape_of
from reasongym.tasks.weak_support import WeakSupport
from reasongym.types import Spans

UNIT_TOKENS = 64
QUESTION_TOKENS = 64
SPANS = Spans("rouge_l", max_length=30, right_at=0.5)
"""As FairytaleQA's, whose answers are longer; this set's were not measured."""
REMOTE = "hf://datasets/deepmind/narrativeqa/data"
PARTS = {"train": "train", "validation": "valid", "test": "test"}
QUESTION_COLUMNS = ("document_id", "set", "question", "answer1", "answer2")
SUMMARY_COLUMNS = ("document_id", "set", "summary")
DOCUMENT_COLUMNS = ("document_id", "set", "kind", "wiki_title", "story_start", "story_end")
KNOBS = {"text": ("summary", "story"), "support": ("none", "weak"), "max_units": None}


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
    """A source of NarrativeQA's published questions; their support is unknown (None) unless a weak one is asked for.

    Args:
        source: a folder with `qaps.csv`, `third_party/wikipedia/summaries.csv` and `documents.csv` (each may be a
            `.csv.gz`). With difficulty={"text": "story"} also the whole texts, as `stories/<document_id>.content` or, where the
            published script puts them, `tmp/<document_id>.content`. "hub" reads the Parquet files
            of `deepmind/narrativeqa`, "hub:FOLDER" a copy.
        split: "train", "validation" (the rows of the set `valid`) or "test".
        num_problems: upper bound; "auto" and None are all there are.
        difficulty: "published", or a mapping: "text" ("summary", the default; "story": the whole book or script), "support"
            ("none", the default: unknown; "weak": the units nearest to an answer, see `weak_support`; it reads the answers),
            "max_units" (shorter texts only).
        strict: False skips broken records (a question; a text that is missing or cannot be read), counts them in `skipped` and
            warns.
        allow_partial: nothing is marked as partial in this set.
        annotation: False hands out problems without answers.
        tokenizer: as in `reasongym.tasks.tokens.load_tokenizer`.
        unit_tokens: longest unit; longer sentences are halved until they fit. Default 64.
        question_tokens: longest question; a longer one is a broken record. Default 64.
        max_answer_length: most tokens between an answer's first and last one. Default 30.

    Raises:
        UnknownNameError: a split, difficulty, knob or value that does not exist.
        DataError: a file is missing or broken; the message names file and row.
        ImportError: a package of `reasongym[text]` (or, for the hub, `reasongym[data]`) is missing.
    """
    count = bound_of(split, num_problems)
    shape = shape_of(tokenizer, unit_tokens, question_tokens, max_answer_length, defaults=(UNIT_TOKENS, QUESTION_TOKENS, SPANS))
    knobs = knobs_of(difficulty, KNOBS)
    whole = knobs.get("text") == "story"
    hub = is_hub(source)
    layout = _hub(str(source), split, whole) if hub else _layout(Path(source).expanduser(), PARTS[split], whole)
    recipe = Recipe(
        dataset="narrativeqa",
        kind="hub" if hub else "published",
        split=split,
        digests=[file.digest for file in layout.files()],
        knobs=knobs,
        shape=shape,
        read=lambda faults: _read(layout, PARTS[split], faults),
        find_support=WeakSupport(shape.tokenizer, shape.spans.max_length)
        if knobs.get("support") == "weak"
        else _unknown_support,
        strict=strict,
    )
    return TextSource(recipe, num_problems=count, annotation=annotation)


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of the published layout; `stories` by document id, empty where summaries are read."""

    questions: File
    summaries: File | None
    documents: File | None
    stories: Mapping[str, File] = field(default_factory=dict)

    def files(self) -> list[File]:
        found = [self.questions, self.summaries, self.documents, *(self.stories[name] for name in sorted(self.stories))]
        return [file for file in found if file is not None]


def _layout(place: Path, part: str, whole: bool) -> Layout:
    if not place.is_dir():
        raise DataError(
            f"no NarrativeQA data at {str(place)!r}: expected a folder with qaps.csv, documents.csv and "
            "third_party/wikipedia/summaries.csv, or source='hub'"
        )
    questions = _file(place, "qaps.csv", needed=True)
    documents = _file(place, "documents.csv", needed=False)
    if not whole:
        return Layout(questions, _file(place, "third_party/wikipedia/summaries.csv", needed=True), documents)
    folders = [folder for name in ("stories", "tmp") if (folder := place / name).is_dir()]
    wanted = {row["document_id"] for _, row in questions.rows(QUESTION_COLUMNS) if isinstance(row, dict) and row["set"] == part}
    stories = {
        path.name.removesuffix(".content"): File.of(path)
        for folder in reversed(folders)
        for path in sorted(folder.glob("*.content"))
        if path.name.removesuffix(".content") in wanted
    }
    if not stories:
        raise DataError(
            f"{place} has no whole texts: expected stories/<document_id>.content (or tmp/<document_id>.content), which "
            "difficulty={'text': 'story'} reads; the summaries need no such files"
        )
    return Layout(questions, None, documents, stories)


def _file(place: Path, name: str, *, needed: bool) -> Any:
    for path in (place / name, place / f"{name}.gz"):
        if path.is_file():
            return File.of(path)
    if needed:
        have = ", ".join(sorted(path.name for path in place.iterdir()))[:300]
        raise DataError(f"{place} has no {name} (or {name}.gz), which NarrativeQA's layout has; it has {have or 'nothing'}")
    return None


def _read(layout: Layout, part: str, faults: Faults) -> Iterator[Passage]:
    """The passages of a part: one per document, in the order in which questions first name them."""
    about = dict(_records(layout.documents, DOCUMENT_COLUMNS, part, faults)) if layout.documents else {}
    texts = dict(_texts(layout, about, part, faults))
    asked: dict[str, list[Asked]] = {}
    refused: set[str] = set()
    for where, row in layout.questions.rows(QUESTION_COLUMNS):
        if isinstance(row, str):
            faults.add(where, row)
        elif row["set"] == part:
            name = row["document_id"]
            question = row["question"].strip()
            references = tuple(dict.fromkeys(text for key in ("answer1", "answer2") if (text := row[key].strip())))
            if name not in texts:
                if name not in refused:
                    kind = "stories" if layout.stories else "summaries"
                    faults.add(where, f"the document {name!r:.80} has no text among the {kind}")
                refused.add(name)
            elif not question or not references:
                faults.add(where, f"{'the question' if not question else 'every answer'} is empty")
            else:
                meta = {"document": name, **_about(about.get(name))}
                asked.setdefault(name, []).append(Asked(where, question, references, meta, {}))
        elif row["set"] not in PARTS.values():
            faults.add(where, f"set must be one of {', '.join(PARTS.values())}, got {row['set']!r:.80}")
    for name, questions in asked.items():
        where, text = texts[name]
        yield Passage(where, (text,), questions)


def _about(row: tuple[str, dict[str, str]] | None) -> dict[str, str]:
    return {} if row is None else {"title": row[1]["wiki_title"], "kind": row[1]["kind"]}


def _records(file: File, columns: Sequence[str], part: str, faults: Faults) -> Iterator[tuple[str, tuple[str, dict[str, str]]]]:
    """(document id, (where, row)) of a part's rows."""
    seen: dict[str, str] = {}
    for where, row in file.rows(columns):
        if isinstance(row, str):
            faults.add(where, row)
        elif row["set"] == part:
            name = row["document_id"]
            if name in seen:
                faults.add(where, f"the document {name!r:.80} stands in {seen[name]} already")
                continue
            seen[name] = where
            yield name, (where, row)


def _texts(
    layout: Layout, about: Mapping[str, tuple[str, dict[str, str]]], part: str, faults: Faults
) -> Iterator[tuple[str, tuple[str, str]]]:
    """(document id, (where, text))."""
    if layout.summaries is not None:
        for name, (where, row) in _records(layout.summaries, SUMMARY_COLUMNS, part, faults):
            if row["summary"].strip():
                yield name, (where, row["summary"])
            else:
                faults.add(where, f"the summary of {name!r:.80} is empty")
    for name, file in layout.stories.items():
        try:
            text = file.text()
        except DataError as error:
            if faults.strict:
                raise
            faults.add(name, error)
            continue
        bounds = about[name][1] if name in about else {}
        yield name, (file.where, _between(text, bounds.get("story_start", ""), bounds.get("story_end", "")))


def _between(text: str, start: str, end: str) -> str:
    """The text from its published first words to its last ones; where they are not found, from its beginning, to its end."""
    first, last = _find(text, start), _find(text, end)
    begin = first[0].start() if first else 0
    after = [match for match in last if match.start() > begin]
    return text[begin : after[-1].end() if after else len(text)]


def _find(text: str, phrase: str) -> list[re.Match[str]]:
    """Where the words of a phrase stand, with any white space (or none) between them."""
    pieces = phrase.split()
    return list(re.finditer(r"\s*".join(map(re.escape, pieces)), text)) if pieces else []


def _unknown_support(passage: Passage, units: Units, _: Sequence[int]) -> list[Support]:
    return [None] * len(passage.asked)


def _hub(source: str, split: str, whole: bool) -> Layout:
    """The rows of the hub as files of the published layout."""
    where, rows = hub_rows(source, REMOTE, f"{split}-*.parquet", ("document", "question", "answers"))
    part = PARTS[split]
    questions: list[Sequence[str]] = [QUESTION_COLUMNS]
    summaries: dict[str, Sequence[str]] = {}
    stories: dict[str, File] = {}
    for row in rows:
        try:
            document = row["document"]
            name = document["id"]
            answers = [*(answer["text"] for answer in row["answers"]), "", ""][:2]
            questions.append((name, part, row["question"]["text"], *answers))
            if whole and name not in stories:
                stories[name] = File(f"{where}, document {name}", document["text"].encode())
            summaries.setdefault(name, (name, part, document["summary"]["text"]))
        except (KeyError, TypeError, AttributeError) as error:
            expected = "document = {id, summary: {text}, text}, question = {text}, answers = [{text}]"
            raise DataError(f"{where}: expected rows with {expected}, got {row!r:.200} ({error!r})") from None
    table = None if whole else File.of_rows(where, [SUMMARY_COLUMNS, *summaries.values()])
    return Layout(File.of_rows(where, questions), table, None, stories)
