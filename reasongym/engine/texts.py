"""The distinct texts of a problem table: sentences, questions and references, as rows that kernels read.

Where answers are spans, sentences are also cut into pieces (`engine.pieces`). For a published source all of it is done at once
and kept on disk: tokenising SQuAD takes longer than reading it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from reasongym.engine.layout import REFERENCE
from reasongym.engine.pieces import METRICS, MOST_TOKENS, PIECES, Pieces, grown, hash_words, reference_tokens
from reasongym.tasks.cache import cached
from reasongym.types import Columns, Encoding, Encodings, ProblemSource, SpanSource

TEXTS_AT_ONCE = 8_192
"""Texts that are tokenised together: many are faster, all at once take a gigabyte."""


class Strings:
    """Distinct texts and their token rows, 0-padded to `width`; with `pieces`, also as spans are scored."""

    def __init__(self, source: ProblemSource, width: int, argument: str, dtype: np.dtype, pieces: Pieces | None = None) -> None:
        self.texts: list[str] = []
        self.tokens = np.zeros((64, width), dtype)
        self.pieces = pieces
        self._source, self._argument = source, argument
        self._spans = isinstance(source, SpanSource)  # asked once: a protocol's isinstance is slow
        self._index: dict[str, int] = {}

    def index(self, text: str) -> int:
        """Row of a text, added when it is new.

        Raises:
            ValueError: it has more tokens than the shapes allow.
        """
        return self.rows([text])[0]

    def rows(self, texts: Sequence[str]) -> list[int]:
        """Rows of some texts, each added when it is new: those of a problem at once, which is faster than one by one."""
        new = [text for text in dict.fromkeys(texts) if text not in self._index]
        if new:
            self.add(new)
        return [self._index[text] for text in texts]

    def add(self, texts: Sequence[str], encodings: Encodings | None = None) -> list[int]:
        """Rows of texts that are new and distinct.

        Args:
            encodings: the texts in tokens, where they are known.
        """
        ids = self._of_source(texts) if encodings is None else encodings
        first, width = len(self.texts), self.tokens.shape[1]
        sizes = np.diff(ids.first)
        if len(sizes) and sizes.max() > width:
            i = int(np.argmax(sizes > width))
            raise ValueError(
                f"{texts[i]!r} has {sizes[i]} tokens, but {self._argument}={width}; pass {self._argument}={sizes[i]} or more"
            )
        self.tokens = grown(self.tokens, first + len(texts))
        of = np.repeat(np.arange(len(texts)), sizes)
        self.tokens[first + of, np.arange(len(of)) - ids.first[of]] = ids.ids
        if self.pieces is not None:
            self.pieces.add(texts, ids)
        self.texts += texts
        self._index.update(zip(texts, range(first, first + len(texts)), strict=True))
        return list(range(first, first + len(texts)))

    def _of_source(self, texts: Sequence[str]) -> Encodings:
        """Texts in tokens, by the source's own `encode_all` where it has one (many at once are faster)."""
        source: Any = self._source
        if not self._spans:
            return Encodings.of([Encoding(tuple(source.tokenize(text)), (), ()) for text in texts])
        many = getattr(source, "encode_all", None)
        return Encodings.of([source.encode(text) for text in texts] if many is None or len(texts) == 1 else many(list(texts)))

    def restore(self, texts: Sequence[str], tokens: np.ndarray) -> None:
        """Becomes the table of these texts and token rows."""
        self.texts, self.tokens = list(texts), tokens
        self._index = {text: row for row, text in enumerate(texts)}


