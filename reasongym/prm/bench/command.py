"""`python -m reasongym prm-bench`: the report as a table on the terminal, as JSON, and as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

ALL, PRIOR = "references", "step-type prior"


def command(
    data: Annotated[Path, typer.Option(help="labelled steps: JSON lines, JSON, Parquet, or one of them gzipped")],
    prm: Annotated[
        list[str] | None,
        typer.Option(help="oracle, always-yes, always-no, random, 'step-type prior', lexical; 'references' is all of these; "
                          "a folder of a learned PRM; package.module:Object; file.py:Object. May be repeated"),
    ] = None,
    format: Annotated[str, typer.Option(help="records, processbench, prm800k, prmbench, stepwise; auto sees it")] = "auto",
    option: Annotated[list[str] | None, typer.Option(help="of the format, as name=value, e.g. past_the_end=drop")] = None,
    strict: Annotated[bool, typer.Option(help="refuse a file with a broken record, or skip and count it")] = True,
    threshold: Annotated[str, typer.Option(help="scores below it say wrong; 'fit': fitted on other problems")] = "0",
    train: Annotated[Path | None, typer.Option(help="fit on this file, instead of on the other folds of the data")] = None,
    unscored: Annotated[str, typer.Option(help="a step without a score is a miss, right, or skip")] = "miss",
    criterion: Annotated[str, typer.Option(help="test this criterion alone; else the worst of all")] = "",
    group_by: Annotated[str, typer.Option(help="key of meta by which results are split")] = "",
    batch_size: Annotated[int, typer.Option(min=1, help="solutions handed over at once")] = 1,
    json_path: Annotated[Path | None, typer.Option("--json", help="write the report here")] = None,
    picture: Annotated[Path | None, typer.Option(help="draw the reliability curves here (.png, .svg, .pdf)")] = None,
) -> None:  # fmt: skip
    """Test process reward models on labelled steps: PRMBench's score, ProcessBench's F1, AUC, calibration, latency."""
    from reasongym.prm.bench import REFERENCES, BenchSettings, bench, load_scorer
    from reasongym.prm.formats import read_records

    console = Console()
    settings = BenchSettings(
        threshold=None if threshold == "fit" else _number("--threshold", threshold),
        unscored=unscored,
        criterion=criterion,
        batch_size=batch_size,
        group_by=group_by,
    )
    options = dict(map(_option, option or ()))
    records = read_records(data, format, strict=strict, **options)
    fit_on = read_records(train, format, strict=strict, **options) if train else ()
    names = [known for name in prm or [ALL] for known in (REFERENCES if name == ALL else [name])]
    if not train and len({record.prompt for record in records}) == 1 and ALL in (prm or [ALL]):
        names.remove(PRIOR)
        console.print(f"without the {PRIOR}, which needs other problems to be fitted on: give more problems, or --train FILE")
    report = bench({name: load_scorer(name) for name in names}, records, settings, train=fit_on)
    report["data"] = {"file": data.name, **report["data"]}
    for line in about(report["data"]):
        console.print(Text(line))
    for part in (*tables(report), certainty(report), groups(report), agreement(report)):
        if part is not None:
            console.print(part)
    if json_path is not None:
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    if picture is not None:
        from reasongym.prm.bench.picture import draw

        picture.parent.mkdir(parents=True, exist_ok=True)
        draw(report, picture)


def about(data: dict[str, Any]) -> list[str]:
    """What was read, in words, and what was not."""
    lines = [
        f"{data['file']} ({data.get('layout', 'records')}): {data['pooled']} solutions pooled, {data['steps']:,} steps, "
        f"{data['labelled']:,} labelled, {data['wrong']:,} of them wrong"
    ]
    if data["apart"]:
        lines.append("apart, not pooled: " + ", ".join(f"{count} {name}" for name, count in data["apart"].items()))
    if data["past_the_end"]:
        lines.append(
            f"{data['past_the_end']} rows name errors past the end of the solution: the pooled score passes over these, "
            "as the published scorer does; 'whole rows' is the score without such rows"
        )
    lines += [f"left out: {count} rows, {reason}" for reason, count in data.get("left_out", {}).items()]
    if data.get("skipped"):
        lines.append(f"skipped: {data['skipped']} broken rows, the first: {data['faults'][0]}")
    if not data["wrong"]:
        lines.append(
            "no step is labelled wrong: if unscored steps were cast to bool, they are all True by now; look at the source"
        )
    return lines


def tables(report: dict[str, Any]) -> list[Table]:
    """Two tables with a row a PRM: its verdicts on steps, then on solutions, with its latency. Shares in percent."""
    rows = report["prms"]
    steps = {
        "PRMScore": [_percent(row["prm_score"]) for row in rows.values()],
        "F1": [_percent(row["f1"]) for row in rows.values()],
        "neg. F1": [_percent(row["negative_f1"]) for row in rows.values()],
        "whole rows": [_percent(row.get("without_past_the_end", row)["prm_score"]) for row in rows.values()],
        "AUC": [_plain(row["auc"]) for row in rows.values()],
        "ECE": [_plain(row["calibration_error"]) for row in rows.values()],
        "scored": [_percent(row["scored"]) for row in rows.values()],
    }
    if not report["data"]["past_the_end"]:
        del steps["whole rows"]
    solutions = {
        "first error F1": [_percent(row["earliest_error"]["f1"]) for row in rows.values()],
        "on wrong": [_percent(row["earliest_error"]["on_wrong"]) for row in rows.values()],
        "on right": [_percent(row["earliest_error"]["on_right"]) for row in rows.values()],
    }
    if any(row["best_of_n"] for row in rows.values()):
        solutions["best of N"] = [_best(row["best_of_n"]) for row in rows.values()]
    solutions["p50 ms"] = [f"{row['latency']['p50_ms']:.3f}" for row in rows.values()]
    solutions["p95 ms"] = [f"{row['latency']['p95_ms']:.3f}" for row in rows.values()]
    return [_table("steps", list(rows), steps), _table("solutions, and milliseconds a step", list(rows), solutions)]


def _table(title: str, names: list[str], columns: dict[str, list[str]]) -> Table:
    out = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    out.add_column("PRM", overflow="fold")
    for column in columns:
        out.add_column(column, justify="right", no_wrap=True)
    for i, name in enumerate(names):
        out.add_row(Text(name), *(cells[i] for cells in columns.values()))
    return out


def certainty(report: dict[str, Any]) -> Table:
    """95% intervals over problems."""
    columns = {"PRMScore": "prm_score", "first error F1": "earliest_error_f1"}
    spans = {head: [_span(row["intervals"][key]) for row in report["prms"].values()] for head, key in columns.items()}
    return _table("95% intervals, over problems", list(report["prms"]), spans)


def groups(report: dict[str, Any]) -> Table | None:
    """PRMScore by group, a column a PRM; where there are right solutions, the earliest-error F1. None without groups."""
    rows = report["prms"]
    parts = next(iter(rows.values()))["groups"]
    if len(parts["parts"]) < 2:
        return None
    first = any(part["earliest_error"]["f1"] is not None for part in parts["parts"].values())
    what = "first error F1" if first else "PRMScore"
    out = Table(title=f"{what} by {parts['by']}", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    out.add_column(parts["by"], no_wrap=True)
    for name in rows:
        out.add_column(Text(name), justify="right", overflow="fold")
    for value in parts["parts"]:
        each = [row["groups"]["parts"][value] for row in rows.values()]
        out.add_row(Text(value), *(_percent(part["earliest_error"]["f1"] if first else part["prm_score"]) for part in each))
    if first:
        out.add_section()
        out.add_row("mean", *(_percent(row["groups"]["mean_earliest_error_f1"]) for row in rows.values()))
    return out


def agreement(report: dict[str, Any]) -> Table | None:
    """Cohen's kappa of verdicts and Spearman's correlation of scores, of PRMs that do not always say the same. None without."""
    if not report["agreement"]:
        return None
    out = Table(title="agreement", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    out.add_column("PRMs", no_wrap=True)
    for column in ("kappa", "Spearman"):
        out.add_column(column, justify="right")
    for pair, row in report["agreement"].items():
        if row["spearman"] is not None:
            out.add_row(Text(pair), _plain(row["kappa"]), _plain(row["spearman"]))
    return out if out.row_count else None


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 3) + 0.0:.3f}"


def _span(interval: list[float | None]) -> str:
    return "-" if None in interval else " to ".join(map(_percent, interval))


def _best(row: dict[str, Any] | None) -> str:
    return "-" if row is None else f"{_percent(row[row['fitting']]['accuracy'])} ({row['fitting']})"


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{name} takes a number in [-1, 1] or 'fit', got {value!r}") from None


def _option(given: str) -> tuple[str, Any]:
    """("past_the_end", "drop") of "past_the_end=drop"; numbers and true/false become what they say."""
    name, equals, value = given.partition("=")
    if not equals or not name:
        raise ValueError(f"--option takes name=value, e.g. past_the_end=drop, got {given!r}")
    if value.lower() in ("true", "false"):
        return name, value.lower() == "true"
    try:
        return name, float(value)
    except ValueError:
        return name, value
