"""`python -m reasongym audit`: the report as a table on the terminal, and as JSON. The engine is imported when it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from reasongym.prm.bench.command import writable

BABI = 20
"""Number of bAbI tasks."""
NATURAL = {name.lower(): f"ReasonGym-{name}-v0" for name in ("SQuAD2", "NarrativeQA", "FairytaleQA")}
"""The ids on natural text, by the names that `--tasks` knows them by."""


def command(
    tasks: Annotated[
        str, typer.Option(help="bAbI's numbers, e.g. 1,2,6-8; 'joint' is all mixed; squad2, narrativeqa, fairytaleqa")
    ] = f"1-{BABI},joint",
    episodes: Annotated[int, typer.Option(min=1, help="held-out problems a policy plays, each once")] = 500,
    utility: Annotated[list[str] | None, typer.Option(help="utility of the memory; may be repeated")] = None,
    source: Annotated[str, typer.Option(help="'procedural', 'hub', or a path to the published files")] = "procedural",
    split: Annotated[str, typer.Option(help="whose problems")] = "validation",
    allow_partial: Annotated[bool, typer.Option(help="admit published files that hold a part of a task")] = False,
    accuracy: Annotated[int, typer.Option(min=0, help="also the baselines' accuracy, on this many held-out problems")] = 0,
    seed: Annotated[int, typer.Option(help="of the random policy")] = 0,
    text: Annotated[bool, typer.Option("--text", help="the text ids: what own words and written answers earn")] = False,
    json_path: Annotated[Path | None, typer.Option("--json", help="write the report here")] = None,
) -> None:
    """Play scripted policies that exploit the reward beside the expert; exit 1 if the default reward breaks a promise."""
    from reasongym.audit.report import UTILITIES, audit

    console = Console()
    writable("--json", json_path)
    keywords: dict[str, Any] = {} if source == "procedural" else {"source": source, "allow_partial": allow_partial}
    report = audit(
        [name.replace("ReasonGym-", "ReasonGymText-") for name in ids(tasks)] if text else ids(tasks),
        episodes=episodes,
        utilities=utility or UTILITIES,
        split=split,
        accuracy_problems=accuracy,
        seed=seed,
        progress=lambda task: console.print(table(task)),
        **keywords,
    )
    for fault in report["broken"]:
        console.print(fault, style="red")
    if json_path is not None:
        json_path.write_text(json.dumps(report, indent=1) + "\n")
    if report["broken"]:
        raise typer.Exit(1)


def ids(tasks: str) -> list[str]:
    """The ids behind "1,2,6-8,joint,squad2".

    Raises:
        ValueError: anything else.
    """
    out = []
    for part in tasks.split(","):
        low, _, high = part.strip().lower().partition("-")
        if low in NATURAL and not high:
            out.append(NATURAL[low])
            continue
        if low == "joint" and not high:
            out.append("ReasonGym-bAbI-v0")
            continue
        if not low.isdigit() or not (high or low).isdigit() or not 1 <= int(low) <= int(high or low) <= BABI:
            raise ValueError(
                f"--tasks takes numbers from 1 to {BABI}, ranges, 'joint', or {', '.join(NATURAL)}, "
                f"e.g. 1,2,6-8, got {part.strip()!r}"
            )
        out += [f"ReasonGym-bAbI-qa{task}-v0" for task in range(int(low), int(high or low) + 1)]
    return out


def table(task: dict[str, Any]) -> Table:
    """One id's part of the report, a section a utility.

    `process` is the part of the mean return that no right answer earned, `share` what that is of the expert's return, and
    `margin` the least that a wrong answer returns more than stalling.
    """
    from reasongym.audit.bounds import EXEMPT, MOST_SHARE

    kind = "long" if task["long_text"] else "short"
    about = f"{task['problems']} problems, {task['units']:.1f} units, {task['support']:.1f} of them support ({kind} texts)"
    out = Table(
        title=f"{task['name']}\n{about}\nmajority answer: {task['majority']}",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for column in ("policy", "utility"):
        out.add_column(column, no_wrap=True)
    for column in ("return", "process", "share", "right", "margin"):
        out.add_column(column, justify="right", no_wrap=True)
    for utility, rows in task["utilities"].items():
        margins = task.get("answering_over_stalling", {}) if utility == "coverage" else {}
        for name, row in rows.items():
            share = row["process"] / rows["expert"]["return"]
            bad = utility == "coverage" and task["long_text"] and name not in EXEMPT and share > MOST_SHARE
            out.add_row(
                name,
                utility,
                f"{row['return']:.2f}",
                f"{row['process']:.2f}",
                f"{share:.0%}",
                f"{row['accuracy']:.3f}",
                f"{margins[name]:+.2f}" if margins else "",
                style="red" if bad else None,
            )
        out.add_section()
    return out
