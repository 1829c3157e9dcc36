"""What an agent is, and how all of them are measured: `act`, `learn`, `save`, `load`, and one `evaluate`.

    from agents.base import evaluate
    from agents.baselines import make
    agent = make("tf-idf", make_vec_env("ReasonGym-bAbI-qa1-v0", n_envs=64)).learn(4_000)
    evaluate(agent, "ReasonGym-bAbI-qa1-v0").accuracy

An agent decides on what observations show. It is made with its training environments, `Class(env, seed=0, device="cpu",
**options)`, and named by import path, `pkg.module:Class`, where it is somebody else's. Any Stable-Baselines3 model is one:
`SB3Agent(model)`.
"""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.vec_env import VecEnv

from agents import evaluation
from agents.budget import Budget, BudgetCallback, Progress
from agents.evaluation import Evaluation
from reasongym.adapters.sb3 import ReasonGymVecEnv, make_vec_env
from reasongym.errors import unknown

Observation = dict[str, np.ndarray]
"""Observations of N environments, first axis N."""
METHODS = ("act", "learn", "save", "load")
REWARDS = "the environment's rewards"
"""What an agent says of its supervision that learns from rewards; the benchmark puts in its place what they are made of."""


def outcome_bits(span: bool) -> float:
    """What one outcome tells, in bits: right or wrong; of a span a score to the percent."""
    return math.log2(101) if span else 1.0


