"""What all tests share: the compiled engine's cache is the user's, and published data is wherever REASONGYM_DATA says."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["OMP_NUM_THREADS"] = "1"
"""Of PyTorch, here and in scripts that tests start: more threads slow small networks down, much more beside another worker."""


TOGETHER = {
    "tests/prm/judge/": "judge",  # one model is trained for all
    "tests/docs/test_site.py": "site",  # one site is built for all
    "tests/test_release.py": "release",  # one wheel is built for all
    "tests/prm/test_ray_prm.py": "ray",  # clusters beside each other starve
    "tests/agents/benchmark/test_ray_queue.py": "ray",
    "tests/agents/test_ray_rollouts.py": "ray",
}
"""Tests that one worker plays, by the beginning of their ids."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With pytest-xdist (`-n 2`): every test by itself, but for those of `TOGETHER`."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((group for start, group in TOGETHER.items() if nodeid.startswith(start)), nodeid)

    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def _threads_stay() -> Iterator[None]:
    """Library code that sets the number of threads does not slow down the tests that follow."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


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


@pytest.fixture(scope="session")
def data_file() -> Callable[[str], Path]:
    """A function from a path below REASONGYM_DATA to the file; skips where there is none."""

    def find(name: str) -> Path:
        root = os.environ.get("REASONGYM_DATA")
        if not root:
            pytest.skip(f"set REASONGYM_DATA to a folder that holds {name} to run the tests on published data")
        if not (Path(root) / name).is_file():
            pytest.skip(f"REASONGYM_DATA={root} holds no {name}")
        return Path(root) / name

    return find
