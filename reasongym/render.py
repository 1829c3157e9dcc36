"""Pictures of one environment: for the terminal (`human`, `ansi`) and as an image (`rgb_array`).

An environment describes itself as a `Scene`; nothing here knows the engine. Terminal pictures need rich, images need Pillow,
both in the extra `play`; they are imported at first use. An image has one size whatever it shows.
"""

from __future__ import annotations

import io
import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rich.console import RenderableType

RENDER_MODES = ("human", "ansi", "rgb_array")
WIDTH, HEIGHT = 960, 640
"""Size of an image in pixels."""
TERMINAL_WIDTH = 100
"""Columns of an `ansi` picture."""
BAR = 8
"""Characters of a salience bar."""


@dataclass(frozen=True)
class SlotScene:
    """One slot of the working memory.

    Attributes:
        texts: the units it holds, oldest first; () for an empty slot.
        salience: in [0, 1].
        recalls: how often it was recalled.
        closed: which of "store", "update", "recall" the gate forbids now.
    """

    texts: tuple[str, ...] = ()
    salience: float = 0.0
    recalls: int = 0
    closed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scene:
    """What a picture shows: the situation, and what the last step brought.

    Attributes:
        title: what is being played, e.g. "ReasonGym-bAbI-qa2-v0 · qa2/train/17".
        question: None while it is hidden.
        desk: the unit being read, None when the text is over.
        units_read, num_units, steps, max_steps, chain_length: progress; `chain_length` is H.
        slots: the working memory.
        chain: the recalled contents, each a tuple of units.
        action: the last action in words, None at the start.
        invalid: why the last action was illegal.
        scores: the last step's PRM scores by criterion; NaN = unscored.
        terms: the last step's terms of the reward; they sum to it.
        reward, total: of the last step, of the episode so far.
        verdict: how the episode ended, None while it goes on.
    """

    title: str
    question: str | None
    desk: str | None
    units_read: int
    num_units: int
    steps: int
    max_steps: int
    chain_length: int
    slots: tuple[SlotScene, ...] = ()
    chain: tuple[tuple[str, ...], ...] = ()
    action: str | None = None
    invalid: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    terms: Mapping[str, float] = field(default_factory=dict)
    reward: float = 0.0
    total: float = 0.0
    verdict: str | None = None

    @property
    def progress(self) -> str:
        """Where the episode stands, in words."""
        return f"read {self.units_read}/{self.num_units} · step {self.steps}/{self.max_steps}"

    @property
    def outcome(self) -> str:
        """What the last step brought, in words."""
        if self.action is None:
            return "start of the episode"
        return f"{self.action} → reward {self.reward:+.3f}, return {self.total:+.3f}"


def number(value: float) -> str:
    """A score or term with its sign; "–" where unscored."""
    return "–" if math.isnan(value) else f"{value:+.3f}" if value else "0"


def render(scene: Scene, mode: str) -> str | np.ndarray | None:
    """The scene in one of `RENDER_MODES`: printed (None), a string, or an (H, W, 3) uint8 image."""
    if mode == "human":
        _require("rich.console", "rich", mode).Console().print(panel(scene))
        return None
    return ansi(scene) if mode == "ansi" else rgb_array(scene)


def ansi(scene: Scene, width: int = TERMINAL_WIDTH) -> str:
    """The terminal picture as a string, escape codes included."""
    console = _require("rich.console", "rich", "ansi").Console(
        file=io.StringIO(), force_terminal=True, color_system="standard", width=width, legacy_windows=False
    )
    console.print(panel(scene))
    return console.file.getvalue()


