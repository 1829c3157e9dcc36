"""A network trained on answers alone, as an agent: it reads every unit with NEXT, then answers.

The environment's slots stay empty: what is remembered is in the network (MemN2N and the Transformer keep the units themselves).

Axes: N environments, M units, L tokens.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv

from agents.base import Observation, check_spaces
from agents.baselines.supervised_memory import make_network, network_class
from agents.baselines.supervised_memory.base import WATCHED, Fitted, Training, fit
from agents.baselines.supervised_memory.stories import Stories, lesson_of
from agents.budget import Budget, Progress
from reasongym.adapters.sb3 import ReasonGymVecEnv
from reasongym.seeding import rng


class Heard(NamedTuple):
    """State of N episodes: the units read so far (N, M, L) token ids, and how many they are."""

    units: np.ndarray
    lengths: np.ndarray


class SupervisedReader:
    """See above.

    Args:
        env: training environments of an id with closed answers; their source's problems are what is trained on.
        seed: of weights and order.
        device: where the network lives.
        network: "memn2n", "entnet", "transformer", or a core that remembers ("lstm", "gru", ...).
        problems: training problems, at most.
        support_coef: weight of a support loss; 0 reads no support.
        training: changes to the network's own `Training`, by name.
        options: for the network's class.

    Raises:
        UnknownNameError: no such network.
        TypeError: environments of another package.
        ValueError: environments whose answers are spans.
    """

    reads_rewards = False

    def __init__(
        self,
        env: VecEnv,
        seed: int = 0,
        device: str = "cpu",
        network: str = "entnet",
        problems: int = 10_000,
        support_coef: float = 0.0,
        training: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        inner: Any = env.unwrapped
        if not isinstance(inner, ReasonGymVecEnv):
            raise TypeError(f"readers play ReasonGym ids (reasongym.adapters.sb3.make_vec_env), got {type(inner).__name__}")
        shapes = inner.batch.shapes
        if shapes.span:
            raise ValueError(f"{inner.batch.source.name} is answered with spans: {network!r} chooses among closed answers")
        self.observation_space, self.action_space = env.observation_space, env.action_space
        sizes = {
            "vocabulary_size": len(inner.batch.source.vocabulary),
            "num_choices": shapes.choices,
            "sentence_tokens": max(shapes.unit_tokens, shapes.question_tokens),
        }
        self.problems = problems
        self.training = replace(network_class(network).defaults, support_coef=support_coef, **(training or {}))
        self._source: Any = inner.batch.source
        self._make(network, sizes, options, seed, device)

    def _make(self, network: str, sizes: dict[str, int], options: dict[str, Any], seed: int, device: str) -> None:
        self.record: dict[str, Any] = {"network": network, "sizes": sizes, "options": options, "seed": seed}
        self.seed, self.device = seed, torch.device(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = self._fresh()
        told = " and support of training problems" if self.training.support_coef else " of training problems"
        self.supervision = f"answers{told}"
        self.ledger: dict[str, float] = {}
        self.fitted: Fitted | None = None

    def _fresh(self) -> Any:
        """A network with weights of torch's generator."""
        made = make_network(self.record["network"], **self.record["sizes"], **self.record["options"])
        return made.to(self.device).eval()

    def learn(self, total_timesteps: int, *, seconds: float | None = None, progress: Progress | None = None) -> Any:
        """Fits the network; called again, it goes on with a fresh optimiser. Where its training may begin anew, it answers with
        the best network of the trainings that are over.

        Raises:
            RuntimeError: it was loaded without environments, so it has no problems.
        """
        if self._source is None:
            raise RuntimeError("this reader was loaded without environments: load(path, env) gives it problems to learn from")
        budget = Budget(total_timesteps, seconds, progress)
        if budget.over:
            return self
        lesson = lesson_of(self._source, self.problems, self.device, support=self.training.support_coef > 0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            found = fit(self.network, lesson, self.training, budget, self.seed)
            for again in range(self.training.restarts):
                if budget.over or found.watched == 1:
                    break
                torch.manual_seed(int(rng(self.seed, 14, again).integers(2**31)))
                other = fit(fresh := self._fresh(), lesson, self.training, budget, self.seed)
                self.network = fresh if other.watched > found.watched else self.network
                found = Fitted(max(found.watched, other.watched), found.epochs + other.epochs, found.problems + other.problems)
        self.fitted, there = found, len(lesson.answers)
        read = min(1.0, self.fitted.problems / there + WATCHED)  # the share of the problems whose answers were looked at
        self.ledger["answers"] = read * there
        if self.training.support_coef:
            self.ledger["supports"] = read * float(lesson.support_known.sum())
        return self

    def act(
        self,
        observation: Observation,
        state: Heard | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Heard]:
        desk = observation["unit"]
        n, width = desk.shape
        if state is None:
            state = Heard(np.zeros((n, 8, width), desk.dtype), np.zeros(n, np.int64))
        count = state.lengths if episode_start is None else np.where(episode_start, 0, state.lengths)
        reading = observation["progress"][:, 2] > 0
        room = state.units.shape[1]
        units = state.units.copy() if count.max() < room else np.pad(state.units, ((0, 0), (0, room), (0, 0)))
        rows = np.flatnonzero(reading)
        units[rows, count[rows]] = desk[rows]
        count = count + reading
        actions = np.zeros(n, np.int64)
        rows = np.flatnonzero(~reading)
        if len(rows):
            held = np.where(np.arange(units.shape[1])[None] < count[rows, None], 1, 0)[:, :, None] * units[rows]
            choices = self._answers(held[:, : max(1, count[rows].max())], observation["question"][rows], deterministic)
            actions[rows] = observation["action_mask"].shape[1] - self.record["sizes"]["num_choices"] + choices
        return actions, Heard(units, count)

    def _answers(self, units: np.ndarray, questions: np.ndarray, deterministic: bool) -> np.ndarray:
        """(R,) choices, of texts (R, M, L) and questions (R, Lq)."""
        self.network.eval()
        with torch.no_grad():
            logits = self.network(Stories.of(units, questions, self.device)).logits
        if not deterministic:
            logits = logits - torch.empty_like(logits).exponential_().log()
        return logits.argmax(1).cpu().numpy()

    def save(self, path: Any) -> None:
        torch.save(
            {
                **self.record,
                "training": asdict(self.training),
                "problems": self.problems,
                "spaces": (self.observation_space, self.action_space),
                "state": self.network.state_dict(),
            },
            path,
        )

    @classmethod
    def load(cls, path: Any, env: VecEnv | None = None, device: str = "cpu") -> Any:
        saved = torch.load(path, map_location=device, weights_only=False)
        agent = cls.__new__(cls)
        agent._source = None
        agent.observation_space, agent.action_space = saved["spaces"]
        if env is not None:
            check_spaces(path, saved["spaces"], env)
            inner: Any = env.unwrapped
            agent._source = inner.batch.source
        agent.problems, agent.training = saved["problems"], Training(**saved["training"])
        agent._make(saved["network"], saved["sizes"], saved["options"], saved["seed"], device)
        agent.network.load_state_dict(saved["state"])
        return agent