class References:
    """The answers that spans are scored against, one after another, each as the hashes of its tokens."""

    def __init__(self, metric: int) -> None:
        self.metric = metric
        self.texts: list[str] = []
        self.rows, self.wanted = np.zeros(64, REFERENCE), np.zeros(256, np.uint64)
        self._used = 0

    def add(self, problems: Iterable[Iterable[str]]) -> tuple[np.ndarray, np.ndarray]:
        """Adds the references of some problems, but those of which nothing is left to compare.

        Returns:
            (problems, 2) int64: how many each has, and the row of its first; (references,) bool: which were added.

        Raises:
            ValueError: one has more tokens than are compared.
        """
        said: list[tuple[str, ...]] = []
        kept: list[str] = []
        compared: list[bool] = []
        starts = [len(self.texts)]
        for texts in problems:
            for text in texts:
                tokens = reference_tokens(text, self.metric)
                if len(tokens) > MOST_TOKENS:
                    raise ValueError(f"an answer has {len(tokens)} tokens, at most {MOST_TOKENS} are compared: {text!r:.200}")
                compared.append(bool(tokens))
                if tokens:
                    said.append(tokens)
                    kept.append(text)
            starts.append(starts[0] + len(kept))
        distinct = {word: i for i, word in enumerate(dict.fromkeys(chain.from_iterable(said)))}
        sizes = np.fromiter(map(len, said), np.int64, len(said))
        end = self._used + int(sizes.sum())
        self.rows, self.wanted = grown(self.rows, starts[-1]), grown(self.wanted, end)
        of_word = np.fromiter(map(distinct.__getitem__, chain.from_iterable(said)), np.int64, end - self._used)
        self.wanted[self._used : end] = hash_words(list(distinct))[0][of_word]
        rows = self.rows[starts[0] : starts[-1]]
        rows["first"], rows["number"] = self._used + np.cumsum(sizes) - sizes, sizes
        self.texts += kept
        self._used = end
        return np.stack([np.diff(starts), starts[:-1]], axis=1), np.array(compared, bool)

    def restore(self, texts: list[str], rows: np.ndarray, wanted: np.ndarray) -> None:
        """Becomes these references."""
        self.texts, self.rows, self.wanted, self._used = texts, rows, wanted, len(wanted)


class Texts:
    """All texts of a table.

    Args:
        source: says how texts become tokens, and whether answers are spans.
        unit_tokens, question_tokens: Lu, Lq.
        dtype: of the token rows.
    """

    def __init__(self, source: ProblemSource, unit_tokens: int, question_tokens: int, dtype: np.dtype) -> None:
        self._source = source
        spans = source.spans if isinstance(source, SpanSource) else None
        metric = 0 if spans is None else METRICS[spans.metric]
        self.pieces = Pieces(metric)
        self.sentences = Strings(source, unit_tokens, "unit_tokens", dtype, None if spans is None else self.pieces)
        self.questions = Strings(source, question_tokens, "question_tokens", dtype)
        self.references = References(metric)

    def adopt(self, columns: Columns, *, reads_gold: bool) -> np.ndarray:
        """Takes over all texts of a source; sentence, question i is then in row i.

        Returns:
            (P, 2) int64: how many references each problem has, and the row of the first; (-1, 0) where they are not read.
        """
        if not isinstance(self._source, SpanSource):
            self.sentences.add(columns.sentences)
            self.questions.add(columns.questions)
            return np.tile(np.array([-1, 0]), (len(columns.story), 1))
        sizes = [len(columns.sentences), len(columns.questions), len(columns.story), reads_gold, self.pieces.metric]
        widths = [self.sentences.tokens.shape[1], self.questions.tokens.shape[1], self.sentences.tokens.dtype.str]
        code = b"".join((Path(__file__).parent / name).read_bytes() for name in ("texts.py", "pieces.py"))
        what = f"{self._source.fingerprint}/{sizes}/{widths}".encode()
        key = hashlib.blake2b(what + code, digest_size=16).hexdigest()
        entry = cached(f"texts-{key}", lambda: self._build(columns, reads_gold), lambda made: ({}, made), lambda _, made: made)
        self.sentences.restore(columns.sentences, entry["sentence_tokens"])
        self.questions.restore(columns.questions, entry["question_tokens"])
        self.pieces.restore(entry)
        self.references.restore([columns.references[i] for i in entry["kept"].tolist()], entry["rows"], entry["wanted"])
        return entry["references_of"]

    def _build(self, columns: Columns, reads_gold: bool) -> dict[str, np.ndarray]:
        """The arrays of an adopted source."""
        made: tuple[Encodings | None, ...] = getattr(self._source, "tokens", tuple)() or (None, None)
        tables = (self.sentences, columns.sentences), (self.questions, columns.questions)
        for (table, texts), tokens in zip(tables, made, strict=True):
            for lo in range(0, len(texts), TEXTS_AT_ONCE):
                some = slice(lo, lo + TEXTS_AT_ONCE)
                table.add(texts[some], None if tokens is None else tokens[some])
        of = np.tile(np.array([-1, 0]), (len(columns.story), 1))
        kept = np.zeros(0, np.int32)
        if reads_gold:
            which, places = columns.reference.tolist(), pairwise(columns.reference_start.tolist())
            of, compared = self.references.add([columns.references[i] for i in which[lo:hi]] for lo, hi in places)
            kept = columns.reference[compared]
        return {
            "sentence_tokens": self.sentences.tokens[: len(columns.sentences)],
            "question_tokens": self.questions.tokens[: len(columns.questions)],
            "rows": self.references.rows,
            "wanted": self.references.wanted,
            "kept": kept,
            "references_of": of,
            **{f"piece_{name}": getattr(self.pieces, name) for name in PIECES},
        }