class Agent(Protocol):
    """An agent. More is read where it has it: `supervision`, what it is told beside observations, in words; `ledger`, what that
    cost (a dictionary of numbers); `reads_rewards`, whether it learns from the environment's rewards (taken for granted). One
    whose class has `attach(env)` is handed the environments that it is about to play in: that is for experts, which read
    support and gold. One with `playing_in(env)` plays in what that returns: that is for feedback to the working memory. One
    with a true `reads_text` reads environments in words: it is not held to the spaces of those it was made with. One with
    `attend(live)` is told before each step which episodes still count, (N,) bool, and at the end None: what it does in the
    others is not looked at, so a model that is paid by the call need not be asked.
    """

    observation_space: spaces.Space
    action_space: spaces.Space

    def act(
        self, observation: Observation, state: Any = None, episode_start: np.ndarray | None = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """Actions for N environments.

        Args:
            observation: of N environments.
            state: what the last call returned; None in the first one.
            episode_start: (N,) bool, which episodes begin with this observation; None: all where `state` is None, else none.
            deterministic: the best action instead of a sample.

        Returns:
            (N,) int64 actions, and the state to hand back.
        """
        ...

    def learn(self, total_timesteps: int, *, seconds: float | None = None, progress: Progress | None = None) -> Any:
        """Learns from at most so many frames (environment steps, or as many units read and questions answered) and in about so
        many CPU seconds; returns itself. Called again, it goes on."""
        ...

    def save(self, path: Any) -> None:
        """Writes what `load` needs."""
        ...

    @classmethod
    def load(cls, path: Any, env: VecEnv | None = None, device: str = "cpu") -> Any:
        """The agent that `save` wrote; with `env`, refused where it is of other spaces."""
        ...


class SB3Agent:
    """Any Stable-Baselines3 algorithm as an `Agent`; sb3-contrib's masked ones are given `observation["action_mask"]`.

    Args:
        model: an algorithm, made with its training environments.
        supervision: what it is told beside observations, in words.
    """

    reads_rewards = True

    def __init__(self, model: Any, supervision: str = REWARDS) -> None:
        self.model, self.supervision = model, supervision
        self.ledger: dict[str, float] = {}
        self.observation_space, self.action_space = model.observation_space, model.action_space
        self._masked = "action_masks" in inspect.signature(model.predict).parameters

    def act(
        self, observation: Observation, state: Any = None, episode_start: np.ndarray | None = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        masks = {"action_masks": observation["action_mask"].astype(bool)} if self._masked else {}
        return self.model.predict(observation, state=state, episode_start=episode_start, deterministic=deterministic, **masks)

    def learn(self, total_timesteps: int, *, seconds: float | None = None, progress: Progress | None = None) -> Any:
        self.spend(Budget(total_timesteps, seconds, progress))
        return self

    def spend(self, budget: Budget, whole: Budget | None = None) -> None:
        """Learns until the budget is over; schedules follow `whole`, which it is a part of, or, without one, the budget."""
        if not budget.over:
            self.model.learn(budget.total_timesteps, callback=BudgetCallback(budget, whole), reset_num_timesteps=False)

    def save(self, path: Any) -> None:
        """SB3's archive, which also names the algorithm."""
        kind = type(self.model)
        self.model.agent_record = {"algorithm": f"{kind.__module__}:{kind.__qualname__}", "supervision": self.supervision}
        self.model.save(path)

    @classmethod
    def load(cls, path: Any, env: VecEnv | None = None, device: str = "cpu") -> Any:
        data, _, _ = load_from_zip_file(path, device=device)
        if data is None or "agent_record" not in data:
            raise ValueError(f"{path} was not written by SB3Agent.save: wrap the loaded model, SB3Agent(PPO.load(path, env))")
        if env is not None:
            check_spaces(path, (data["observation_space"], data["action_space"]), env)
        record = data["agent_record"]
        agent = cls.__new__(cls)
        algorithm: Any = imported(record["algorithm"])
        SB3Agent.__init__(agent, algorithm.load(path, env=env, device=device), record["supervision"])
        return agent


def check_spaces(what: Any, ours: tuple[spaces.Space, spaces.Space], env: VecEnv) -> None:
    """Refuses environments with other spaces than those an agent was made for.

    Raises:
        ValueError: names what differs, with both shapes.
    """
    theirs = (env.observation_space, env.action_space)
    if ours == theirs:
        return
    differing = [f"actions: {_shown(ours[1])}, the environment has {_shown(theirs[1])}"] if ours[1] != theirs[1] else []
    mine, other = (dict(s.spaces) if isinstance(s, spaces.Dict) else {"observation": s} for s in (ours[0], theirs[0]))
    for key in sorted({*mine, *other}):
        if mine.get(key) != other.get(key):
            differing.append(f"{key}: {_shown(mine.get(key))}, the environment has {_shown(other.get(key))}")
    raise ValueError(
        f"{what} is of other environments (another id, number of slots, text width or vocabulary): {'; '.join(differing)}. "
        "Make the environments with the keywords that the agent was trained with"
    )


def _shown(space: spaces.Space | None) -> str:
    if isinstance(space, spaces.Box):
        return f"{space.shape} of at most {space.high.max() if space.shape and space.high.size else 0:g}"
    return "nothing" if space is None else str(space)


def imported(path: str) -> type:
    """The class at an import path, `pkg.module:Class`.

    Raises:
        ValueError: not of this form, no such class in the module, or no class.
        ModuleNotFoundError: no such module.
    """
    module_name, colon, name = path.partition(":")
    if not colon or not module_name or not name:
        raise ValueError(f"an import path is 'pkg.module:Class', got {path!r}")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and imports something that is not
        raise ModuleNotFoundError(
            f"no module {error.name!r}, asked for by {path!r}: it must be installed or lie in a folder of PYTHONPATH",
            name=error.name,
        ) from error
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise unknown(
                f"class of {module_name}", part, [key for key, value in vars(found).items() if isinstance(value, type)]
            )
        found = getattr(found, part)
    if not isinstance(found, type):
        raise ValueError(f"{path!r} is {found!r}, not a class")
    return found


def agent_class(path: str) -> type:
    """The agent's class at an import path.

    Raises:
        ValueError, ModuleNotFoundError: as `imported`.
        TypeError: it lacks one of an agent's methods.
    """
    found = imported(path)
    missing = [name for name in METHODS if not callable(getattr(found, name, None))]
    if missing:
        raise TypeError(f"{path!r} is no agent: it has no {', '.join(missing)} (see agents.base.Agent)")
    return found


class _Player:
    """An agent with the `predict` that `agents.evaluation` calls."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.attend = getattr(agent, "attend", None)

    def predict(self, observation: Any, state: Any, episode_start: np.ndarray, deterministic: bool) -> tuple[np.ndarray, Any]:
        return self.agent.act(observation, state, episode_start, deterministic)


def evaluate(
    agent: Agent,
    env_id: str,
    *,
    split: str = "validation",
    problems: int | Sequence[int] | None = None,
    num_envs: int = 500,
    deterministic: bool = True,
    **keywords: Any,
) -> Evaluation:
    """Plays problems of a split once each.

    Args:
        agent: any.
        env_id: a registered id.
        split: which problems.
        problems: which ones; or how many, at most, always the same draw; default all of the split.
        num_envs: environments side by side, which changes nothing but speed.
        deterministic: the best action instead of a sample.
        keywords: as for `gym.make_vec`; the widths of texts are those of the agent's observations where they are not given.

    Raises:
        ValueError: the agent is of other spaces, or the split is endless and `problems` is not given.
    """
    wanted = num_envs if problems is None else problems if isinstance(problems, int | np.integer) else len(problems)
    env = fitting(agent, env_id, max(1, min(num_envs, wanted)), split=split, **keywords)
    try:
        return evaluate_in(agent, env, problems, deterministic)
    finally:
        env.close()


def fitting(agent: Agent, env_id: str, num_envs: int, **keywords: Any) -> ReasonGymVecEnv:
    """Environments of an id with an agent's widths of texts.

    Raises:
        ValueError: the agent is of other spaces.
    """
    if getattr(agent, "reads_text", False):
        return make_vec_env(env_id, num_envs, seed=0, **keywords)
    shapes = getattr(agent.observation_space, "spaces", {})
    widths = {f"{name}_tokens": shapes[name].shape[0] for name in ("unit", "question") if name in shapes}
    env = make_vec_env(env_id, num_envs, seed=0, **{**widths, **keywords})
    check_spaces("this agent", (agent.observation_space, agent.action_space), env)
    return env


def evaluate_in(
    agent: Agent, env: ReasonGymVecEnv, problems: int | Sequence[int] | None = None, deterministic: bool = True
) -> Evaluation:
    """As `evaluate`, in held-out environments that are there already."""
    return evaluation.evaluate(_Player(agent), prepared(agent, env), problems, deterministic)


def prepared(agent: Agent, env: ReasonGymVecEnv) -> Any:
    """Environments as an agent plays in them: handed to it where it reads them, wrapped where it acts on them."""
    if (attach := getattr(agent, "attach", None)) is not None:
        attach(env)
    playing_in = getattr(agent, "playing_in", None)
    return env if playing_in is None else playing_in(env)
