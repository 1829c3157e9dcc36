"""Reading published files of text: bytes, gzip, UTF-8, JSON and CSV, each fault named with its file and line."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasongym.errors import DataError

csv.field_size_limit(1 << 24)  # a tale is one field; the default of 128 KiB is too little


@dataclass(frozen=True, slots=True)
class File:
    """A file that was read: its name, for messages, and its content, not yet unpacked."""

    where: str
    content: bytes

    @staticmethod
    def of(path: Path) -> File:
        try:
            return File(str(path), path.read_bytes())
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error}") from error

    @staticmethod
    def of_rows(where: str, rows: Sequence[Sequence[str]]) -> File:
        """A CSV file of these rows, the header first."""
        out = io.StringIO(newline="")
        csv.writer(out).writerows(rows)
        return File(where, out.getvalue().encode())

    @property
    def digest(self) -> str:
        return hashlib.blake2b(self.content, digest_size=16).hexdigest()

    def text(self) -> str:
        """The content as text; gzip is unpacked and a byte-order mark dropped.

        Raises:
            DataError: a gzip file that is cut short or broken, or not UTF-8.
        """
        content = self.content
        if content[:2] == b"\x1f\x8b":
            try:
                content = gzip.decompress(content)
            except (OSError, EOFError, zlib.error) as error:
                raise DataError(f"{self.where} is no whole gzip file (cut short or broken): {error}") from error
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise DataError(f"{self.where}, line {line}: not UTF-8 text ({error.reason}, byte {error.start})") from None

    def json(self) -> Any:
        """The content as JSON.

        Raises:
            DataError: it is not.
        """
        text = self.text()
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self.where} is no JSON (cut short or broken): {error}") from None

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str] | str]]:
        """The rows of a CSV file with a header: where each begins, and its fields, or what is wrong with it.

        Raises:
            DataError: the header lacks one of `columns`, or the file is no CSV.
        """
        reader = csv.reader(io.StringIO(self.text(), newline=""), strict=True)
        line = 1
        try:
            header = next(reader, [])
            lacking = [name for name in columns if name not in header]
            if lacking:
                raise DataError(
                    f"{self.where}, row 1: the columns {', '.join(lacking)} are missing: "
                    f"expected {', '.join(columns)}, got {', '.join(header)[:200] or 'an empty file'}"
                )
            for number, fields in enumerate(reader, start=2):
                where, line = f"{self.where}, row {number} (line {line + 1})", reader.line_num
                if len(fields) == len(header):
                    yield where, dict(zip(header, fields, strict=True))
                elif fields:
                    yield where, f"expected {len(header)} fields, got {len(fields)}"
        except csv.Error as error:
            raise DataError(f"{self.where}, line {reader.line_num}: no CSV (cut short or broken): {error}") from None
