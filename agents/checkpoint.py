"""Checkpoints that a killed training resumes from, to the same parameters as if it had never been killed.

A checkpoint is taken between two iterations: network, optimiser, random generators, the environments' whole state, and what the
algorithm carries from one iteration to the next. The file is replaced atomically, so a kill while it is being written
leaves the one before.
"""

from __future__ import annotations

import os
import pickle
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback

from agents.ppo import MemoryPPO

CARRIED = (
    "num_timesteps",
    "_n_updates",
    "_last_obs",
    "_last_episode_starts",
    "_last_state",
    "ep_info_buffer",
    "ep_success_buffer",
)
"""Attributes that go from one iteration to the next."""


def save(path: Path, model: MemoryPPO, **extra: Any) -> None:
    """Writes a checkpoint of `model` between two iterations; `extra` comes back from `load`."""
    env: Any = model.env
    state = {
        "policy": model.policy.state_dict(),
        "optimizer": model.policy.optimizer.state_dict(),
        "carried": {name: getattr(model, name) for name in CARRIED},
        "environments": env.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": np.random.get_state(),
        "python": random.getstate(),
        "extra": extra,
    }
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def frames(path: Path) -> int:
    """How many frames had been trained on when the checkpoint was saved."""
    return read(path, "cpu", weights_only=False)["carried"]["num_timesteps"]


def load(path: Path, model: MemoryPPO) -> dict[str, Any]:
    """Puts a checkpoint into a freshly made `model` with the same arguments; returns what `save` was given as `extra`.

    Raises:
        ValueError: the checkpoint is of another network or other environments, or damaged.
    """
    state = read(path, model.device, weights_only=False)
    try:
        model.policy.load_state_dict(state["policy"])
    except RuntimeError as error:
        raise ValueError(f"{path} is a checkpoint of another network: {error}") from error
    model.policy.optimizer.load_state_dict(state["optimizer"])
    for name, value in state["carried"].items():
        setattr(model, name, value)
    env: Any = model.env
    env.set_state(state["environments"])
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"]:
        torch.cuda.set_rng_state_all([generator.cpu() for generator in state["cuda"]])
    np.random.set_state(state["numpy"])
    random.setstate(state["python"])
    return state["extra"]


def read(path: Path, device: Any, weights_only: bool = True) -> Any:
    """What `torch.save` wrote.

    Raises:
        ValueError: the file is missing or damaged.
    """
    try:
        return torch.load(path, map_location=device, weights_only=weights_only)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} is missing or damaged: {type(error).__name__}: {error}") from error


class CheckpointCallback(BaseCallback):
    """Saves a checkpoint before an iteration, at most every `seconds`.

    Args:
        path: where.
        seconds: least wall-clock time between two.
        extra: called for what else to save.
    """

    def __init__(self, path: Path, seconds: float, extra: Any = dict) -> None:
        super().__init__()
        self.path, self.seconds, self.extra = path, seconds, extra
        self._last = time.monotonic()

    def _on_rollout_start(self) -> None:
        if time.monotonic() - self._last >= self.seconds:
            assert isinstance(self.model, MemoryPPO)
            save(self.path, self.model, **self.extra())
            self._last = time.monotonic()

    def _on_step(self) -> bool:
        return True
