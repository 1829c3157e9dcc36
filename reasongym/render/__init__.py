"""Pictures of one environment: for the terminal (`human`, `ansi`) and as an image (`rgb_array`).

The engine's state becomes a `Scene`, and a scene becomes a picture. Terminal pictures need rich, images need Pillow, both in
the extra `play`; they are imported at first use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reasongym.render.image import rgb_array
from reasongym.render.scene import Scene, SlotScene, number, scene_of
from reasongym.render.terminal import ansi, show

if TYPE_CHECKING:
    from reasongym.engine.batch import Batch

RENDER_MODES: dict[str, Callable[[Scene], Any]] = {"human": show, "ansi": ansi, "rgb_array": rgb_array}


class Renderer:
    """Renders environment `row` of a batch."""

    def __init__(self, batch: Batch, row: int = 0) -> None:
        self._batch, self._row = batch, row

    def render(self, mode: str) -> Any:
        """The current state in one of `RENDER_MODES`: printed (None), a string, or an (H, W, 3) uint8 image."""
        return RENDER_MODES[mode](scene_of(self._batch, self._row))


__all__ = ["RENDER_MODES", "Renderer", "Scene", "SlotScene", "ansi", "number", "rgb_array", "scene_of", "show"]
