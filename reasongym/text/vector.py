"""N text environments over one batch; index by index the trajectories of `ReasonGymTextEnv`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from reasongym.engine.batch import Batch
from reasongym.envs import ReasonGymVectorEnv
from reasongym.text.env import ReasonGymTextEnv, connect

Texts = tuple[str, ...]


class ReasonGymTextVectorEnv(gym.vector.VectorEnv[Texts, Sequence[str], np.ndarray]):
    """N text environments in one: a step takes N strings and hands out a tuple of N strings.

    Args:
        num_envs: N.
        history, instructions, reasons: as for `ReasonGymTextEnv`.
        autoreset_mode: as for `ReasonGymVectorEnv`.
        keywords: as for `ReasonGymTextEnv`; `max_episode_steps` and `threads` as for `ReasonGymVectorEnv`.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(
        self,
        *,
        num_envs: int = 1,
        history: int = 0,
        instructions: str = "full",
        reasons: bool = False,
        autoreset_mode: AutoresetMode | Literal["NextStep", "SameStep", "Disabled"] = AutoresetMode.NEXT_STEP,
        **keywords: Any,
    ) -> None:
        super().__init__()
        # texts of the final states are made before they are reset
        same_step = autoreset_mode in (AutoresetMode.SAME_STEP, AutoresetMode.SAME_STEP.value)
        inner: Any = AutoresetMode.DISABLED if same_step else autoreset_mode
        self.arrays = ReasonGymVectorEnv(num_envs=num_envs, autoreset_mode=inner, **keywords)
        """The same environments by number; they share the state."""
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.num_envs, self.render_mode = num_envs, None
        self.interface = connect(self.arrays.batch, history, instructions, reasons)
        self.single_observation_space, self.single_action_space = self.interface.spaces()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._all = np.ones(num_envs, bool)

    @property
    def batch(self) -> Batch:
        """The engine's state."""
        return self.arrays.batch

    source = ReasonGymTextEnv.source
    num_problems = ReasonGymTextEnv.num_problems
    choices = ReasonGymTextEnv.choices

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Texts, dict[str, Any]]:
        _, info = self.arrays.reset(seed=seed, options=options)
        mask = (options or {}).get("reset_mask")
        self.interface.begin(np.arange(self.num_envs) if mask is None else np.flatnonzero(mask))
        info["system"], info["_system"] = np.full(self.num_envs, self.interface.system, object), self._all
        return self._observe(info), info

    def step(self, actions: Sequence[str]) -> tuple[Texts, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        if isinstance(actions, str) or len(actions) != self.num_envs:
            got = f"{actions!r:.80}" if isinstance(actions, str) else f"{len(actions)} actions"
            raise ValueError(f"expected {self.num_envs} strings, one an environment, got {got}")
        live = self.batch.memory.state["ended"] == 0
        if self.autoreset_mode != AutoresetMode.NEXT_STEP and not live.all():
            raise ResetNeeded(
                f"environments {np.flatnonzero(~live).tolist()} have ended, or never begun: call "
                "reset(options={'reset_mask': ...}) first"
            )
        numbers = self.interface.read(actions, live)
        _, reward, terminated, truncated, info = self.arrays.step(numbers)
        self.interface.begin(np.flatnonzero(~live))
        self._tell(info, live)
        observation = self._observe(info)
        done = terminated | truncated
        if self.autoreset_mode == AutoresetMode.SAME_STEP and done.any():
            _, fresh = self.arrays.reset(options={"reset_mask": done})
            self.interface.begin(np.flatnonzero(done))
            last = {"final_obs": np.array(observation, object), "final_info": info, "_final_obs": done, "_final_info": done}
            info = {**info, **fresh, **last}
            observation = self._observe(info)
        return observation, reward, terminated, truncated, info

    def _tell(self, info: dict[str, Any], live: np.ndarray) -> None:
        """Adds what the replies came to, of the environments that were stepped."""
        for name in ("thought", "command"):
            info[name] = np.array([getattr(turn, name) for turn in self.interface.turns], object)
            info[f"_{name}"] = live
        for i in np.flatnonzero(live).tolist():
            if fault := self.interface.fault(i):
                info["invalid_action"][i] = fault

    def _observe(self, info: dict[str, Any]) -> Texts:
        shown = self.interface.observe()
        info["messages"], info["_messages"] = np.empty(self.num_envs, object), self._all
        for i in range(self.num_envs):
            info["messages"][i] = self.interface.messages(i)
        return shown

    def command(self, action: int) -> str:
        """The command that stands for an action by number; raises ValueError where there is no such action."""
        return self.interface.commands.of(int(action))

    def action_masks(self) -> np.ndarray:
        """(N, A) bool: which actions by number are legal now."""
        return self.arrays.action_masks()

    def expert_action(self) -> Texts:
        """The best command of each environment; raises ValueError where support is unknown."""
        return tuple(map(self.command, self.arrays.expert_action()))

    def get_state(self) -> dict[str, Any]:
        """The whole state of all environments."""
        return {**self.arrays.get_state(), "text": self.interface.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Resumes from `get_state`; raises ValueError for a state of other shapes."""
        self.arrays.set_state(state)
        self.interface.set_state(state["text"])
