"""Embeddings by token row: computed once, kept in memory, and in an SQLite file that later runs read.

A key is the row's bytes, without the padding. Vectors are kept in float16, and what is handed out is what is kept, so that
nothing depends on whether a vector was found or has just been made. Several processes may use one file at a time.

Axes: R rows, L tokens, E width of an embedding.
"""

from __future__ import annotations

import sqlite3
import warnings
from pathlib import Path

import numpy as np

MOST = 250_000
"""Rows kept, in memory and in a file each: 192 MB of 384 float16 numbers. The oldest go first."""
ASKED_AT_ONCE = 500
"""Keys of one query; SQLite takes at least 999."""
LOCKED_SECONDS = 30.0
"""How long to wait while another process writes."""

SCHEMA = "CREATE TABLE IF NOT EXISTS embeddings (number INTEGER PRIMARY KEY, tokens BLOB UNIQUE NOT NULL, vector BLOB NOT NULL)"
ADD = "INSERT OR IGNORE INTO embeddings (tokens, vector) VALUES (?, ?)"
FORGET = "DELETE FROM embeddings WHERE number <= (SELECT max(number) FROM embeddings) - ?"


def keys_of(rows: np.ndarray) -> list[bytes]:
    """(R, L) token ids, 0 padded on the right -> keys that do not depend on how far they are padded."""
    rows = np.ascontiguousarray(rows, dtype="<i4")
    return rows.view(f"S{rows.shape[1] * 4}").ravel().tolist()  # NumPy drops the zeros at the end


class EmbeddingStore:
    """Vectors of one width by key.

    Args:
        width: E.
        path: the file; None keeps vectors in memory alone.
        most: rows kept, in memory and in the file each.
    """

    def __init__(self, width: int, path: Path | None = None, most: int = MOST) -> None:
        if most < 1:
            raise ValueError(f"most must be at least 1, got {most!r}")
        self.width, self.path, self.most = width, path, most
        self._vectors = np.empty((0, width), np.float16)
        self._keys: list[bytes] = []
        self._place: dict[bytes, int] = {}
        self._oldest = 0
        self._file: sqlite3.Connection | None = None
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = sqlite3.connect(path, timeout=LOCKED_SECONDS)
                self._file.execute("PRAGMA journal_mode=WAL")
                self._file.execute("PRAGMA synchronous=NORMAL")
                self._file.execute(SCHEMA)
            except (OSError, sqlite3.Error) as error:
                self._give_up(error)

    def __len__(self) -> int:
        """Rows in memory."""
        return len(self._keys)

    def get(self, keys: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """(R, E) float16 vectors of R keys, zeros where there is none, and the places (M,) of those that are missing."""
        places = np.array([self._place.get(key, -1) for key in keys], np.int64)
        vectors = np.zeros((len(keys), self.width), np.float16)
        known = places >= 0
        vectors[known] = self._vectors[places[known]]
        missing = np.flatnonzero(~known)
        if self._file is None or not len(missing):
            return vectors, missing
        found = self._read([keys[i] for i in missing])
        there = [i for i in missing.tolist() if keys[i] in found]
        for i in there:
            vectors[i] = np.frombuffer(found[keys[i]], np.float16)
        self._remember([keys[i] for i in there], vectors[there])
        return vectors, np.array([i for i in missing.tolist() if keys[i] not in found], np.int64)

    def put(self, keys: list[bytes], vectors: np.ndarray) -> None:
        """Keep R vectors (R, E) float16, in memory and in the file."""
        self._remember(keys, vectors)
        if self._file is None:
            return
        try:
            with self._file:
                self._file.executemany(ADD, [(key, vector.tobytes()) for key, vector in zip(keys, vectors, strict=True)])
                self._file.execute(FORGET, (self.most,))
        except sqlite3.Error as error:
            self._give_up(error)

    def _read(self, keys: list[bytes]) -> dict[bytes, bytes]:
        """Those of the keys that the file has."""
        found: dict[bytes, bytes] = {}
        for begin in range(0, len(keys), ASKED_AT_ONCE):
            part = keys[begin : begin + ASKED_AT_ONCE]
            query = f"SELECT tokens, vector FROM embeddings WHERE tokens IN ({','.join('?' * len(part))})"
            try:
                found |= self._file.execute(query, part).fetchall() if self._file else []
            except sqlite3.Error as error:
                self._give_up(error)
        return {key: vector for key, vector in found.items() if len(vector) == 2 * self.width}

    def _remember(self, keys: list[bytes], vectors: np.ndarray) -> None:
        """Keep in memory; from `most` rows on, in the place of the oldest."""
        for key, vector in zip(keys, vectors, strict=True):
            if key in self._place:
                continue
            if len(self._keys) < self.most:
                place = len(self._keys)
                self._keys.append(key)
            else:
                place, self._oldest = self._oldest, (self._oldest + 1) % self.most
                del self._place[self._keys[place]]
                self._keys[place] = key
            if place >= len(self._vectors):
                grown = np.empty((min(self.most, max(1024, 2 * len(self._vectors))), self.width), np.float16)
                grown[: len(self._vectors)] = self._vectors
                self._vectors = grown
            self._vectors[place], self._place[key] = vector, place

    def _give_up(self, error: Exception) -> None:
        """Goes on without the file, and says so."""
        warnings.warn(
            f"embeddings are kept in memory alone, since {self.path} cannot be used ({type(error).__name__}: {error}); "
            "delete it if it is broken, or name another folder in REASONGYM_CACHE",
            stacklevel=4,
        )
        if self._file is not None:
            self._file.close()
        self._file = None
