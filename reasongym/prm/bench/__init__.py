"""The bench: any process reward model, on anybody's labelled steps. `python -m reasongym prm-bench`, or `bench(...)`."""

from __future__ import annotations

from reasongym.prm.bench.loading import REFERENCES, load_scorer
from reasongym.prm.bench.report import bench
from reasongym.prm.bench.scoring import BenchSettings

__all__ = ["REFERENCES", "BenchSettings", "bench", "load_scorer"]
