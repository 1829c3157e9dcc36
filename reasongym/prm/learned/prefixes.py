"""An episode's text so far, kept in a PRM's `carry`, and what is known of a prefix, kept in the PRM.

The carry of an environment holds the texts themselves (UTF-8, prompt first) and a 128-bit key of them, so whoever has the
carry has the whole episode: it is saved, restored and copied with the environment's state, and nothing else need be. What a
network computed for a prefix is looked up by its key. It may be forgotten at any time (another process, a full cache) and is
computed again from the texts: the carry decides what is right, the cache only how fast.
"""

from __future__ import annotations

import hashlib

import numpy as np

from reasongym.errors import PRMError

HEADER = 32
"""Bytes before the texts: how many bytes, how many texts (int64 each), the key."""
_END = b"\x1e"


def storable(text: str) -> str:
    """A text as a log keeps it: without the mark that ends texts, and without what UTF-8 cannot say."""
    return text.replace(_END.decode(), " ").encode("utf-8", "replace").decode()


def key_of(before: bytes, text: str) -> bytes:
    """The key of a prefix with one more text."""
    return hashlib.blake2b(before + text.encode() + _END, digest_size=16).digest()


class Log:
    """The text of one environment's episode in its row of the carry.

    Args:
        row: (c,) float64, written in place; all zeros at an episode's first step.
    """

    __slots__ = ("_bytes", "_counts")

    def __init__(self, row: np.ndarray) -> None:
        self._bytes = row.view(np.uint8)
        self._counts = self._bytes[:16].view(np.int64)

    def __len__(self) -> int:
        """Texts so far, the prompt included."""
        return int(self._counts[1])

    @property
    def key(self) -> bytes:
        """Of all texts so far."""
        return self._bytes[16:HEADER].tobytes()

    @property
    def texts(self) -> list[str]:
        """All texts so far, the prompt first."""
        used = int(self._counts[0])
        return [part.decode() for part in self._bytes[HEADER : HEADER + used].tobytes().split(_END)[:-1]]

    def starts_with(self, prompt: str) -> bool:
        """Whether the prompt is this text."""
        data = prompt.encode() + _END
        return self._bytes[HEADER : HEADER + len(data)].tobytes() == data

    def add(self, text: str) -> bytes:
        """One more text, which must be `storable`; returns the key of the longer prefix.

        Raises:
            PRMError: the carry is full.
        """
        data, used = text.encode() + _END, int(self._counts[0])
        if HEADER + used + len(data) > len(self._bytes):
            raise PRMError(
                f"an episode's text outgrew what this PRM keeps of it ({len(self._bytes) - HEADER} bytes, {len(self)} texts): "
                f"load it with log_bytes={2 * len(self._bytes)} or more, or shorten the episodes (max_steps)"
            )
        self._bytes[HEADER + used : HEADER + used + len(data)] = np.frombuffer(data, np.uint8)
        key = key_of(self.key, text)
        self._bytes[16:HEADER] = np.frombuffer(key, np.uint8)
        self._counts[:] = used + len(data), len(self) + 1
        return key