def _require(module: str, package: str, mode: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as missing:
        raise ImportError(
            f"render_mode={mode!r} needs {package}, which is not installed; run: pip install 'reasongym[play]'"
        ) from missing


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


INK, PAPER, FAINT, BLUE = (30, 34, 42), (252, 252, 250), (150, 154, 162), (36, 99, 171)
GREEN, RED, PURPLE, AMBER = (46, 139, 87), (196, 62, 62), (126, 60, 150), (170, 110, 10)
MARGIN, LEFT_WIDTH, SLOTS_TOP, SLOTS_BOTTOM = 20, 560, 128, HEIGHT - 64


def rgb_array(scene: Scene) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8: desk and working memory on the left, chain and reward on the right."""
    image = _require("PIL.Image", "Pillow", "rgb_array").new("RGB", (WIDTH, HEIGHT), PAPER)
    pen = _Pen(image)
    right = LEFT_WIDTH + 2 * MARGIN
    pen.write(MARGIN, 12, scene.title, 14, FAINT, WIDTH - 280)
    pen.write(WIDTH - 240, 12, scene.progress, 14, FAINT, 220)
    pen.write(MARGIN, 38, scene.question or "(question not yet asked)", 22, BLUE if scene.question else FAINT, WIDTH - 40)
    desk = f"desk: {scene.desk}" if scene.desk else "desk: empty, the text is over"
    pen.write(MARGIN, 76, desk, 17, AMBER if scene.desk else FAINT, WIDTH - 40)
    pen.line(MARGIN, 108, WIDTH - MARGIN, 108)
    _draw_slots(pen, scene)
    _draw_chain(pen, scene, right)
    _draw_terms(pen, scene, right)
    pen.line(MARGIN, HEIGHT - 52, WIDTH - MARGIN, HEIGHT - 52)
    last = scene.outcome + (f" · illegal: {scene.invalid}" if scene.invalid else "")
    pen.write(MARGIN, HEIGHT - 46, last, 15, RED if scene.invalid else INK, WIDTH - 40)
    pen.write(MARGIN, HEIGHT - 24, scene.verdict or "", 15, PURPLE, WIDTH - 40)
    return np.array(image, dtype=np.uint8)


def _draw_slots(pen: _Pen, scene: Scene) -> None:
    closed = any(slot.closed for slot in scene.slots)
    legend = "working memory" + (" (red: closed to Store, Update, Recall)" if closed else "")
    pen.write(MARGIN, SLOTS_TOP - 14, legend, 13, FAINT, LEFT_WIDTH)
    step = min(48, (SLOTS_BOTTOM - SLOTS_TOP - 10) // max(len(scene.slots), 1))
    two_lines = step >= 32
    size = min(15, (step - 6) // 2) if two_lines else max(6, step - 6)
    for k, slot in enumerate(scene.slots):
        top = SLOTS_TOP + 8 + k * step
        pen.write(MARGIN, top, str(k + 1), size, INK if slot.texts else FAINT, 22)
        pen.bar(MARGIN + 26, top + 2, 60, max(size - 2, 3), slot.salience if slot.texts else 0.0, GREEN)
        if not slot.texts:
            continue
        letters = " ".join(name[0].upper() for name in slot.closed)
        pen.write(MARGIN + 94, top, letters, size, RED, 50)
        for j, text in enumerate(slot.texts[-2:] if two_lines else (" / ".join(slot.texts),)):
            pen.write(MARGIN + 150, top + j * (size + 5), text, size, INK, LEFT_WIDTH - 150)


def _draw_chain(pen: _Pen, scene: Scene, left: int) -> None:
    pen.write(left, SLOTS_TOP - 14, f"chain {len(scene.chain)}/{scene.chain_length}", 13, FAINT, 200)
    rows, top = 10, SLOTS_TOP + 8
    shown = list(enumerate(scene.chain, 1))[-rows:]
    for row, (h, link) in enumerate(shown):
        pen.write(left, top + row * 22, f"{h}. {' / '.join(link)}", 14, PURPLE, WIDTH - MARGIN - left)
    if not shown:
        pen.write(left, top, "nothing recalled", 14, FAINT, 200)


def _draw_terms(pen: _Pen, scene: Scene, left: int) -> None:
    top = SLOTS_TOP + 240
    pen.write(left, top, "last step: score", 13, FAINT, 160)
    pen.write(WIDTH - MARGIN - 70, top, "term", 13, FAINT, 70)
    names = list(dict.fromkeys([*scene.scores, *scene.terms]))[:8]
    for row, name in enumerate(names):
        y = top + 22 + row * 21
        pen.write(left, y, name, 14, INK, 110)
        for x, values in ((left + 115, scene.scores), (WIDTH - MARGIN - 70, scene.terms)):
            value = values.get(name)
            if value is not None:
                colour = FAINT if math.isnan(value) or not value else GREEN if value > 0 else RED
                pen.write(x, y, number(value), 14, colour, 80)


class _Pen:
    """Writes and draws on an image; a text that does not fit ends in an ellipsis."""

    def __init__(self, image: Any) -> None:
        from PIL import ImageDraw, ImageFont

        self._draw = ImageDraw.Draw(image)
        self._font = ImageFont.load_default

    def write(self, x: int, y: int, text: str, size: int, colour: tuple[int, int, int], width: int) -> None:
        font = self._font(size)
        text = _plain(text)
        length = self._draw.textlength(text, font=font)
        if length > width:
            text = text[: int(len(text) * width / length) + 4]
            while text and self._draw.textlength(text + "...", font=font) > width:
                text = text[:-1]
            text += "..."
        self._draw.text((x, y), text, fill=colour, font=font)

    def bar(self, x: int, y: int, width: int, height: int, share: float, colour: tuple[int, int, int]) -> None:
        self._draw.rectangle((x, y, x + width, y + height), outline=FAINT)
        if share > 0:
            self._draw.rectangle((x, y, x + round(width * min(share, 1.0)), y + height), fill=colour)

    def line(self, x0: int, y0: int, x1: int, y1: int) -> None:
        self._draw.line((x0, y0, x1, y1), fill=FAINT)


def _plain(text: str) -> str:
    """The text in the letters that the built-in font has: accents off, anything else a question mark."""
    text = unicodedata.normalize("NFKD", text.replace("→", "->").replace("–", "-").replace("\n", " "))
    return "".join(c if c.isascii() or c in "·" else "?" for c in text if not unicodedata.combining(c))
