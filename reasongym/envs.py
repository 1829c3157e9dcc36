"""The environments: one, and a vector of N, over the same compiled engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from reasongym.engine.batch import Batch
from reasongym.engine.expert import expert_action
from reasongym.engine.infos import InfoWriter
from reasongym.engine.layout import Shapes
from reasongym.engine.settings import Settings
from reasongym.errors import unknown
from reasongym.tasks.datasets import LOADERS, TEXT_KEYWORDS
from reasongym.types import ProblemSource

SOURCE_KEYWORDS = ("source", "split", "num_problems", "difficulty", "strict", "allow_partial", *TEXT_KEYWORDS)
SETTING_KEYWORDS = tuple(name for name, f in Settings.__dataclass_fields__.items() if f.init)
OWN_KEYWORDS = ("dataset", "tasks", "render_mode", "num_envs", "copy", "threads", "autoreset_mode", "max_episode_steps")
"""Named in the constructors' own signatures; those from `num_envs` on are for vectors."""
OPTIONS = ("env_index", "episode", "problem", "reset_mask")


def build(dataset: str | ProblemSource, tasks: Sequence[int], keywords: Mapping[str, Any]) -> tuple[ProblemSource, Settings]:
    """The source and the settings that an environment's keywords ask for.

    Raises:
        UnknownNameError: a keyword, data set, split, ... that does not exist.
        ValueError, TypeError: a value out of range, or of another type.
    """
    for name in keywords:
        if name not in SOURCE_KEYWORDS and name not in SETTING_KEYWORDS:
            if name in OWN_KEYWORDS:
                raise TypeError(f"{name}= is a keyword of vectors of environments: pass it to gym.make_vec")
            raise unknown("keyword", name, (*SOURCE_KEYWORDS, *SETTING_KEYWORDS, *OWN_KEYWORDS))
    settings = Settings(**{name: value for name, value in keywords.items() if name in SETTING_KEYWORDS})
    chosen = {name: value for name, value in keywords.items() if name in SOURCE_KEYWORDS}
    if not isinstance(dataset, str):
        if chosen:
            raise ValueError(f"a source object was given, so {', '.join(chosen)} choose nothing: leave them out")
        return dataset, settings
    if dataset not in LOADERS:
        raise unknown("data set", dataset, LOADERS)
    chosen["annotation"] = settings.reads_gold
    widths = {"unit_tokens": settings.unit_tokens, "question_tokens": settings.question_tokens}
    return LOADERS[dataset](tuple(tasks), keywords=chosen, widths=widths), settings


def observation_space(shapes: Shapes, vocabulary: int) -> Any:
    """The observation space of one environment, keys in the order of the documentation."""
    found: dict[str, spaces.Space] = {}
    for key, (kind, shape) in shapes.observation_fields().items():
        high = {"scores": 1, "scored": 1, "action_mask": 1}.get(key, vocabulary if np.dtype(kind).kind == "i" else 1)
        low = -1 if key == "scores" else 0
        found[key] = spaces.Box(low, high, shape, np.dtype(kind).type)
    return spaces.Dict(found)


