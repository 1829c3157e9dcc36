"""Small files in the exact published layouts of SQuAD, FairytaleQA and NarrativeQA, for tests to write and to break."""

from __future__ import annotations

import copy
import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

RIVERS = (
    "The Elbe rises in the Giant Mountains. It flows through Dresden and Hamburg, which have 0.56 and 1.8 million "
    "people, and reaches the North Sea at Cuxhaven.[citation needed] Dr. Weber measured 1,094 kilometres in 1898."
)
SEAS = "The North Sea is shallow. It is 970 kilometres long."


def answer(context: str, text: str, which: int = 0) -> dict[str, Any]:
    start = -1
    for _ in range(which + 1):
        start = context.index(text, start + 1)
    return {"text": text, "answer_start": start}


def squad(version: str = "v2.0", titles: tuple[str, ...] = ("Elbe",)) -> dict[str, Any]:
    """A file's content: two paragraphs an article."""
    articles = []
    for title in titles:
        rivers = [
            {
                "id": f"{title}-1",
                "question": " Where does the Elbe rise?",
                "answers": [answer(RIVERS, "Giant Mountains"), *[answer(RIVERS, "the Giant Mountains")] * 2],
                "is_impossible": False,
            },
            {
                "id": f"{title}-2",
                "question": "Where does the Oder rise?",
                "answers": [],
                "plausible_answers": [answer(RIVERS, "Giant Mountains")],
                "is_impossible": True,
            },
            {
                "id": f"{title}-3",
                "question": "What does the text say after Cuxhaven?",
                "answers": [answer(RIVERS, "Cuxhaven.[citation needed] Dr. Weber")],
                "is_impossible": False,
            },
        ]
        seas = [{"id": f"{title}-4", "question": "How long is the North Sea?", "answers": [answer(SEAS, "970 kilometres")]}]
        paragraphs = [{"context": RIVERS, "qas": rivers}, {"context": SEAS, "qas": seas}]
        articles.append({"title": title, "paragraphs": paragraphs})
    content = {"version": version, "data": articles}
    if version == "1.1":
        for article in articles:
            kept = [entry for entry in article["paragraphs"][0]["qas"] if entry["answers"]]
            article["paragraphs"][0]["qas"] = [{k: v for k, v in entry.items() if k != "is_impossible"} for entry in kept]
    return copy.deepcopy(content)


def write_json(path: Path, content: Any) -> str:
    text = json.dumps(content).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return str(path)


def table(rows: list[tuple[Any, ...]]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


QUESTION_HEADER = (
    "question_id,local-or-sum,cor_section,attribute1,attribute2,question,ex-or-im1,answer1,answer2,answer3,ex-or-im2,"
    "answer4,answer5,answer6"
).split(",")
STORY = [
    ("section", "text"),
    (1, 'Once there was a fox. He lived\nin a green wood.\n\n"Good day," said the hare.'),
    (2, "The fox ate a cake. The hare wept bitterly. Then it rained"),
    (3, "At last the fox baked a new cake for the hare."),
]
QUESTIONS = [
    tuple(QUESTION_HEADER),
    (1, "local", "1", "setting", "", "Where did the fox live?", *"explicit|in a green wood|||explicit|a wood||".split("|")),
    (2, "local", "2", "feeling", "", "How did the hare feel?", "implicit", "sad", "unhappy", "", "", "", "", ""),
    (3, "summary", "2,3", "action", "", "What did the fox do?", "explicit", "ate a cake, and baked a new cake", *[""] * 6),
]


def write_tale(root: Path, name: str = "fox", part: str = "train", story: Any = STORY, questions: Any = QUESTIONS) -> Path:
    """Rows, or a text, or bytes, for each of a tale's two files."""
    for kind, file, content in (("section-stories", "story", story), ("questions", "questions", questions)):
        path = root / "fairytaleqa" / kind / part / f"{name}-{file}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = table(content) if isinstance(content, list) else content
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


QAPS_HEADER = tuple(
    "document_id,set,question,answer1,answer2,question_tokenized,answer1_tokenized,answer2_tokenized".split(",")
)
DOCUMENTS_HEADER = tuple(
    "document_id,set,kind,story_url,story_file_size,wiki_url,wiki_title,story_word_count,story_start,story_end".split(",")
)


def write_narratives(root: Path, documents: dict[str, str] | None = None) -> Path:
    """A folder in NarrativeQA's layout: two questions for each document (id: set)."""
    documents = documents or {"aa": "train", "bb": "valid", "cc": "test"}
    qaps: list[tuple[Any, ...]] = [QAPS_HEADER]
    summaries: list[tuple[Any, ...]] = [("document_id", "set", "summary", "summary_tokenized")]
    listed: list[tuple[Any, ...]] = [DOCUMENTS_HEADER]
    for name, part in documents.items():
        qaps += [
            (name, part, f"Who finds the ring of {name}?", "Anna", "Anna does", "", "", ""),
            (name, part, "Where is it?", "In the well.", "In the well.", "", "", ""),
        ]
        summary = f" Anna lives in {name}.\n\nShe finds the ring in the well. All are glad.\n"
        summaries.append((name, part, summary, summary.lower()))
        listed.append((name, part, "gutenberg", "", 1, "", f"Tale {name}", 9, "CHAPTER ONE .", "the END ."))
    for path, rows in (("qaps.csv", qaps), ("documents.csv", listed), ("third_party/wikipedia/summaries.csv", summaries)):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(table(rows))
    return root
