"""`python -m reasongym bench`: plays a suite, or what is left of it, and prints its leaderboard."""

from __future__ import annotations

import glob
import os
import signal
import sys
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agents.baselines import baseline
from agents.benchmark.leaderboard import comparisons, leaderboard, rates_table, table
from agents.benchmark.queue import Queue
from agents.benchmark.results import read_results, restore, write_suite
from agents.benchmark.suite import Run, Suite, known_suites, load_suite


class Engine(str, Enum):
    """Where runs are played: in processes of this machine, or as tasks of a Ray cluster."""

    processes = "processes"
    ray = "ray"


def command(
    suite: Annotated[str, typer.Argument(help="name of a suite, or a file of one (.json)")] = "smoke",
    runs: Annotated[Path, typer.Option(help="folder of runs; a suite's lie in RUNS/SUITE")] = Path("runs"),
    agent: Annotated[list[str] | None, typer.Option(help="a row more: pkg.module:Class. May be repeated")] = None,
    only: Annotated[
        str, typer.Option(help="play runs whose names (ROW--SETTING--SEED) contain this, or match it, as *--1")
    ] = "",
    jobs: Annotated[int, typer.Option(min=1, help="runs at a time (on Ray: as many as the cluster has CPUs)")] = 2,
    engine: Annotated[Engine, typer.Option(help="where runs are played")] = Engine.processes,
    address: Annotated[str | None, typer.Option(help="of the Ray cluster (default: this machine alone)")] = None,
    device: Annotated[str, typer.Option(help="where agents live: cpu, cuda, cuda:1; several runs may share a card")] = "cpu",
    data: Annotated[str, typer.Option(help="folder of the published files", envvar="REASONGYM_DATA")] = "",
    json_path: Annotated[
        Path | None, typer.Option("--json", help="the suite's results go here (default RUNS/SUITE.json)")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="what --json wrote elsewhere: its runs count as played")] = None,
    show: Annotated[bool, typer.Option("--show", help="play nothing, only show what is there")] = False,
    suites: Annotated[bool, typer.Option("--list", help="list the suites")] = False,
) -> None:
    """Play a benchmark suite, or what is left of it, and print its leaderboard; exit 1 if a run failed."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    if suites:
        console.print(listing())
        return
    chosen = with_agents(load_suite(suite), agent or ())
    folder = runs / chosen.name
    every = list(chosen.runs(device))
    if resume is not None:
        console.print(f"{restore(resume, chosen, every, folder)} results taken from {resume}")
    queue, stopped = queue_of(engine, folder, jobs, data, address), ""
    left = queue.left(every)
    if not show:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that running processes are ended
        check(chosen, data)
        wanted = selected(every, only)
        try:
            queue.play(wanted)
        except OSError as error:  # a full disk, most likely: what is there is still shown
            stopped = str(error)
        left = queue.left(every)
    results = read_results(folder, every)
    if results:
        if not stopped:
            write_suite(json_path or runs / f"{chosen.name}.json", chosen, results)
        report(console, chosen, results)
    console.print(f"{len(results)} of {len(every)} runs are over" + (f", {len(left)} left" if left else ""))
    for failure in queue.failures:
        console.print(Text(f"failed: {failure.run.id}: {failure.why}", style="red"))
    if stopped:
        console.print(Text(f"stopped: {stopped}", style="red"))
    if queue.failures or stopped:
        raise typer.Exit(1)


def queue_of(engine: Engine, folder: Path, jobs: int, data: str, address: str | None) -> Queue:
    """Who plays the runs.

    Raises:
        ValueError: an address, and no Ray.
        ImportError: Ray is missing.
    """
    if engine is Engine.ray:
        from agents.benchmark.ray_queue import RayQueue

        return RayQueue(folder, address, data=data)
    if address is not None:
        raise ValueError(f"--address {address} is of a Ray cluster: say --engine ray, too")
    return Queue(folder, jobs, data)


app = typer.Typer(add_completion=False)
app.command()(command)


def with_agents(suite: Suite, paths: Any) -> Suite:
    """A suite with somebody's agents.

    Raises:
        ValueError: no such row, module or class, or a class that is no agent.
    """
    for path in paths:
        try:
            baseline(path)
        except (ModuleNotFoundError, TypeError) as error:
            raise ValueError(str(error)) from error
        suite = suite.with_agent(path)
    return suite


def selected(runs: list[Run], only: str) -> list[Run]:
    """The runs whose ids contain a text, or match the whole of a pattern that has * or ?.

    Raises:
        ValueError: none does.
    """
    found = [run for run in runs if fnmatchcase(run.id, only if set(only) & set("*?") else f"*{glob.escape(only)}*")]
    if not found:
        raise ValueError(f"no run's name fits {only!r}; names are ROW--SETTING--SEED, e.g. {runs[0].id}")
    return found


def check(suite: Suite, data: str) -> None:
    """Refuses to begin what cannot be played for want of the published files.

    Raises:
        ValueError: their folder is needed and not given, or not there.
    """
    needed = "{data}" in str(suite.source)
    if needed and not data:
        raise ValueError(f"suite {suite.name!r} needs the published files: name their folder with --data or REASONGYM_DATA")
    if needed and not os.path.isdir(data):
        raise ValueError(f"the folder of the published files, {data!r}, does not exist")


def report(console: Console, suite: Suite, results: list[dict[str, Any]]) -> None:
    """Prints the tables."""
    lines = leaderboard(suite, results)
    for part in (table(suite, lines), rates_table(lines), comparisons(suite, results)):
        if part is not None:
            console.print(part)
    commits = {result["commit"].removesuffix("+dirty") for result in results if result.get("commit")}
    machines = {result["versions"]["machine"] for result in results}
    if len(commits) > 1 or len(machines) > 1:
        console.print(
            f"Played with the code of {len(commits)} commits on {len(machines)} machines: CPU seconds compare only where both "
            "are as fast.",
            style="dim",
        )


def listing() -> Table:
    """The committed suites."""
    out = Table("suite", "runs", "CPU hours", "about")
    for name in known_suites():
        suite = load_suite(name)
        runs = list(suite.runs())
        hours = sum(run.config["budget"]["seconds"] for run in runs if run.config["trained"]) / 3600
        out.add_row(name, str(len(runs)), f"{hours:.2f}", suite.about)
    return out
