"""Pictures as inline SVG: drawn by matplotlib, coloured by the page.

Colours are drawn as placeholders and written as CSS variables, so one picture serves a light and a dark page; text stays
text, in the page's font, and can be selected and searched. A picture is 10-60 kB, where a plotting library in the page would
be 1.3 MB (Bokeh 3.9) to 4.8 MB (plotly 7.1) before its first curve, and draw nothing without scripts.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = 10
"""Colours that the page's style sheet has: --c0 ... --c9."""
DASHES = ("solid", (0, (5, 1.6)), (0, (1.4, 1.4)), (0, (6, 1.5, 1.5, 1.5)))
"""Line styles: rows beyond the palette repeat its colours with the next."""
ROLES = {"ink": "#010203", "soft": "#010204", "line": "#010205", "paper": "#010206"}
COLOURS = {f"c{i}": f"#02{i:02x}04" for i in range(PALETTE)}
VARIABLES = {**ROLES, **COLOURS}
SMALL = 9.5
"""Points."""


def colour(place: int) -> str:
    """The placeholder of the colour of series `place`."""
    return COLOURS[f"c{place % PALETTE}"]


def dash(place: int) -> Any:
    """The line style of series `place`."""
    return DASHES[place // PALETTE % len(DASHES)]


def pyplot() -> Any:
    """matplotlib, imported when something is drawn.

    Raises:
        ImportError: it is not installed; the message says what to install.
    """
    try:
        return import_module("matplotlib.figure")
    except ImportError as missing:
        raise ImportError("a report needs matplotlib and jinja2; run: pip install 'reasongym[report]'") from missing


def style() -> AbstractContextManager[None]:
    """matplotlib's settings while a picture is made."""
    from matplotlib import rc_context

    ink, soft, line = ROLES["ink"], ROLES["soft"], ROLES["line"]
    return rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "reasongym",
            "text.parse_math": False,
            "font.size": SMALL,
            "axes.titlesize": SMALL + 1,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.titlecolor": ink,
            "axes.labelsize": SMALL,
            "axes.labelcolor": soft,
            "axes.edgecolor": line,
            "axes.linewidth": 1,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.spines.left": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.formatter.use_mathtext": False,
            "grid.color": line,
            "grid.linewidth": 0.8,
            "xtick.color": line,
            "ytick.color": line,
            "xtick.labelcolor": soft,
            "ytick.labelcolor": soft,
            "xtick.major.size": 0,
            "ytick.major.size": 0,
            "lines.linewidth": 2,
            "lines.solid_capstyle": "round",
            "lines.solid_joinstyle": "round",
            "figure.facecolor": "none",
            "axes.facecolor": "none",
        }
    )


def new_figure(width: float, height: float, columns: int = 1, rows: int = 1, **sharing: Any) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches, and its axes from the top left. Call it, and draw, within `style()`."""
    figure = pyplot().Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, **sharing)
    return figure, list(grid.ravel())


def share_axis(axes: Axes) -> None:
    """Makes the vertical axis one of shares, 0 to 100%."""
    axes.set_ylim(-0.02, 1.03)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100%"])


def short(value: float, _: Any = None) -> str:
    """A number of frames or seconds as a tick says it: 1.2M, 40k, 300."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def svg(figure: Figure, label: str, key: str, series: Sequence[dict[str, Any]] = ()) -> str:
    """The figure as an `<svg>` element.

    Args:
        figure: drawn within `style()`.
        label: what it shows, for those who do not see it.
        key: distinguishes its ids from those of the page's other pictures; letters and digits.
        series: for the pointer: `{"axes": index, "place": colour, "x": [...], "y": [...]}`; for tips.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{key}-", text)
    text = re.sub(r"font: (bold |700 |)([0-9.]+)px [^;\"]+", _font, text)
    text = re.sub(r"font-family: [^;\"]+; ?", "", text)
    for name, placeholder in VARIABLES.items():
        text = text.replace(placeholder, f"var(--{name})")
    text = re.sub(rf'id="{key}-series-(\d+)[^"]*"', r'data-series="\1"', text)
    text = re.sub(r"(\d+\.\d{2})\d+", r"\1", text)
    places = _attribute(json.dumps(_places(figure, series)))
    head = f'<svg class="plot" role="img" aria-label="{_attribute(label)}" data-places="{places}" '
    body = text[len("<svg ") :]
    opening, rest = body.split(">", 1)
    return head + re.sub(r'\b(?:width|height)="[^"]*"', "", opening) + ">" + rest


def _font(found: re.Match[str]) -> str:
    """Size and weight as matplotlib set them, the face as the page has it."""
    return f"font-size: {found[2]}px" + ("; font-weight: 600" if found[1] else "")


def _places(figure: Figure, series: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Where the axes lie in the picture, in its own units (points, from the top left), with limits and series."""
    width, height = figure.get_size_inches() * 72
    out = []
    for i, axes in enumerate(figure.axes):
        mine = [{"place": s["place"], "x": _rounded(s["x"]), "y": _rounded(s["y"])} for s in series if s["axes"] == i]
        if mine:
            box = axes.get_position()
            frame = [box.x0 * width, (1 - box.y1) * height, box.width * width, box.height * height]
            limits = [*axes.get_xlim(), *axes.get_ylim()]
            out.append({"frame": _rounded(frame), "limits": _rounded(limits), "series": mine, "unit": axes.get_xlabel()})
    return out


def _rounded(values: Sequence[float]) -> list[float | None]:
    return [float(f"{value:.5g}") if math.isfinite(value) else None for value in values]


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
