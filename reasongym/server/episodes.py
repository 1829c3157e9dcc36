"""The file of finished episodes: one JSON object a line, on disk before the episode's last reply is sent."""

from __future__ import annotations

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


class EpisodeLog:
    """Appends records to a file. Lines that could not be written are kept, and come first when it is tried again.

    Args:
        path: the file; one that ends in the middle of a line (a machine that lost power) gets a line break first.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[bytes] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reasongym-episodes")
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        size = os.fstat(self._file).st_size
        if size:
            os.lseek(self._file, size - 1, os.SEEK_SET)
            if os.read(self._file, 1) != b"\n":
                os.write(self._file, b"\n")

    @property
    def waiting(self) -> int:
        """Episodes that are not on disk yet."""
        return len(self._waiting)

    def add(self, record: dict[str, Any]) -> None:
        """Takes a record in; `flush` writes it."""
        self._waiting.append(json.dumps(record, allow_nan=False).encode() + b"\n")

    async def flush(self) -> None:
        """Returns when everything taken in is on disk; raises OSError where it cannot be written. Goes on when cancelled."""
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, self._write))

    def close(self) -> None:
        """Writes what is left, and closes the file; raises OSError where it cannot be written."""
        try:
            self._thread.submit(self._write).result()
        finally:
            self._thread.shutdown()
            os.close(self._file)

    def _write(self) -> None:
        """In the one thread: all lines that wait, at once. A line that was written in part is taken back."""
        lines = self._waiting[:]
        if not lines:
            return
        size, rest = os.fstat(self._file).st_size, memoryview(b"".join(lines))
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, size)
            raise
        del self._waiting[: len(lines)]
