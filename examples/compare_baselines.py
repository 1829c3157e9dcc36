"""Compares the full system with what was there before: `python examples/compare_baselines.py [SUITE] [--help]`.

The same as `python -m reasongym bench`, from any folder: plays a suite of `settings/`, or what is left of it, and prints its
leaderboard with intervals, supervision and costs. Results go to `RUNS/SUITE/`, and together into one file:

    python examples/compare_baselines.py smoke --json examples/results/smoke.json
    python examples/compare_baselines.py core --data FOLDER --only qa2 --jobs 2
    python examples/compare_baselines.py core --data FOLDER --agent my_pkg:MyAgent
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from reasongym import cli

SMOKE = ["smoke", "--only", "majority"]
"""A run of seconds, to see that it plays."""


def main() -> None:
    arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        if arguments == ["--smoke"]:
            arguments = [*SMOKE, "--runs", folder]
        sys.argv[1:] = ["bench", *arguments]
        cli.main()


if __name__ == "__main__":
    main()
