"""The reliability picture: how often a step is right, by how sure the PRM was. Needs matplotlib (extra `report`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the class-balanced reliability curves of a report, and below them where each PRM's confidence lies.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: no PRM has a curve (no step is labelled and scored, or all labelled steps are of one kind).
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise ImportError("the picture needs matplotlib; run: pip install 'reasongym[report]'") from missing
    curves = {name: row["reliability"] for name, row in report["prms"].items() if None not in row["reliability"]["accuracy"]}
    curves = {name: curve for name, curve in curves.items() if curve["accuracy"]}
    if not curves:
        raise ValueError(
            "there is no reliability curve to draw: it takes scored steps labelled right and scored steps labelled wrong"
        )
    figure = Figure(figsize=(6, 7), layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    top.plot((0, 1), (0, 1), color="0.7", linewidth=1, zorder=0)
    width = 0.8 / report["settings"]["bins"] / len(curves)
    for i, (name, curve) in enumerate(curves.items()):
        error = report["prms"][name]["calibration_error"]
        top.plot(curve["confidence"], curve["accuracy"], "o-", markersize=4, label=f"{name} (error {error:.3f})")
        shift = (i - (len(curves) - 1) / 2) * width
        bottom.bar([p + shift for p in curve["confidence"]], curve["weight"], width)
    top.set(ylabel="share of right steps (classes balanced)", xlim=(-0.06, 1.06), ylim=(-0.03, 1.03))
    top.legend(fontsize="small")
    bottom.set(xlabel="confidence that the step is right: (score + 1) / 2", ylabel="share of steps")
    figure.savefig(path, dpi=120)
