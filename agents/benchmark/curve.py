"""The curve of a run: what is told of learning is evaluated now and then, written down, and watched for divergence."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from agents.base import Agent, evaluate_in
from agents.benchmark.files import CURVE, PROGRESS
from agents.evaluation import Evaluation

LOOK_EVERY = 1.0
"""CPU seconds between two looks at an agent's parameters."""
PATIENCE = 1.1
"""Times its budget that an agent may spend before it is told to stop: some cannot stop in the midst of an update."""


class Curve:
    """An agent's `progress`: called between updates with the frames so far.

    Args:
        agent: who learns.
        held_out: environments to evaluate in.
        folder: of the run.
        seconds: the budget of learning.
        points: evaluations, evenly over the budget, beside the final one.
        problems: of each.
        spent, played: CPU seconds and frames that went before (for a reward model).
        parent: the process without which this one is to end; 0: none.
    """

    def __init__(
        self,
        agent: Agent,
        held_out: Any,
        folder: Path,
        *,
        seconds: float,
        points: int,
        problems: int,
        spent: float = 0.0,
        played: int = 0,
        parent: int = 0,
    ) -> None:
        self.agent, self.held_out, self.path, self.told = agent, held_out, folder / CURVE, folder / PROGRESS
        self.seconds, self.problems, self.before, self.parent = seconds, problems, spent, parent
        self.every = seconds / (points + 1) if points else float("inf")
        self.played = self.frames = played
        self.lines, self._looked, self._evaluated = [], 0.0, 0.0
        self.path.write_text("")
        self._lost, self._started = 0.0, time.process_time()

    lines: list[dict[str, Any]]

    @property
    def spent(self) -> float:
        """CPU seconds of learning so far, without those of evaluation."""
        return time.process_time() - self._started - self._lost

    def __call__(self, frames: int) -> bool:
        """Evaluates where it is time.

        Raises:
            FloatingPointError: a parameter is no finite number.
            SystemExit: the parent is gone.
        """
        self.frames, spent = self.played + frames, self.spent
        if spent - self._looked >= LOOK_EVERY:
            self._looked = spent
            self.told.write_text(f"{self.before + spent:.1f}")
            if self.parent and os.getppid() != self.parent:
                raise SystemExit("the process that began this run is gone: the run is played anew the next time")
            if not finite(self.agent):
                raise FloatingPointError(f"parameters are not finite after {frames:,} frames")
        if spent - self._evaluated >= self.every and spent < self.seconds - self.every / 2:
            self._evaluated = spent
            with self._apart():
                self.add(evaluate_in(self.agent, self.held_out, self.problems), spent)
        return spent < PATIENCE * self.seconds

    def add(self, found: Evaluation, spent: float, paid: bool = True) -> None:
        """Writes a line; without `paid`, the rewards are not those of the run, and are left out."""
        line: dict[str, Any] = {
            "frames": self.frames,
            "cpu_seconds": round(self.before + spent, 2),
            "success": found.accuracy,
            "length": round(found.mean_length, 2),
        }
        if paid:
            line["return"] = round(found.mean_return, 4)
            line["terms"] = {name: round(term, 4) for name, term in found.terms.items()}
        self.lines.append(line)
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """CPU seconds in here are not those of learning; modules are left in the mode in which they were."""
        before, modes = time.process_time(), [(module, module.training) for module in modules(self.agent)]
        try:
            yield
        finally:
            for module, training in modes:
                module.train(training)
            self._lost += time.process_time() - before


def modules(agent: Any) -> list[nn.Module]:
    """The networks of an agent: its attributes, and those of its `model`."""
    held = [*_attributes(agent), *_attributes(getattr(agent, "model", None))]
    return [value for value in held if isinstance(value, nn.Module)]


def finite(agent: Any) -> bool:
    """Whether all parameters of an agent's networks are finite numbers; yes, where it has none."""
    parameters = [parameter for module in modules(agent) for parameter in module.parameters()]
    return all(bool(torch.isfinite(parameter).all()) for parameter in parameters)


def _attributes(thing: Any) -> list[Any]:
    return list(getattr(thing, "__dict__", {}).values())
