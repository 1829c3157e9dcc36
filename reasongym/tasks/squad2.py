"""SQuAD: questions on paragraphs of Wikipedia, whose answer is a span of the paragraph, or (2.0) is not there.

Rajpurkar, Zhang, Lopyrev, Liang, "SQuAD: 100,000+ Questions for Machine Comprehension of Text", arXiv 1606.05250 (2016);
Rajpurkar, Jia, Liang, "Know What You Don't Know: Unanswerable Questions for SQuAD", arXiv 1806.03822 (2018).

Files of 1.1 and 2.0 are read alike. The support of a question is the unit that holds the gold span (the units, where it
crosses a border): of the span that most annotators marked, the first of them where several are as good.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from reasongym.errors import DataError
from reasongym.seeding import BUCKETS, story_bucket
from reasongym.tasks.files import File
from reasongym.tasks.parquet import hub_rows, is_hub
from reasongym.tasks.passages import Asked, Faults, FaultyRecordError, Passage, Support, Units
from reasongym.tasks.squad_layout import Source, choose, files_of
from reasongym.tasks.text_source import Recipe, TextSource, bound_of, knobs_of, shape_of
from reasongym.types import Spans

UNIT_TOKENS = 64
"""Of the sentences of SQuAD, 95% have no more (the shipped vocabulary); the others are halved."""
QUESTION_TOKENS = 80
"""The longest question of the 1.1 training set has 66, of the development set 39."""
SPANS = Spans("f1", max_length=30, right_at=1.0)
"""99.7% of the training set's answers, and 99.9% of the development set's, have at most 31 tokens."""
REMOTE = "hf://datasets/rajpurkar/squad_v2/squad_v2"


def load(
    *,
    source: Source,
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
    """A source of SQuAD's published questions.

    Where there are files named `train*` and files named `dev*` (or `valid*`), each split is its own files. Where there are
    `train*` files alone, the split "validation" is a tenth of their articles, by the hash of their titles. A file of another
    name counts as `train*`. Files named `dev*` alone are the split "validation", whole, and there is no "train".

    Args:
        source: a `.json` or `.json.gz` file; a folder of files named `train*`, `dev*` or `test*` (of several versions, such as
            `train-v1.1.json` and `train-v2.0.json`, the newest is taken); several of these, as a sequence or in one string with
            `os.pathsep` between them; or a mapping that says which file is for what, whatever its name:
            `{"train": ["train-v1.1.json", "dev-v2.0.json"]}` divides the articles of both. "hub" reads the Parquet files of
            `rajpurkar/squad_v2`, "hub:FOLDER" a copy of them.
        split: "train", "validation" or "test" (files named `test*`).
        num_problems: upper bound; "auto" and None are all there are.
        difficulty: "published", or {"max_units": n}, which leaves out longer paragraphs.
        strict: False skips broken records (a question; a paragraph or an article that cannot be read), counts them in
            `skipped` and warns. A file that is no JSON raises either way.
        allow_partial: True admits files with `.partial.` in their names.
        annotation: False hands out problems without answers and support.
        tokenizer: as in `reasongym.tasks.tokens.load_tokenizer`.
        unit_tokens: longest unit; longer sentences are halved until they fit. Default 64.
        question_tokens: longest question; a longer one is a broken record. Default 80.
        max_answer_length: most tokens between an answer's first and last one. Default 30.

    Raises:
        UnknownNameError: a split, difficulty or knob that does not exist.
        DataError: a file is missing or broken; the message names file, article, paragraph and question.
        ImportError: a package of `reasongym[text]` (or, for the hub, `reasongym[data]`) is missing.
    """
    count = bound_of(split, num_problems)
    shape = shape_of(tokenizer, unit_tokens, question_tokens, max_answer_length, defaults=(UNIT_TOKENS, QUESTION_TOKENS, SPANS))
    knobs = knobs_of(difficulty, {"max_units": None})
    hub = is_hub(source)
    if hub:
        files, divided = [_hub_file(str(source), split)], False
    else:
        files, divided = choose(files_of(source, allow_partial), split, source)
    recipe = Recipe(
        dataset="squad2",
        kind="hub" if hub else "published",
        split=split,
        digests=[*(file.digest for file in files), str(divided)],
        knobs=knobs,
        shape=shape,
        read=lambda faults: _read(files, split if divided else None, faults),
        find_support=find_support,
        strict=strict,
    )
    return TextSource(recipe, num_problems=count, annotation=annotation)


def _hub_file(source: str, split: str) -> File:
    """The rows of the hub in the published layout."""
    if split == "test":
        raise DataError("source='hub': rajpurkar/squad_v2 has no split 'test'; its 'validation' is the public development set")
    where, rows = hub_rows(source, REMOTE, f"{split}-*.parquet", ("id", "title", "context", "question", "answers"))
    articles: dict[str, dict[str, list[Any]]] = {}
    for row in rows:
        answers = row["answers"]
        try:
            listed = [{"text": t, "answer_start": a} for t, a in zip(answers["text"], answers["answer_start"], strict=True)]
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{where}: expected answers = {{text, answer_start}}, got {answers!r:.200}") from None
        asked = {"id": row["id"], "question": row["question"], "answers": listed, "is_impossible": not listed}
        articles.setdefault(row["title"], {}).setdefault(row["context"], []).append(asked)
    data = [
        {"title": title, "paragraphs": [{"context": text, "qas": qas} for text, qas in paragraphs.items()]}
        for title, paragraphs in articles.items()
    ]
    return File(where, json.dumps({"version": "hub", "data": data}).encode())


def _read(files: Sequence[File], split: str | None, faults: Faults) -> Iterator[Passage]:
    """The passages of all files; of those of a split, where their articles are divided."""
    seen: dict[str, str] = {}
    for file in files:
        content = file.json()
        if not isinstance(content, dict) or not isinstance(content.get("data"), list):
            raise DataError(f"{file.where} is no SQuAD file: expected {{'version': ..., 'data': [...]}}, got {content!r:.80}")
        for i, article in enumerate(content["data"]):
            where = f"{file.where}, article {i + 1}"
            try:
                title = _string(article, "title")
                paragraphs = _list(article, "paragraphs")
            except FaultyRecordError as fault:
                faults.add(where, fault)
                continue
            held_out = story_bucket(title) in BUCKETS["validation"]
            if split is not None and held_out != (split == "validation"):
                continue
            for j, paragraph in enumerate(paragraphs):
                at = f"{where} ({title}), paragraph {j + 1}"
                try:
                    passage = Passage(at, (_string(paragraph, "context"),), [])
                    listed = _list(paragraph, "qas")
                except FaultyRecordError as fault:
                    faults.add(at, fault)
                    continue
                for k, entry in enumerate(listed):
                    name = entry.get("id") if isinstance(entry, dict) else None
                    here = f"{at}, question {k + 1}" + (f" (id {name})" if isinstance(name, str) else "")
                    try:
                        asked = _asked(entry, passage.sections[0], title, here)
                        if asked.meta["id"] in seen:
                            raise FaultyRecordError(f"the same id stands at {seen[asked.meta['id']]} already")
                    except FaultyRecordError as fault:
                        faults.add(here, fault)
                        continue
                    seen[asked.meta["id"]] = here
                    passage.asked.append(asked)
                yield passage


def _asked(entry: Any, context: str, title: str, where: str) -> Asked:
    """A question of the published layout, checked."""
    question, name = _string(entry, "question").strip(), _string(entry, "id")
    impossible = entry.get("is_impossible", False)
    if not isinstance(impossible, bool):
        raise FaultyRecordError(f"is_impossible must be true or false, got {impossible!r:.80}")
    answers = _answers(entry, "answers", context)
    if impossible == bool(answers):
        raise FaultyRecordError(f"is_impossible is {str(impossible).lower()}, but there are {len(answers)} answers")
    gold_meta: dict[str, Any] = {}
    if impossible and "plausible_answers" in entry:
        gold_meta["plausible"] = list(dict.fromkeys(text for text, _ in _answers(entry, "plausible_answers", context)))
    references, chosen = _references(answers)
    if chosen:
        gold_meta["answer_start"] = list(references.values())
    evidence = None
    if chosen:
        text, start = chosen
        evidence = (start + len(text) - len(text.lstrip()), start + len(text.rstrip()))
    return Asked(where, question, tuple(references), {"title": title, "id": name}, gold_meta, evidence)


def _references(answers: list[tuple[str, int]]) -> tuple[dict[str, int], tuple[str, int] | None]:
    """The distinct texts of answers with their places, and the answer that most annotators gave, which comes first."""
    if len(answers) < 2:
        return dict(answers), answers[0] if answers else None
    chosen = Counter(answers).most_common(1)[0][0]
    places = dict([chosen])
    for text, start in answers:
        places.setdefault(text, start)
    return places, chosen


def _answers(entry: Mapping[str, Any], key: str, context: str) -> list[tuple[str, int]]:
    found = []
    for answer in _list(entry, key):
        text, start = _string(answer, "text"), answer.get("answer_start")
        if isinstance(start, bool) or not isinstance(start, int):
            raise FaultyRecordError(f"{key}: answer_start must be a whole number, got {start!r:.80}")
        if start < 0 or context[start : start + len(text)] != text:
            there = context[max(start, 0) : max(start, 0) + len(text)]
            raise FaultyRecordError(
                f"{key}: the text {text!r:.80} does not stand at answer_start {start}, where {there!r:.80} does"
            )
        found.append((text, start))
    return found


def _string(record: Any, key: str) -> str:
    value = _value(record, key)
    if not isinstance(value, str) or not value.strip():
        raise FaultyRecordError(f"{key!r} must be a text that is not empty, got {value!r:.80}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise FaultyRecordError(f"{key!r} holds half of a surrogate pair: {value!r:.80}") from None
    return value


def _list(record: Any, key: str) -> list[Any]:
    value = _value(record, key)
    if not isinstance(value, list):
        raise FaultyRecordError(f"{key!r} must be a list, got {value!r:.80}")
    return value


def _value(record: Any, key: str) -> Any:
    if not isinstance(record, dict):
        raise FaultyRecordError(f"expected an object with the key {key!r}, got {record!r:.80}")
    if key not in record:
        raise FaultyRecordError(f"the key {key!r} is missing; there are {', '.join(map(repr, record)) or 'none'}")
    return record[key]


def find_support(passage: Passage, units: Units, _: Sequence[int]) -> list[Support]:
    """The units that the gold span touches; () for unanswerable questions."""
    out: list[Support] = []
    for asked in passage.asked:
        if asked.evidence is None:
            out.append(())
        else:
            start, end = asked.evidence
            first, last = bisect_right(units.offsets, start) - 1, bisect_right(units.offsets, end - 1) - 1
            out.append(tuple(range(max(first, 0), max(last, 0) + 1)))
    return out
