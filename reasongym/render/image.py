"""The image of a scene, with Pillow. It has one size whatever it shows: what does not fit is cut with an ellipsis."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

import numpy as np

from reasongym.render.scene import Scene, number, require

WIDTH, HEIGHT = 960, 640
"""Pixels."""
INK, PAPER, FAINT, BLUE = (30, 34, 42), (252, 252, 250), (150, 154, 162), (36, 99, 171)
GREEN, RED, PURPLE, AMBER = (46, 139, 87), (196, 62, 62), (126, 60, 150), (170, 110, 10)
LINK_LINES = 4
"""Most lines of a unit in the chain."""
CHAIN_LINES = 10
"""Most lines of the chain in an image, the latest."""
MARGIN, LEFT_WIDTH, SLOTS_TOP, SLOTS_BOTTOM = 20, 560, 128, HEIGHT - 64


def rgb_array(scene: Scene) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8: desk and working memory on the left, chain and reward on the right."""
    image = require("PIL.Image", "Pillow", "rgb_array").new("RGB", (WIDTH, HEIGHT), PAPER)
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
        shown = slot.texts[-2:] if two_lines else (" / ".join(slot.texts),)
        if two_lines and len(shown) == 1:
            shown = pen.wrapped(shown[0], size, LEFT_WIDTH - 150, 2)
        for j, text in enumerate(shown):
            pen.write(MARGIN + 150, top + j * (size + 5), text, size, INK, LEFT_WIDTH - 150)


def _draw_chain(pen: _Pen, scene: Scene, left: int) -> None:
    pen.write(left, SLOTS_TOP - 14, f"chain {len(scene.chain)}/{scene.chain_length}", 13, FAINT, 200)
    top, lines = SLOTS_TOP + 8, []
    for h, link in enumerate(scene.chain, 1):
        parts = [part for text in link for part in pen.wrapped(text, 14, WIDTH - MARGIN - left - 24, LINK_LINES)]
        lines += [f"{h}. {part}" if j == 0 else f"     {part}" for j, part in enumerate(parts)]
    for row, line in enumerate(lines[-CHAIN_LINES:]):
        pen.write(left, top + row * 22, line, 14, PURPLE, WIDTH - MARGIN - left)
    if not lines:
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

    def wrapped(self, text: str, size: int, width: int, most: int) -> tuple[str, ...]:
        """The text in lines that fit, at most so many: the last one is as long as it is."""
        font, lines = self._font(size), [""]
        for word in _plain(text).split():
            longer = f"{lines[-1]} {word}".strip()
            if len(lines) < most and lines[-1] and self._draw.textlength(longer, font=font) > width:
                lines.append(word)
            else:
                lines[-1] = longer
        return tuple(lines)

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
