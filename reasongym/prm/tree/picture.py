"""A reward tree as a picture: coarse criteria on the left, their fine ones on the right, with how often each was named."""

from __future__ import annotations

import os
import textwrap

from reasongym.prm.tree.tree import RewardTree

ROW, WRAP = 0.34, 78
"""Height of a line of text in inches; characters after which a criterion's text goes on in the next line."""


def draw_tree(tree: RewardTree, path: str | os.PathLike, *, dpi: int = 120) -> None:
    """Draws the tree into a file whose ending names the format (`.png`, `.svg`, `.pdf`). Needs the extra `report`.

    Raises:
        ValueError: the tree is empty.
    """
    if not tree.fine:
        raise ValueError("an empty reward tree has no picture; grow it first with reasongym.prm.tree.grow")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise ImportError("drawing a tree needs matplotlib; run: pip install 'reasongym[report]'") from missing
    texts = [textwrap.fill(fine.text, WRAP) for fine in tree.fine]
    heights = [1 + text.count("\n") for text in texts]
    figure = Figure(figsize=(11, ROW * (sum(heights) + 2.2)), dpi=dpi)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    axes.axis("off")
    axes.set_xlim(0, 1)
    axes.set_ylim(sum(heights) + 1.2, -1)
    most = max(fine.support for fine in tree.fine)
    colours = [f"C{i % 10}" for i in range(len(tree.coarse))]
    y, places = 0.0, []
    for text, height, fine, parent in zip(texts, heights, tree.fine, tree.parent.tolist(), strict=True):
        middle = y + height / 2
        places.append(middle)
        axes.barh(middle, 0.05 * fine.support / most, 0.6, left=0.4, color=colours[parent], alpha=0.6)
        axes.text(0.46, middle, f"{text}  ({fine.support})", va="center", fontsize=8)
        y += height
    for c, coarse in enumerate(tree.coarse):
        own = [place for place, parent in zip(places, tree.parent.tolist(), strict=True) if parent == c]
        centre = sum(own) / len(own)
        for place in own:
            axes.plot([0.3, 0.33, 0.37, 0.395], [centre, centre, place, place], color=colours[c], linewidth=1.2)
        axes.text(0.295, centre, coarse.name, va="center", ha="right", fontsize=9, color=colours[c], fontweight="bold")
    title = f"{len(tree.coarse)} coarse and {len(tree.fine)} fine criteria, {tree.version}"
    axes.text(0.012, -0.6, title, fontsize=9, color="0.3")
    figure.savefig(os.fspath(path))
