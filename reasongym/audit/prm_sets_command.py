"""`python -m reasongym prm-sets`: writes the suite's labelled episodes for `prm-bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from reasongym.prm.bench.command import writable


def command(
    out: Annotated[Path, typer.Option(help="the file: .jsonl or .parquet, .gz for gzip")],
    only: Annotated[list[str] | None, typer.Option(help="a set's name; may be repeated; default all")] = None,
    episodes: Annotated[int, typer.Option(min=1, help="of each set, at least")] = 700,
) -> None:
    """Write labelled episodes to test PRMs on: seen and held-out tasks, longer stories, planted and sampled errors.

    Then: python -m reasongym prm-bench --data OUT --group-by set --threshold fit --prm ...
    """
    from reasongym.audit.prm_sets import SETS, step_set
    from reasongym.errors import unknown
    from reasongym.prm.formats import write_records

    writable("--out", out)
    for name in only or ():
        if name not in SETS:
            raise unknown("set", name, SETS)
    table = Table("set", "episodes", "steps", "wrong steps", "with an error")
    written = []
    for name in only or SETS:
        records = step_set(name, episodes)
        wrong = [int((record.labels < 0).any(axis=1).sum()) for record in records]
        steps = sum(len(record.steps) for record in records)
        table.add_row(name, *(f"{n:,}" for n in (len(records), steps, sum(wrong), sum(map(bool, wrong)))))
        written += records
    write_records(written, out)
    Console().print(table)
