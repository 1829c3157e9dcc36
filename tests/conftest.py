"""What all tests share: the compiled engine's cache is the user's, and published data is wherever REASONGYM_DATA says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def published() -> str:
    """Path of the published bAbI files (en-10k); skips where there are none."""
    root = os.environ.get("REASONGYM_DATA")
    if not root:
        pytest.skip("set REASONGYM_DATA to a folder that holds babi/en-10k.tar.gz to run the tests on published data")
    archive = Path(root) / "babi" / "en-10k.tar.gz"
    if not archive.exists():
        pytest.skip(f"REASONGYM_DATA={root} holds no babi/en-10k.tar.gz")
    return str(archive)
