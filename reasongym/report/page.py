"""The page: numbers, pictures and episodes into one HTML file that loads nothing.

Everything that runs wrote is escaped by the template; data for scripts is JSON in which `<` does not occur, or base64. The
page's own content security policy admits the one script that was written here, by its hash, and no request to anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from reasongym.report import charts, episodes, figures, tables
from reasongym.report.reading import Collection, Run, read_runs

PARTS = Path(__file__).parent / "parts"
SCRIPTS, STYLES = ("page.js", "timeline.js", "viewer.js"), ("style.css", "viewer.css")
LIMIT = 10.0
"""Megabytes of a page, unless it is asked for another size."""


def write_report(
    runs: str | Path, out: str | Path = "report.html", *, headline: str = "", megabytes: float = LIMIT, title: str = ""
) -> Path:
    """Writes the page of a folder of runs, or of a suite's file of results; it appears in one piece.

    Args:
        runs: as for `read_runs`.
        out: the file.
        headline: the row that others are compared with, in every suite that has it; default: found out.
        megabytes: most that the page may take; episodes are left out, alike of every run, until it does.
        title: of the page.

    Raises:
        ReportError: there is nothing to show.
        ValueError: no suite has the row `headline`, or everything but episodes is larger than `megabytes`.
        ImportError: the extra `report` is not installed.
    """
    text = render(read_runs(runs), headline=headline, megabytes=megabytes, title=title or f"ReasonGym · {Path(runs).name}")
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    unready = path.with_name(f".{path.name}.tmp")
    unready.write_text(text, encoding="utf-8")
    os.replace(unready, path)
    return path


def render(found: Collection, *, headline: str = "", megabytes: float = LIMIT, title: str = "ReasonGym") -> str:
    """The page as HTML; arguments and errors as for `write_report`."""
    figures.pyplot()
    template = environment().get_template("page.html.j2")
    suites = {name: [run for run in found.runs if run.suite == name] for name in dict.fromkeys(run.suite for run in found.runs)}
    rows = {run.row for run in found.runs}
    if headline and headline not in rows:
        raise ValueError(f"no suite has a row {headline!r} to compare with; rows: {', '.join(sorted(rows))}")
    script, style = ("\n".join((PARTS / name).read_text(encoding="utf-8") for name in names) for names in (SCRIPTS, STYLES))
    context: dict[str, Any] = {
        "title": title,
        "suites": [suite(f"s{i}", name, runs, headline, found) for i, (name, runs) in enumerate(suites.items())],
        "notes": found.notes,
        "style": style,
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "version": version("reasongym"),
    }
    bare = len(template.render(**context, index="[]", blocks=[], episodes=1, left_out=1).encode())
    room = int(megabytes * 1e6) - bare
    if room < 0:
        raise ValueError(f"the page takes {bare / 1e6:.1f} MB without any episode, more than megabytes={megabytes:g} allows")
    first = {name: s["reference"] for name, s in zip(suites, context["suites"], strict=True)}
    listed = sorted(found.runs, key=lambda run: (list(suites).index(run.suite), run.row != first[run.suite]))
    packed = episodes.pack(listed, int(0.98 * room))
    return template.render(
        **context, index=for_script(packed.index), blocks=packed.blocks, episodes=len(packed.index), left_out=packed.left_out
    )


def suite(key: str, name: str, runs: Sequence[Run], headline: str, found: Collection) -> dict[str, Any]:
    """All that the template shows of one suite; `key` distinguishes its ids."""
    rows = tables.by_row(runs)
    reference = tables.headline(rows, headline if headline in rows else _first_row(found.settings.get(name), rows))
    settings = sorted({run.setting for run in runs})
    board = tables.leaderboard(rows, settings, reference)
    colours = {row: place for place, row in enumerate(rows)}
    ablated = tables.ablations(rows, reference)
    drawn = [(setting, *charts.terms(rows, setting, f"{key}t{i}")) for i, setting in enumerate(settings)]
    return {
        "key": key,
        "name": name,
        "runs": len(runs),
        "rows": rows,
        "settings": settings,
        "seeds": sorted({run.seed for run in runs}),
        "reference": reference,
        "board": board,
        "one_seed": any(row["score"].over == "over problems" for row in board),
        "colours": colours,
        "hours": sum(run.cpu_seconds for run in runs) / 3600,
        "problems": max((run.problems for run in runs), default=0),
        "statuses": Counter(run.status for run in runs),
        "episodes": sum(len(run.episodes) for run in runs),
        "ledgers": list(dict.fromkeys(entry for row in board for entry in row["ledger"])),
        "curves": [(setting, charts.curves(rows, setting, f"{key}c{i}")) for i, setting in enumerate(settings)],
        "profile": charts.profiles(rows, f"{key}p"),
        "improvement": charts.improvements(board, reference, f"{key}i"),
        "ablations": ablated,
        "ablation_plot": charts.ablations(ablated, colours, reference, f"{key}a"),
        "terms": drawn,
        "rates": tables.memory_rates(rows),
        "rate_names": tables.RATES,
        "slots": tables.slot_use(rows),
        "correlations": tables.correlations(runs),
        "committed": json.dumps(found.settings[name], indent=1) if found.settings.get(name) else "",
        "configs": [(run.name, json.dumps(dict(run.config), indent=1, default=str)) for run in runs if run.config],
        "commits": sorted({run.commit for run in runs if run.commit}),
        "versions": sorted({f"{package} {number}" for run in runs for package, number in run.versions.items()}),
    }


def _first_row(settings: Any, rows: Mapping[str, Any]) -> str:
    """The row that a suite's committed settings name first, which is its headline; "" where it was not played."""
    named = settings.get("rows") if isinstance(settings, dict) else None
    return next((row for row in named or () if isinstance(row, str)), "") if named and next(iter(named)) in rows else ""


def environment() -> Any:
    """jinja2 with the page's parts and filters; all that is not marked safe is escaped.

    Raises:
        ImportError: jinja2 is not installed; the message says what to install.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as missing:
        raise ImportError("a report needs matplotlib and jinja2; run: pip install 'reasongym[report]'") from missing
    loader = FileSystemLoader(PARTS)
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"percent": percent, "short": figures.short, "seconds": seconds, "signed": signed, "finite": math.isfinite}
    made.globals |= {"palette": figures.PALETTE}
    return made


def for_script(data: Any) -> str:
    """JSON for a `<script>` element: nothing in it can end the element."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def percent(value: float, places: int = 1) -> str:
    """A share in percent, without the sign."""
    return f"{100 * value:.{places}f}"


def signed(value: float) -> str:
    """A number with its sign, two places."""
    return f"{round(value, 2) or 0.0:+.2f}".replace("-", "−")


def seconds(value: float) -> str:
    """A time in seconds, minutes or hours."""
    if value < 300:
        return f"{value:.2g} s" if value < 10 else f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"
