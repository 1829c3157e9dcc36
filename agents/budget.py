"""How long an agent may learn: frames, CPU seconds, whichever ends first, and somebody who is told of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

Progress = Callable[[int], bool]
"""Called between updates with the frames so far; False ends learning."""


class _Clock:
    """CPU seconds of this process, without those during which it was stopped."""

    def __init__(self) -> None:
        self._lost = 0.0

    def now(self) -> float:
        return time.process_time() - self._lost

    @contextmanager
    def stopped(self) -> Iterator[None]:
        before = self.now()
        try:
            yield
        finally:
            self._lost += self.now() - before


class Budget:
    """Frames and CPU seconds that learning may spend, and who is told of it: what that one does (evaluate, say) is not spent.

    Args:
        total_timesteps, seconds, progress: as `Agent.learn` is given them.
    """

    def __init__(self, total_timesteps: int, seconds: float | None = None, progress: Progress | None = None) -> None:
        if not total_timesteps >= 0 or (seconds is not None and not seconds >= 0):
            raise ValueError(f"a budget must not be negative, got total_timesteps={total_timesteps}, seconds={seconds}")
        self.total_timesteps, self.seconds, self.progress = total_timesteps, seconds, progress
        self.frames, self.over = 0, total_timesteps == 0
        self.ended = False  # by `progress`
        self._clock = _Clock()
        self._started = self._clock.now()

    @property
    def spent(self) -> float:
        """CPU seconds since it was made, without those of `progress`."""
        return self._clock.now() - self._started

    def share_left(self, uncounted: int = 0) -> float:
        """In [0, 1]: of frames or of seconds, whichever is less; 1 at the beginning.

        Args:
            uncounted: frames that were spent and are not counted yet, as those of a part that is not over.
        """
        left = 1 - (self.frames + uncounted) / max(self.total_timesteps, 1)
        return max(0.0, left if self.seconds is None else min(left, 1 - self.spent / max(self.seconds, 1e-9)))

    def part(self, share: float) -> Budget:
        """A budget of its own for a share of the whole; when it is over, `include` it."""
        seconds = None if self.seconds is None else share * self.seconds
        return self._timed(Budget(max(1, int(share * self.total_timesteps)), seconds, self._later()))

    def rest(self) -> Budget:
        """A budget of its own of what is left."""
        seconds = None if self.seconds is None else max(0.0, self.seconds - self.spent)
        return self._timed(Budget(max(0, self.total_timesteps - self.frames), seconds, self._later()))

    def include(self, part: Budget) -> bool:
        """Counts what a part has spent, which its own `progress` was told of; whether there is anything left."""
        self.frames += part.frames
        self.over |= part.ended or self.frames >= self.total_timesteps
        self.over |= self.seconds is not None and self.spent >= self.seconds
        return not self.over

    def _timed(self, part: Budget) -> Budget:
        """A part reads the same clock: what `progress` takes there is not spent here either."""
        part._clock = self._clock
        part._started = self._clock.now()
        return part

    def _later(self) -> Progress | None:
        """`progress` of a part that begins now."""
        told, before = self.progress, self.frames
        return None if told is None else lambda frames: told(before + frames)

    def spend(self, frames: int) -> bool:
        """Counts frames, tells of them; whether there is anything left."""
        self.frames += frames
        if self.progress is not None:
            with self._clock.stopped():
                self.ended |= not self.progress(self.frames)
        self.over |= self.ended or self.frames >= self.total_timesteps
        self.over |= self.seconds is not None and self.spent >= self.seconds
        return not self.over


class BudgetCallback(BaseCallback):
    """Ends an SB3 algorithm's learning where a budget does, between two updates; MemoryPPO's schedules follow the budget.

    Args:
        budget: of this `learn`.
        whole: the budget that it is a part of, where schedules are to follow that one.
    """

    def __init__(self, budget: Budget, whole: Budget | None = None) -> None:
        super().__init__()
        self.budget, self.whole, self._counted = budget, whole, 0

    def _on_training_start(self) -> None:
        self._counted = self.num_timesteps
        self._follow(self._share_left)

    def _on_rollout_start(self) -> None:
        new = self.num_timesteps - self._counted
        self._counted = self.num_timesteps
        if new:
            self.budget.spend(new)

    def _on_training_end(self) -> None:
        if not self.budget.over:  # the last rollout has been trained on
            self._on_rollout_start()
        self._follow(None)

    def _share_left(self) -> float:
        new = self.num_timesteps - self._counted
        return self.budget.share_left(new) if self.whole is None else self.whole.share_left(self.budget.frames + new)

    def _follow(self, share_left: Callable[[], float] | None) -> None:
        model: Any = self.model
        if hasattr(model, "share_left"):
            model.share_left = share_left

    def _on_step(self) -> bool:
        return not self.budget.over
