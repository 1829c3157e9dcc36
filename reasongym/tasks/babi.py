"""bAbI: twenty tasks of reading and reasoning over short stories, made to order or read from the published files.

Weston, Bordes, Chopra, Rush, van Merrienboer, Joulin, Mikolov, "Towards AI-Complete Question Answering: A Set of
Prerequisite Toy Tasks", arXiv 1502.05698 (2015). The worlds are written anew from the published files (v1.2); each
proves itself against them (`tests/tasks`).

To add a world, put a file into `worlds/` whose `WORLDS` lists it; it is found here.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Literal

from reasongym.errors import unknown
from reasongym.tasks import worlds as _worlds
from reasongym.tasks.base import World
from reasongym.tasks.hub import REMOTE, hub_files
from reasongym.tasks.layout import open_layout
from reasongym.tasks.procedural import Difficulty, ProceduralSource
from reasongym.tasks.published import PublishedSource, task_files
from reasongym.tasks.source import SPLITS


def _collect() -> dict[int, World]:
    """Every world that a module of `worlds/` lists in its `WORLDS`, by task number."""
    found: dict[int, World] = {}
    for entry in pkgutil.iter_modules(_worlds.__path__):
        module = importlib.import_module(f"{_worlds.__name__}.{entry.name}")
        for world in getattr(module, "WORLDS", ()):
            if world.task in found:
                raise ValueError(f"two worlds for task {world.task}: {found[world.task].name} and {world.name}")
            found[world.task] = world
    return dict(sorted(found.items()))


WORLDS: dict[int, World] = _collect()
"""The worlds by task number."""


def load(
    tasks: Sequence[int] = tuple(range(1, 21)),
    *,
    source: str | os.PathLike[str] = "procedural",
    split: str = "train",
    num_problems: int | Literal["auto"] | None = "auto",
    difficulty: Difficulty = "published",
    strict: bool = True,
    allow_partial: bool = False,
    annotation: bool = True,
) -> ProceduralSource | PublishedSource:
    """A source of bAbI problems.

    Args:
        tasks: task numbers, 1-20. With several, a procedural source takes them in turn (problem i is of task
            `tasks[i % n]`), a published one holds one after another.
        source: "procedural"; "hub" (the converted Parquet files of `facebook/babi_qa`), or "hub:FOLDER" for a copy of
            those files; or a path to the published files: a folder or a `.tar.gz`, with `en-10k` or the like in it.
        split: "train", "validation", "test", or (procedural only) "ood".
        num_problems: upper bound; "auto" is 100,000 for train and 10,000 else for a procedural source, and all there
            are for a published one. None: endless (procedural), all (published).
        difficulty: a named setting of the worlds, or a mapping of knobs laid over "published". Published files are as they
            are, so that they take one knob only: {"max_units": n} leaves out problems with longer texts.
        strict: False skips broken published stories, counts them in `skipped` and warns once.
        allow_partial: True admits published files that are known to hold a part of a task (`.partial.txt`).
        annotation: False hands out problems without gold answers and support.

    Raises:
        UnknownNameError: a task, split, difficulty or knob that does not exist.
        DataError: a published file is missing, cut short or broken.
    """
    if not tasks or len(set(tasks)) < len(tasks):
        raise ValueError(f"tasks must name at least one task, and none twice, got {tuple(tasks)}")
    for task in tasks:
        if task not in WORLDS:
            raise unknown("bAbI task", task, map(str, WORLDS))
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    source = os.fspath(source)
    chosen = [WORLDS[task] for task in tasks]
    if source == "procedural":
        return ProceduralSource(chosen, split=split, num_problems=num_problems, difficulty=difficulty, annotation=annotation)
    if split == "ood":
        raise ValueError("the split 'ood' exists for source='procedural' only: published files have train, validation and test")
    max_units = _longest(difficulty)
    if source == "hub" or source.startswith("hub:"):
        folder = "hub"
        files = hub_files(chosen, split, source[4:] or REMOTE)
    else:
        layout = open_layout(source)
        folder = layout.folder
        files = task_files(layout, chosen, split, allow_partial=allow_partial)
    return PublishedSource(
        files,
        folder=folder,
        split=split,
        num_problems=None if num_problems == "auto" else num_problems,
        max_units=max_units,
        strict=strict,
        annotation=annotation,
    )


def _longest(difficulty: Difficulty) -> int | None:
    """Most units of a published problem; None: all of them.

    Raises:
        ValueError: a difficulty that published files cannot have.
    """
    if difficulty == "published":
        return None
    knobs = dict(difficulty) if isinstance(difficulty, Mapping) else {}
    most = knobs.get("max_units")
    if set(knobs) != {"max_units"} or not isinstance(most, int) or most < 1:
        raise ValueError(
            f"difficulty={difficulty!r} is for source='procedural' only: published files are as they are, and take "
            "'published' or {'max_units': n}, which leaves out the problems with longer texts"
        )
    return most
