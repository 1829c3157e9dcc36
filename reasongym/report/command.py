"""`python -m reasongym report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    runs: Annotated[Path, typer.Argument(help="folder of runs, or a suite's file of results")],
    out: Annotated[Path, typer.Option("--out", "-o", help="the page")] = Path("report.html"),
    headline: Annotated[str, typer.Option(help="row that others are compared with; default: found out")] = "",
    megabytes: Annotated[
        float, typer.Option(min=0.1, help="most that the page may take; episodes are left out until it does")
    ] = 10.0,
    title: Annotated[str, typer.Option(help="of the page")] = "",
) -> None:
    """Make one HTML page of a benchmark's runs: leaderboard, curves, ablations, memory, and a viewer for episodes."""
    import sys

    from reasongym.report.page import write_report

    try:
        path = write_report(runs, out, headline=headline, megabytes=megabytes, title=title)
    except ImportError as missing:
        sys.exit(str(missing))
    typer.echo(f"{path} ({path.stat().st_size / 1e6:.2f} MB)")
