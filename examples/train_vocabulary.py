"""Trains the shipped word pieces: `python examples/train_vocabulary.py --data FOLDER`, of SQuAD and FairytaleQA training text
and of the procedural training splits.

FOLDER holds `squad/train-v1.1-rebuilt.json.gz` and `fairytaleqa/train-val.tar.gz`. Validation text is not read.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from reasongym.tasks.prose import passages, tales

SIZE = 16_000
OUT = Path(__file__).resolve().parents[1] / "reasongym" / "tasks" / "wordpieces.json"


def squad(data: Path) -> Iterator[str]:
    """Contexts and questions."""
    with gzip.open(data / "squad" / "train-v1.1-rebuilt.json.gz", "rt", encoding="utf-8") as file:
        for article in json.load(file)["data"]:
            for paragraph in article["paragraphs"]:
                yield paragraph["context"]
                for question in paragraph["qas"]:
                    yield question["question"]


def fairytales(data: Path) -> Iterator[str]:
    """Sections, questions and answers of the training tales."""
    with tarfile.open(data / "fairytaleqa" / "train-val.tar.gz") as files:
        for member in files:
            if not member.isfile() or "/train/" not in member.name:
                continue
            rows = csv.DictReader(io.TextIOWrapper(files.extractfile(member), "utf-8"))  # type: ignore[arg-type]
            columns = ("text",) if "section-stories" in member.name else ("question", "answer1")
            for row in rows:
                yield from (row[column] for column in columns if row.get(column))


def procedural(problems: int) -> Iterator[str]:
    """Units, questions and answers of the procedural training splits."""
    for source in (passages(), tales(kind="summary"), tales(kind="fairytale")):
        for problem in map(source.problem, range(problems)):
            yield from (*problem.story.units, problem.question, *problem.answers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("REASONGYM_DATA"), help="default: REASONGYM_DATA")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--problems", type=int, default=2_000, help="procedural problems of each kind that are read")
    parser.add_argument("--smoke", action="store_true", help="procedural text alone, into the current folder")
    options = parser.parse_args()
    if options.smoke:
        options.out, options.size, options.problems = Path("wordpieces.json"), 500, 20
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False, handle_chinese_chars=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=options.size, special_tokens=["[UNK]"], show_progress=False)
    texts = [] if options.smoke else [*squad(options.data), *fairytales(options.data)]
    texts += procedural(options.problems)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(options.out), pretty=False)
    print(f"{tokenizer.get_vocab_size():,} pieces from {len(texts):,} texts in {options.out}")


if __name__ == "__main__":
    main()
