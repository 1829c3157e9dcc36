"""Where somebody's own code failed: the file and line to look at, out of a traceback that is mostly ours."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

from reasongym.errors import PRMError

OURS = (str(Path(__file__).resolve().parents[1]), *{sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}, "<")
"""Beginnings of file names that are no user's: this package, Python's library, installed packages, what has no file."""


def failure(what: str, error: BaseException) -> PRMError:
    """The error that says what failed, with what, and where; raise it `from error`, so that the traceback stays at hand."""
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    text = f"{what}: {type(error).__name__}: {message}" if message else f"{what}: {type(error).__name__}"
    where = place_of(error)
    return PRMError(f"{text}\n  at {where}" if where else text)


def place_of(error: BaseException) -> str:
    """ "FILE:LINE: the line" of the user's innermost frame, of the innermost one where none is the user's; "" without any."""
    if isinstance(error, SyntaxError) and error.filename:
        return _place(error.filename, error.lineno, (error.text or "").strip())
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(OURS)] or list(frames)
    return _place(own[-1].filename, own[-1].lineno, own[-1].line or "") if own else ""


def _place(file: str, line: int | None, code: str) -> str:
    return f"{file}:{line}: {code}" if code else f"{file}:{line}"
