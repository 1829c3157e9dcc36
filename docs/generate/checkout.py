"""This checkout: what is documented is the code beside the documentation, whatever is installed."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def on_path() -> None:
    """Puts the checkout and its examples first where modules are looked for."""
    paths = [str(ROOT), str(ROOT / "examples")]
    sys.path[:] = [*paths, *(path for path in sys.path if path not in paths)]


on_path()
