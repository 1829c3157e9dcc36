"""Tables of the committed result files: those that README and docs show, and the leaderboards of suites that were played."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from rich.table import Table
from update_readme import RESULTS, ROOT, tables

from agents.benchmark.leaderboard import comparisons, leaderboard, rates_table, table
from agents.benchmark.results import read_suite
from agents.benchmark.suite import load_suite

TITLES = {
    "ids": "Baselines by id", "coverage": "Scripted policies, utility coverage", "level": "Scripted policies, utility level",
    "bounds": "Bounds of the rewards", "learning": "MemoryPPO on published bAbI", "transfer": "From made to order to published",
    "ppo": "MemoryPPO beside RecurrentPPO", "agreement": "Scores beside annotation", "prm": "The learned PRM",
    "prm sets": "PRMs on the suite's steps", "rewards": "What pays", "readers": "Reading by rule",
    "text": "MemoryPPO on natural text", "language models": "A language model on task 2",
}  # fmt: skip
"""Of tables, where their name says too little."""


def pages() -> dict[str, str]:
    """The tables on one page, and a page for each suite that has committed results."""
    found = {"results/tables.md": tables_page()}
    for path in suites():
        found[f"results/{path.stem}.md"] = suite_page(path)
    return found


def tables_page() -> str:
    """Every table that is made from a result file, with the file and the pages that discuss it."""
    told = {path: path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
    lines = ["# Tables", "What the committed files of `examples/results` say; the pages beside each say how it was measured."]
    for name, files, made in tables():
        where = [path.relative_to(ROOT).as_posix() for path, text in told.items() if f"<!-- {name} -->" in text]
        shown = ", ".join(f"[{path}]({path})" if path != "README.md" else "[README](README.md#results)" for path in where)
        source = ", ".join(f"`examples/results/{file}`" for file in files) + (f"; {shown}" if shown else "")
        lines += [f"## {TITLES.get(name, name.capitalize())}", source, made]
    return "\n\n".join(lines) + "\n"


def suites() -> Iterator[Path]:
    """Committed result files of benchmark suites."""
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text())
        if isinstance(found, dict) and {"protocol", "suite", "runs"} <= found.keys():
            yield path


def suite_page(path: Path) -> str:
    """A suite's leaderboard, as `python -m reasongym bench` prints it."""
    name, runs = read_suite(path)
    suite = load_suite(name)
    lines = leaderboard(suite, runs)
    parts = [f"# Suite {name}", f"`examples/results/{path.name}`; how to read it: [docs/benchmark.md](docs/benchmark.md)."]
    for one in (table(suite, lines), rates_table(lines), comparisons(suite, runs)):
        if one is not None:
            parts += [f"**{one.title}**", markdown(one)]
    parts += ["## Supervision", "What each row was told beside observations."]
    parts += [f"**{line.row}**: {line.supervision}" for line in lines]
    return "\n\n".join(parts) + "\n"


def markdown(one: Table) -> str:
    """A table of the terminal as one of Markdown, but for the column of supervision, which is prose."""
    columns = [column for column in one.columns if column.header != "supervision"]
    head = "| " + " | ".join(str(column.header) for column in columns) + " |"
    align = "| " + " | ".join("---:" if column.justify == "right" else "---" for column in columns) + " |"
    cells = zip(*(map(str, column.cells) for column in columns), strict=True)
    return "\n".join([head, align, *("| " + " | ".join(re.sub(r"\|", r"\\|", cell) for cell in row) + " |" for row in cells)])
