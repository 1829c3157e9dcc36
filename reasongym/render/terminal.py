"""The terminal picture of a scene, with rich."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

from reasongym.render.scene import Scene, number, require

if TYPE_CHECKING:
    from rich.console import RenderableType

TERMINAL_WIDTH = 100
"""Columns of an `ansi` picture."""
BAR = 8
"""Characters of a salience bar."""


def show(scene: Scene) -> None:
    """Prints the picture."""
    require("rich.console", "rich", "human").Console().print(panel(scene))


def ansi(scene: Scene, width: int = TERMINAL_WIDTH) -> str:
    """The terminal picture as a string, escape codes included."""
    console = require("rich.console", "rich", "ansi").Console(
        file=io.StringIO(), force_terminal=True, color_system="standard", width=width, legacy_windows=False
    )
    console.print(panel(scene))
    return console.file.getvalue()


def panel(scene: Scene) -> RenderableType:
    """The scene as a rich panel."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 1), expand=True)
    head.add_column(style="bold", width=11)
    head.add_column(ratio=1)
    head.add_row("question", Text(scene.question or "(not yet asked)", style="bold cyan" if scene.question else "dim"))
    head.add_row("desk", Text(scene.desk or "(empty: the text is over)", style="yellow" if scene.desk else "dim"))
    parts: list[Any] = [head, _slot_table(scene), _chain_table(scene), Text(scene.outcome, style="bold")]
    if scene.invalid:
        parts.append(Text(f"illegal: {scene.invalid}", style="red"))
    if scene.terms:
        parts.append(_reward_table(scene))
    if scene.verdict:
        parts.append(Text(scene.verdict, style="bold magenta"))
    return Panel(Group(*parts), title=Text(scene.title), subtitle=scene.progress, border_style="blue")


def _slot_table(scene: Scene) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
    table.add_column("slot", justify="right", width=4)
    table.add_column("salience", width=BAR + 5, no_wrap=True)
    table.add_column("working memory", ratio=1)
    table.add_column("recalled", justify="right", width=8)
    table.add_column("closed to", style="red", no_wrap=True)
    for k, slot in enumerate(scene.slots, 1):
        if not slot.texts:
            table.add_row(str(k), "", Text("·", style="dim"), "", "", style="dim")
            continue
        full = round(slot.salience * BAR)
        bar = Text("█" * full + "░" * (BAR - full) + f" {slot.salience:.2f}", style="green")
        recalls = f"{slot.recalls}×" if slot.recalls else ""
        table.add_row(str(k), bar, Text(" / ".join(slot.texts)), recalls, ", ".join(slot.closed))
    return table


def _chain_table(scene: Scene) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(style="bold", width=11)
    table.add_column(ratio=1)
    label = f"chain {len(scene.chain)}/{scene.chain_length}"
    for h, link in enumerate(scene.chain):
        table.add_row(label if h == 0 else "", Text(f"{h + 1}. {' / '.join(link)}", style="magenta"))
    if not scene.chain:
        table.add_row(label, Text("(nothing recalled)", style="dim"))
    return table


def _reward_table(scene: Scene) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    names = list(dict.fromkeys([*scene.scores, *scene.terms]))
    for name in names:
        table.add_column(name, justify="right")
    for label, values in (("score", scene.scores), ("term", scene.terms)):
        cells = [Text(number(values[n]), style=_colour(values[n])) if n in values else Text("") for n in names]
        table.add_row(label, *cells)
    return table


def _colour(value: float) -> str:
    return "dim" if math.isnan(value) or not value else "green" if value > 0 else "red"
