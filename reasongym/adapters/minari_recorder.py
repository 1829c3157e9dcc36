"""What `adapters.minari` records with: a wrapper that keeps whole episodes, and the policies that `record` takes.

from reasongym.adapters.minari import MinariRecorder, save
env = MinariRecorder(gym.make("ReasonGym-bAbI-qa1-v0"))   # play in it, then: save(env.episodes, env, "mine/qa1-v0")
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer

from reasongym.envs import ReasonGymEnv
from reasongym.errors import unknown
from reasongym.text.env import ReasonGymTextEnv

BLOCKS = ("prm_scores", "reward_terms")
"""The infos of a step that are kept, name by name."""
SCRIPTED = ("expert", "random")

Policy = Callable[[Any, dict[str, Any]], Any]
"""(observation, info) -> an action: a number, or a reply."""


class MinariRecorder(gym.Wrapper):
    """Keeps every episode that ends; `adapters.minari.save(env.episodes, env, "name-v0")` writes them.

    Args:
        env: a ReasonGym environment of `gym.make`, by number or in words, without wrappers that change what it says.

    Raises:
        TypeError: another environment, one without an id or with wrappers, or a keyword that no file could hold.
        ValueError: one by number without slots, or without a chain.

    Attributes:
        episodes: those that have ended; what comes before `reset` in mid-episode is dropped.
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        _, spec = recorded(env)
        keywords_of(spec)  # refused before anything is played
        self.episodes: list[EpisodeBuffer] = []
        self._steps: list[tuple[Any, ...]] = []
        self._observations: list[Any] = []
        self._seed: int | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the environment's own."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._steps, self._observations, self._seed = [], [observation], seed
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment's own."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        told = [np.array([*info[block].values()], np.float64) for block in BLOCKS]
        self._steps.append((action, reward, terminated, truncated, bool(info.get("is_success", False)), *told))
        self._observations.append(observation)
        if terminated or truncated:
            self.episodes.append(self._episode(info))
        return observation, reward, terminated, truncated, info

    def _episode(self, info: dict[str, Any]) -> EpisodeBuffer:
        actions, rewards, terminations, truncations, right, *told = zip(*self._steps, strict=True)
        infos: dict[str, Any] = {"is_success": np.array(right, bool)}
        for block, rows in zip(BLOCKS, told, strict=True):
            infos[block] = dict(zip(info[block], np.array(rows).T.copy(), strict=True))
        in_words = isinstance(self.unwrapped, ReasonGymTextEnv)
        observations: Any = self._observations
        if not in_words:
            observations = {key: np.stack([o[key] for o in self._observations]) for key in self._observations[0]}
        problem = int(self.unwrapped.batch.memory.state["problem"][0])  # type: ignore[attr-defined]
        return EpisodeBuffer(
            seed=self._seed,
            options={"problem": problem},
            observations=observations,
            actions=list(actions) if in_words else np.array(actions, np.int64),
            rewards=np.array(rewards, np.float64),
            terminations=np.array(terminations, bool),
            truncations=np.array(truncations, bool),
            infos=infos,
        )


def recorded(env: gym.Env) -> tuple[gym.Env, EnvSpec]:
    """The environment in a recorder, or the environment itself, and its spec.

    Raises:
        TypeError: another environment than ReasonGym's, or one without an id, or with wrappers.
        ValueError: one without slots, or without a chain.
    """
    if isinstance(env, MinariRecorder):
        env = env.env
    spec = env.spec
    if not isinstance(env.unwrapped, (ReasonGymEnv, ReasonGymTextEnv)) or spec is None:
        raise TypeError(f"episodes are recorded of ReasonGym environments that gym.make made, got {env}")
    if spec.additional_wrappers:
        names = ", ".join(wrapper.name for wrapper in spec.additional_wrappers)
        raise TypeError(f"episodes are recorded as the environment plays them: put {names} around MinariRecorder, not into it")
    for key, space in getattr(env.observation_space, "spaces", {}).items():
        if 0 in space.shape:
            raise ValueError(
                f"Minari cannot read back a space without any number in it, and {key!r} has the shape {space.shape}: record "
                "with memory_slots and chain_length of at least 1, or in words (ReasonGymText-...)"
            )
    return env, spec


def keywords_of(spec: EnvSpec) -> dict[str, Any]:
    """The keywords that an environment was made with beyond its id, as JSON holds them.

    Raises:
        TypeError: one that no file could hold.
    """
    registered, given = gym.spec(spec.id), {}
    for name, value in spec.kwargs.items():
        own = registered.kwargs.get(name)
        if name == "render_mode" or (name in registered.kwargs and own == value):
            continue
        try:
            given[name] = json.loads(json.dumps(value))
        except (TypeError, ValueError):
            if name in registered.kwargs and type(own) is type(value):
                continue  # gym.make has copied the object that the id was registered with
            raise TypeError(
                f"{name}={value!r} cannot be written beside the episodes, so the environment could not be made again: give it "
                "by name, as a string, number, list or mapping (a PRM as 'file.py:Object')"
            ) from None
    if spec.max_episode_steps != registered.max_episode_steps:
        given["max_episode_steps"] = spec.max_episode_steps
    return given


def player(policy: Any, env: gym.Env, seed: int) -> Callable[[], Policy]:
    """What makes the policy of an episode, from what `record` takes.

    Raises:
        UnknownNameError: no scripted policy of this name.
        TypeError: no policy, or one that reads its environments.
    """
    if isinstance(policy, str):
        act = _scripted(policy, env.unwrapped, seed)
        return lambda: act
    if hasattr(policy, "attach"):
        raise TypeError(
            f"{type(policy).__name__} reads the environments that it plays in (attach), which no episode holds: record "
            "'expert', or a language model by its replies, as a function of (observation, info) on a text id"
        )
    if hasattr(policy, "act"):
        return lambda: _one_of(policy)
    if not callable(policy):
        raise TypeError(f"a policy is a function of (observation, info), an agent with act, or a name, got {policy!r}")
    return lambda: policy


def _scripted(name: str, env: Any, seed: int) -> Policy:
    if name not in SCRIPTED:
        raise unknown("policy", name, SCRIPTED)
    if name == "expert":
        return lambda observation, info: env.expert_action()
    rng, said = np.random.default_rng(seed), getattr(env, "command", int)
    return lambda observation, info: said(int(rng.choice(np.flatnonzero(info["action_mask"]))))


def _one_of(agent: Any) -> Policy:
    """An agent, which acts in N environments, in one, from the beginning of an episode."""
    state, start = None, np.ones(1, bool)

    def act(observation: dict[str, np.ndarray], info: dict[str, Any]) -> int:
        nonlocal state, start
        actions, state = agent.act({key: value[None] for key, value in observation.items()}, state, start)
        start = np.zeros(1, bool)
        return int(actions[0])

    return act