class ReasonGymEnv(gym.Env[dict[str, np.ndarray], np.int64]):
    """
    ## Description
    A text is read once, unit by unit. The agent decides what to keep in a few memory slots, recalls slots into a chain of
    explicit reasoning steps, and answers. Every step is scored by process reward models.

    ## Action Space
    `Discrete(1 + 3K + C)`: NEXT puts the desk's unit aside; STORE k writes it into slot k; UPDATE k appends it to slot k;
    RECALL k appends slot k's content to the chain; ANSWER c commits to choice c and ends the episode. On natural text an
    answer is a span of what was recalled last, in two steps: START, then END; or ABSTAIN, where the text does not say.
    `observation["action_mask"]`, `info["action_mask"]` and `action_masks()` name the legal ones; an illegal action is a
    no-op that costs a step.

    ## Observation Space
    A flat `Dict` of arrays of fixed shape: `question`, `unit`, `memory`, `memory_positions`, `memory_features`, `chain`,
    `chain_positions`, `scores`, `scored`, `progress`, `action_mask`, and on natural text `span_start`. Token ids are indices
    into `unwrapped.vocabulary` plus one; 0 is padding.

    ## Rewards
    Equation (1): `R = sum_i beta_i PRM_i + utility_weight g(WM)`. `info["reward_terms"]` holds every weighted term; they
    sum to the reward. `info["prm_scores"]` holds the raw scores, NaN where unscored.

    ## Starting State
    The first unit is on the desk, memory and chain are empty, the question is visible (`question_at="start"`).

    ## Episode Termination
    An ANSWER, or `max_steps` steps (`info["out_of_steps"]`, outcome 0). It never truncates by itself.

    ## Arguments
    See the README's table. `reset(options=...)` takes `problem` (an index), `env_index` and `episode` (to address any
    episode of any environment of a vector with the same seed).

    ## Version History
    v0: first release.

    ## References
    Weston et al., 2015, arXiv 1502.05698 (bAbI). Rajpurkar et al., 2016, arXiv 1606.05250, and 2018, arXiv 1806.03822
    (SQuAD). Kočiský et al., 2017, arXiv 1712.07040 (NarrativeQA). Xu et al., 2022, arXiv 2203.13947 (FairytaleQA).
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "ansi", "rgb_array"], "render_fps": 2}

    def __init__(
        self,
        *,
        dataset: str | ProblemSource = "babi",
        tasks: Sequence[int] = tuple(range(1, 21)),
        render_mode: str | None = None,
        **keywords: Any,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise unknown("render mode", render_mode, self.metadata["render_modes"])
        self.render_mode = render_mode
        source, settings = build(dataset, tasks, keywords)
        self.batch = Batch(source, settings, 1)
        self.batch.autoreset = False
        self.observation_space = observation_space(self.batch.shapes, len(source.vocabulary))
        self.action_space = spaces.Discrete(self.batch.shapes.actions)
        self._connect()

    def _connect(self) -> None:
        batch = self.batch
        split = getattr(batch.source, "split", "train")
        self._infos = InfoWriter(batch, tells_gold=split == "train")
        self._seeds = 0
        self._rows = [(key, view[0]) for key, view in batch.arena.views.items()]
        self._ended, self._terminated = batch.memory.state["ended"], batch.result.outcome["terminated"]
        self._one, self._action, self._seeded = np.ones(1, bool), np.zeros(1, np.int64), False
        self._renderer: Any = None

    @property
    def source(self) -> ProblemSource:
        """Where the problems come from."""
        return self.batch.source

    @property
    def num_problems(self) -> int | None:
        """Number of distinct problems; None = endless."""
        return self.batch.source.num_problems

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Token id i stands for `vocabulary[i - 1]`."""
        return self.batch.source.vocabulary

    @property
    def choices(self) -> tuple[str, ...]:
        """ANSWER c, action 1 + 3K + c, commits to `choices[c]`."""
        return self.batch.source.choices

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        options = checked_options(options, ("env_index", "episode", "problem")) if options else {}
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(2**31))
        if seed is not None or "env_index" in options:
            self._seeds = seed if seed is not None else self._seeds
            self._seeded = True
            self.batch.seed(np.zeros(1, np.int64), np.array([self._seeds]), np.array([options.get("env_index", 0)]))
        problems = problem_indices(options, self.batch)
        self.batch.reset(self._one, problems, options.get("episode"))
        observation = self._observe()
        if self.render_mode == "human":
            self.render()
        return observation, self._infos.single(observation["action_mask"], stepped=False)

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        batch = self.batch
        try:
            number = action.__index__()
        except AttributeError:
            raise TypeError(f"an action is a whole number in Discrete({batch.shapes.actions}), got {action!r}") from None
        if not 0 <= number < batch.num_actions:
            raise ValueError(f"action {number} is outside Discrete({batch.shapes.actions})")
        self._action[0] = number
        if self._ended.item(0):
            raise ResetNeeded("the episode has ended (or none has begun): call reset() before step()")
        batch.step(self._action)
        observation = self._observe()
        info = self._infos.single(observation["action_mask"], stepped=True)
        if self.render_mode == "human":
            self.render()
        return observation, batch.result.reward.item(0), bool(self._terminated.item(0)), False, info

    def _observe(self) -> dict[str, np.ndarray]:
        return {key: view.copy() for key, view in self._rows}

    def action_masks(self) -> np.ndarray:
        """(A,) bool: which actions are legal now (the name that sb3-contrib calls)."""
        return self.batch.observation.action_mask[0].astype(bool)

    def expert_action(self) -> int:
        """The best action, from support and gold; raises ValueError where support is unknown."""
        return expert_action(self.batch, 0)

    def get_state(self) -> dict[str, Any]:
        """The whole state, for search and Monte-Carlo labels; `set_state` of it resumes exactly here."""
        seeds = self._seeds if self._seeded else None
        return {**self.batch.get_state(), "np_random": self.np_random.bit_generator.state, "seeds": seeds}

    def set_state(self, state: dict[str, Any]) -> None:
        """Resumes from `get_state`; raises ValueError for a state of other shapes."""
        self.batch.set_state(state)
        self.np_random.bit_generator.state = state["np_random"]
        self._seeded = state["seeds"] is not None
        if self._seeded:
            self._seeds = state["seeds"]

    def render(self) -> Any:
        """The current state: a terminal picture ("human"), a string ("ansi"), or an RGB array ("rgb_array")."""
        if self.render_mode is None:
            gym.logger.warn("render() without a render_mode: pass render_mode='human', 'ansi' or 'rgb_array' to gym.make")
            return None
        if self._renderer is None:
            from reasongym.render import Renderer

            self._renderer = Renderer(self.batch)
        return self._renderer.render(self.render_mode)

    def __getstate__(self) -> dict[str, Any]:
        seeds = self._seeds if self._seeded else None
        return {
            "batch": self.batch,
            "render_mode": self.render_mode,
            "spaces": (self.observation_space, self.action_space),
            "np_random": self.np_random,
            "seeds": seeds,
            "spec": self.spec,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.batch, self.render_mode, self.spec = state["batch"], state["render_mode"], state["spec"]
        self.observation_space, self.action_space = state["spaces"]
        self._connect()
        self.np_random = state["np_random"]
        if state["seeds"] is not None:
            self._seeds, self._seeded = state["seeds"], True


class ReasonGymVectorEnv(gym.vector.VectorEnv[dict[str, np.ndarray], np.ndarray, np.ndarray]):
    """N environments in one kernel call; index by index the same trajectories as `ReasonGymEnv`.

    Args:
        num_envs: N.
        copy: True copies observations out; False hands out the buffers, which the next step overwrites.
        threads: worker threads for the kernel.
        autoreset_mode: NEXT_STEP, SAME_STEP, or DISABLED (then `reset(options={"reset_mask": ...})`).
        max_episode_steps: truncates episodes at this many steps, as an outer time limit would (`gym.make_vec` passes it on).
        keywords: as for `ReasonGymEnv`.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(
        self,
        *,
        num_envs: int = 1,
        dataset: str | ProblemSource = "babi",
        tasks: Sequence[int] = tuple(range(1, 21)),
        copy: bool = True,
        threads: int = 1,
        autoreset_mode: AutoresetMode | Literal["NextStep", "SameStep", "Disabled"] = AutoresetMode.NEXT_STEP,
        max_episode_steps: int | None = None,
        render_mode: None = None,
        **keywords: Any,
    ) -> None:
        super().__init__()
        for name, value in (("num_envs", num_envs), ("threads", threads)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if render_mode is not None:
            raise ValueError(f"a vector renders nothing (render_mode={render_mode!r}): render one environment of gym.make")
        if autoreset_mode not in (modes := [mode.value for mode in AutoresetMode]) and autoreset_mode not in [*AutoresetMode]:
            raise unknown("autoreset_mode", autoreset_mode, modes)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        source, settings = build(dataset, tasks, keywords)
        self.num_envs, self.copy, self.render_mode = num_envs, copy, None
        self.max_episode_steps = max_episode_steps
        self.batch = Batch(source, settings, num_envs, threads)
        self.batch.autoreset = self.autoreset_mode == AutoresetMode.NEXT_STEP
        self.single_observation_space = observation_space(self.batch.shapes, len(source.vocabulary))
        self.single_action_space = spaces.Discrete(self.batch.shapes.actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._connect()

    def _connect(self) -> None:
        split = getattr(self.batch.source, "split", "train")
        self._infos = InfoWriter(self.batch, tells_gold=split == "train")
        self._seeded = False

    source = ReasonGymEnv.source
    num_problems = ReasonGymEnv.num_problems
    vocabulary = ReasonGymEnv.vocabulary
    choices = ReasonGymEnv.choices

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        options = checked_options(options, OPTIONS)
        mask = _reset_mask(options, self.num_envs)
        if not self._seeded:
            if not mask.all():
                raise ResetNeeded("the first reset() is of all environments: options['reset_mask'] leaves some out")
            self._seed(int(self.np_random.integers(2**31)), mask)
        if seed is not None:
            self._seed(seed, mask)
        self.batch.reset(mask, problem_indices(options, self.batch), options.get("episode"))
        observation = self._observe()
        return observation, self._infos.vector(observation["action_mask"], stepped=False)

    def _seed(self, seed: int | Sequence[int | None], mask: np.ndarray) -> None:
        """One seed: environment i is stream i of it. A list: environment i is a single environment with `seed[i]`, or goes on
        as it is where that is None."""
        self._seeded = True
        rows = np.flatnonzero(mask)
        if isinstance(seed, (int, np.integer)):
            self.batch.seed(rows, np.full(len(rows), seed), rows)
            return
        if len(seed) != self.num_envs:
            raise ValueError(f"expected {self.num_envs} seeds, one an environment, got {len(seed)}")
        given = {row: own for row, own in enumerate(seed) if own is not None and mask[row]}
        self.batch.seed(np.array([*given], np.int64), np.array([*given.values()], np.int64), np.zeros(len(given), np.int64))

    def step(self, actions: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        batch, mode = self.batch, self.autoreset_mode
        if not self._seeded:
            raise ResetNeeded("call reset() before step()")
        ended = batch.memory.state["ended"]
        if mode == AutoresetMode.DISABLED and ended.any():
            raise ResetNeeded(
                f"environments {np.flatnonzero(ended).tolist()} have ended, and autoreset is disabled: call "
                "reset(options={'reset_mask': ...}) first"
            )
        batch.step(batch.checked(actions))
        truncated = self._truncate()
        terminated = batch.result.outcome["terminated"].astype(bool)
        observation = self._observe()
        info = self._infos.vector(observation["action_mask"], stepped=True)
        reward = batch.result.reward.copy()
        if mode == AutoresetMode.SAME_STEP and (terminated | truncated).any():
            observation, info = self._same_step(observation, info, terminated | truncated)
        return observation, reward, terminated, truncated, info

    def _truncate(self) -> np.ndarray:
        """Which episodes have used up `max_episode_steps`, as `TimeLimit` would say; ends those that have not terminated."""
        truncated = np.zeros(self.num_envs, bool)
        if self.max_episode_steps is None:
            return truncated
        state = self.batch.memory.state
        truncated[:] = state["steps"] >= self.max_episode_steps
        if truncated.any():
            self.batch.cut(truncated & (state["ended"] == 0))
        return truncated

    def _same_step(
        self, final: dict[str, np.ndarray], info: dict[str, Any], done: np.ndarray
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        if not self.copy:
            final = {key: value.copy() for key, value in final.items()}
            info["action_mask"] = final["action_mask"]
        self.batch.reset(done)
        observation = self._observe()
        fresh = self._infos.vector(observation["action_mask"], stepped=False)
        # What is told at the end of an episode, and the last step's terms, belong to the episode that ended.
        return observation, {**info, **fresh, "final_obs": final, "_final_obs": done, "final_info": info, "_final_info": done}

    def _observe(self) -> dict[str, np.ndarray]:
        return self.batch.arena.copy() if self.copy else dict(self.batch.arena.views)

    def action_masks(self) -> np.ndarray:
        """(N, A) bool: which actions are legal now."""
        return self.batch.observation.action_mask.astype(bool)

    def expert_action(self) -> np.ndarray:
        """(N,) the best action of each environment; raises ValueError where support is unknown."""
        return np.array([expert_action(self.batch, i) for i in range(self.num_envs)])

    def get_state(self) -> dict[str, Any]:
        """The whole state of all environments."""
        return {**self.batch.get_state(), "seeded": self._seeded}

    def set_state(self, state: dict[str, Any]) -> None:
        """Resumes from `get_state`; raises ValueError for a state of other shapes."""
        self.batch.set_state(state)
        self._seeded = state["seeded"]


def checked_options(options: dict[str, Any] | None, known: Sequence[str]) -> dict[str, Any]:
    """The options of a reset; raises UnknownNameError for one that does not exist."""
    for name in options or {}:
        if name not in known:
            raise unknown("reset option", name, known)
    return dict(options or {})


def problem_indices(options: dict[str, Any], batch: Batch) -> np.ndarray | None:
    """(N,) problem indices asked for, -1 where the order decides; None when none were."""
    if options.get("problem") is None:
        return None
    problems = np.broadcast_to(np.asarray(options["problem"]), (batch.n,))
    if problems.dtype.kind not in "iu":
        raise TypeError(f"options['problem'] must be whole numbers, got {options['problem']!r}")
    end = batch.source.num_problems or 2**62
    if (problems >= end).any() or (problems < -1).any():
        raise IndexError(f"options['problem'] must lie in [0, {end}), got {options['problem']!r}")
    return problems.astype(np.int64)


def _reset_mask(options: dict[str, Any], n: int) -> np.ndarray:
    mask = options.get("reset_mask")
    if mask is None:
        return np.ones(n, bool)
    if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != (n,):
        raise ValueError(f"options['reset_mask'] must be a bool array of shape ({n},), got {mask!r}")
    return mask
