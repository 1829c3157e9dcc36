"""`python -m reasongym prm-bench`: the report as a table on the terminal, as JSON, and as a picture."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from reasongym.errors import DataError
from reasongym.prm.bench import tables
from reasongym.prm.loading import JUDGE

ALL, PRIOR = "references", "step-type prior"
PICTURES = (".png", ".svg", ".pdf")
SPOKEN = (
    (r"\bstrict=False", "--no-strict"),
    (r"\bformat=", "--format"),
    (r"\bscale='(\w+)'", r"--option scale=\1"),
    (r"\bunscored=(-?[\d.]+)", r"--option unscored=\1"),
)
"""Keywords that messages of `reasongym.prm.formats` name, and what they are on the command line."""


def command(
    data: Annotated[Path, typer.Option(help="labelled steps: JSON lines, JSON, Parquet, either gzipped; - is standard input")],
    prm: Annotated[
        list[str] | None,
        typer.Option(help="oracle, always-yes, always-no, random, 'step-type prior', lexical; 'references' is all of these; "
                          "a folder of a learned PRM; judge:MODEL or judge:MODEL@URL; package.module:Object; file.py:Object. "
                          "May be repeated"),
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
    cache: Annotated[Path | None, typer.Option(help="folder where a judge's replies are kept: a run that is killed and started "
                                                   "again pays for nothing twice")] = None,
    max_cost: Annotated[float | None, typer.Option(help="most that each judge behind a URL may spend; needs --price")] = None,
    price: Annotated[str, typer.Option(help="of a judge, per million tokens: IN,OUT")] = "",
    on_failure: Annotated[str, typer.Option(help="where a judge fails: raise, or unscored")] = "",
    context_steps: Annotated[int | None, typer.Option(min=0, help="steps before the judged one that a judge is shown")] = None,
    picture: Annotated[Path | None, typer.Option(help="draw the reliability curves here (.png, .svg, .pdf)")] = None,
) -> None:  # fmt: skip
    """Test process reward models on labelled steps: PRMBench's score, ProcessBench's F1, AUC, calibration, latency.

    An error of a PRM of yours names its file and line; --debug shows the whole traceback.
    """
    from reasongym.prm.bench import REFERENCES, BenchSettings, bench, load_scorer
    from reasongym.prm.bench.problems import problems_of

    console = Console()
    writable("--json", json_path)
    writable("--picture", picture, PICTURES)
    settings = BenchSettings(
        threshold=None if threshold == "fit" else _threshold(threshold),
        unscored=unscored,
        criterion=criterion,
        batch_size=batch_size,
        group_by=group_by,
    )
    options = dict(map(_option, option or ()))
    given = {
        "cache": cache,
        "max_cost": max_cost,
        "price": _price(price),
        "on_failure": on_failure,
        "context_steps": context_steps,
    }
    judge = {keyword: value for keyword, value in given.items() if value not in (None, "")}
    if judge and not any(name.startswith(JUDGE) for name in prm or ()):
        options_given = ", ".join("--" + keyword.replace("_", "-") for keyword in judge)
        raise ValueError(f"{options_given}: only a judge by name takes it, and none is tested; add --prm judge:MODEL@URL")
    prms = {name: load_scorer(name, judge) for one in prm or [ALL] for name in (REFERENCES if one == ALL else [one])}
    records = read(data, format, strict, options)
    fit_on = read(train, format, strict, options) if train else ()
    if not train and len(set(problems_of(records))) == 1 and ALL in (prm or [ALL]):
        del prms[PRIOR]
        console.print(f"without the {PRIOR}, which needs other problems to be fitted on: give more problems, or --train FILE")
    report = bench(prms, records, settings, train=fit_on)
    report["data"] = {"file": Path(records.source).name, **report["data"]}
    show(report, console)
    if json_path is not None:
        json_path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    if picture is not None:
        from reasongym.prm.bench.picture import draw

        draw(tables.shortened(report)[0], picture)


def show(report: dict[str, Any], console: Console) -> None:
    """Prints the report."""
    short, names = tables.shortened(report)
    for line in (*tables.about(report["data"]), *names):
        console.print(Text(line))
    parts = (*tables.tables(short), tables.certainty(short), tables.groups(short), tables.agreement(short))
    for part in (*parts, *map(Text, tables.windows(short))):
        if part is not None:
            console.print(part)


def read(path: Path, format: str, strict: bool, options: dict[str, Any]) -> Any:
    """The records of a file; an error says what to do in options of the command.

    Raises:
        DataError: as `read_records`.
    """
    from reasongym.prm.formats import read_records

    try:
        return read_records(path, format, strict=strict, **options)
    except DataError as error:
        text = str(error)
        for keyword, option in SPOKEN:
            text = re.sub(keyword, option, text)
        raise DataError(text) from error


def writable(option: str, path: Path | None, endings: tuple[str, ...] = ()) -> None:
    """Makes sure, before anything is scored, that the path of an option can be written; its folder is made.

    Raises:
        ValueError: it cannot, or does not have one of the endings.
        ImportError: a picture is asked for, and matplotlib is missing.
    """
    if path is None:
        return
    if endings and path.suffix.lower() not in endings:
        raise ValueError(f"{option} draws {', '.join(endings)}, got {str(path)!r}")
    if endings and importlib.util.find_spec("matplotlib") is None:
        raise ImportError(f"{option} needs matplotlib; run: pip install 'reasongym[report]'")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{option} {path} cannot be written: {error}") from None
    if path.is_dir():
        raise ValueError(f"{option} {path} is a folder; name a file in it")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(f"{option} {path} cannot be written: no permission")


def _threshold(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not -1 <= number <= 1:
        raise ValueError(f"--threshold takes a number in [-1, 1] or 'fit', got {value!r}")
    return number


def _price(value: str) -> tuple[float, float] | None:
    if not value:
        return None
    try:
        into, out = map(float, value.split(","))
    except ValueError:
        raise ValueError(f"--price takes IN,OUT, what a million tokens cost, e.g. 0.15,0.6; got {value!r}") from None
    return into, out


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
