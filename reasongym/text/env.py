"""The text environment: the state machine, rewards and seeds of `ReasonGymEnv`, strings in and out."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np

from reasongym.engine.batch import Batch
from reasongym.envs import ReasonGymEnv
from reasongym.errors import unknown
from reasongym.text.interface import Interface
from reasongym.text.prompts import INSTRUCTIONS, system_text
from reasongym.types import ProblemSource


def connect(batch: Batch, history: int, instructions: str, reasons: bool) -> Interface:
    """The interface of a batch.

    Raises:
        UnknownNameError: no such instructions.
        ValueError: `history` is no number of turns, or reasons are asked of an observer that gives none.
    """
    if instructions not in INSTRUCTIONS:
        raise unknown("instructions", instructions, INSTRUCTIONS)
    return Interface(batch, system_text(batch, history) if instructions == "full" else "", history, reasons)


class ReasonGymTextEnv(gym.Env[str, str]):
    """
    ## Description
    The environment of the id without "Text", in words: the same problems, steps and rewards for the same actions.

    ## Action Space
    Any string. Its last line that parses is the command: `next`, `store 2`, `store 2: own words`, `update 2`, `recall 2`,
    `answer kitchen`; where answers are spans also `answer none`, `start 7`, `end 9`. A reply without command is an illegal
    action: a no-op that costs a step. `unwrapped.command(action)` gives the command of an action by number.

    ## Observation Space
    A self-contained string: question, progress, desk, memory, chain, legal commands. `history=n` repeats the n turns before.

    ## Rewards
    As by number. Own words count as holding a needed unit only if a parser recovers that unit's fact from them.

    ## Starting State
    The first unit is on the desk, memory and chain are empty. `info["system"]` holds rules and a worked episode.

    ## Episode Termination
    An answer (one that is no choice is a wrong one), or `max_steps` steps.

    ## Arguments
    Those of `ReasonGymEnv`, `history` (0), `instructions` ("full" or "none") and `reasons` (False; True shows what an observer
    with `explain` says of its scores). Infos hold beside its own: `messages` (the
    observation as a chat), and after a step `thought`, `command` (canonical) and `invalid_action` with the reason.

    ## Version History
    v0: first release.

    ## References
    See `ReasonGymEnv`.
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "ansi"], "render_fps": 2}

    def __init__(
        self,
        *,
        history: int = 0,
        instructions: str = "full",
        reasons: bool = False,
        render_mode: str | None = None,
        **keywords: Any,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise unknown("render mode", render_mode, self.metadata["render_modes"])
        self.render_mode = render_mode
        self.arrays = ReasonGymEnv(**keywords)
        """The same environment by number; it shares the state."""
        self.interface = connect(self.arrays.batch, history, instructions, reasons)
        self.observation_space, self.action_space = self.interface.spaces()
        self._shown = ""

    @property
    def batch(self) -> Batch:
        """The engine's state."""
        return self.arrays.batch

    @property
    def source(self) -> ProblemSource:
        """Where the problems come from."""
        return self.batch.source

    @property
    def num_problems(self) -> int | None:
        """Number of distinct problems; None = endless."""
        return self.source.num_problems

    @property
    def choices(self) -> tuple[str, ...]:
        """The closed answers."""
        return self.source.choices

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        _, info = self.arrays.reset(seed=seed, options=options)
        self.interface.begin(np.zeros(1, np.int64))
        info["system"] = self.interface.system
        return self._observe(info)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        live = self.batch.memory.state["ended"] == 0  # else the step by number raises
        number = self.interface.read([action], live)[0]
        _, reward, terminated, truncated, info = self.arrays.step(number)
        turn, fault = self.interface.turns[0], self.interface.fault(0)
        info["thought"], info["command"] = turn.thought, turn.command
        if fault:
            info["invalid_action"] = fault
        observation, info = self._observe(info)
        return observation, reward, terminated, truncated, info

    def _observe(self, info: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        self._shown = self.interface.observe()[0]
        info["messages"] = self.interface.messages(0)
        if self.render_mode == "human":
            print(self._shown, end="\n\n")
        return self._shown, info

    def command(self, action: int) -> str:
        """The command that stands for an action by number; raises ValueError where there is no such action."""
        return self.interface.commands.of(int(action))

    def action_masks(self) -> np.ndarray:
        """(A,) bool: which actions by number are legal now."""
        return self.arrays.action_masks()

    def expert_action(self) -> str:
        """The best command, from support and gold; raises ValueError where support is unknown."""
        return self.command(self.arrays.expert_action())

    def get_state(self) -> dict[str, Any]:
        """The whole state; `set_state` of it resumes exactly here."""
        return {**self.arrays.get_state(), "text": self.interface.get_state(), "shown": self._shown}

    def set_state(self, state: dict[str, Any]) -> None:
        """Resumes from `get_state`; raises ValueError for a state of other shapes."""
        self.arrays.set_state(state)
        self.interface.set_state(state["text"])
        self._shown = state["shown"]

    def __deepcopy__(self, memo: dict[int, Any]) -> ReasonGymTextEnv:
        """Another environment in the same state; source, settings and a complete table are shared, as by `Batch`."""
        other = copy.copy(self)
        other.arrays = copy.deepcopy(self.arrays, memo)
        other._np_random, other._np_random_seed = copy.deepcopy(self._np_random, memo), self._np_random_seed
        mine = self.interface
        other.interface = Interface(other.batch, mine.system, mine.history, mine.view.reasons)
        other.interface.set_state(mine.get_state())
        other.observation_space, other.action_space = other.interface.spaces()
        return other

    def render(self) -> Any:
        """The observation: printed ("human"), or as a string ("ansi")."""
        if self.render_mode is None:
            gym.logger.warn("render() without a render_mode: pass render_mode='human' or 'ansi' to gym.make")
        elif self.render_mode == "human":
            print(self._shown, end="\n\n")
        return self._shown if self.render_mode == "ansi" else None
