"""What a round's row says of held-out problems: for reporting only.

Everything here reads gold answers and annotation, of held-out problems alone, in environments of its own. Nothing of it comes
back into training: the row goes to a file, and no round looks at a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agents import evaluation
from agents.base import prepared
from reasongym.adapters.sb3 import ReasonGymVecEnv, make_vec_env
from reasongym.metrics.statistics import auc
from reasongym.prm.correctness import CausalPRM


class HeldOut:
    """The held-out problems of a run.

    Args:
        env_id, keywords: of the environments; their PRM is the annotation that the judge is compared with.
        problems: how many, at most; as an attribute, which.
        num_envs: environments side by side.
    """

    def __init__(self, env_id: str, problems: int, num_envs: int = 256, **keywords: Any) -> None:
        chosen = {**keywords, "prm": CausalPRM(), "utility": "none", "utility_weight": 0.0, "split": "validation"}
        there = make_vec_env(env_id, 1, 0, **chosen).batch.source.num_problems
        self.problems = evaluation.chosen_problems(there, problems).tolist()
        count = len(self.problems)
        turns = -(-count // num_envs)  # so many environments that hardly a problem is played twice
        self.env = make_vec_env(env_id, -(-count // turns), 0, **chosen)

    def report(self, model: Any, judge: Any) -> dict[str, float]:
        """Held-out success with its interval, length, memory use, answers' entropy, and how far judge and annotation agree."""
        watched: Any = _Watched(prepared(model, self.env), judge)
        found = evaluation.evaluate(model, watched, self.problems)
        row = {
            "held_out": found.accuracy, "low": found.interval[0], "high": found.interval[1],
            "length": found.mean_length, "answer_entropy": _entropy(watched.answers),
        }  # fmt: skip
        return {**row, **found.rates, **watched.agreement()}


class _Watched:
    """The environments, and an ear: what the judge says of each step, and what the annotation says."""

    def __init__(self, env: ReasonGymVecEnv, judge: Any) -> None:
        self._env, self._judge = env, judge
        self.said: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []
        self.answers: list[str] = []
        self.last: list[tuple[float, bool]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def reset(self) -> Any:
        self._live = np.ones(self._env.num_envs, bool)
        self._seen: Any = self._env.reset()
        return self._seen

    def step(self, actions: np.ndarray) -> Any:
        said = None if self._judge is None else self._judge.probability(self._seen, actions)
        self._seen, rewards, dones, infos = self._env.step(actions)
        if said is not None:
            self.said.append(said[self._live])
            self.labels.append(self._env.scores[self._live, 0])
        if said is not None:
            self.last += [(float(said[i]), bool(infos[i]["is_success"])) for i in np.flatnonzero(dones & self._live)]
        self.answers += [str(infos[i].get("answer")) for i in np.flatnonzero(dones & self._live)]
        self._live = self._live & ~dones
        return self._seen, rewards, dones, infos

    def agreement(self) -> dict[str, float]:
        """`judge_agreement`: mean share of sound steps judged at least a half and of errors judged less; `judge_auc`: how often
        a sound step is judged better than an error; `verdict_auc`: a right answer than a wrong one."""
        if not self.said:
            return {}
        verdict = auc(*map(list, zip(*self.last, strict=True)))
        said, labels = np.concatenate(self.said), np.concatenate(self.labels)
        said, labels = said[~np.isnan(labels)], labels[~np.isnan(labels)] > 0
        if labels.all() or not labels.any():
            return {"judged_steps": float(len(labels)), "verdict_auc": verdict}
        shares = (said[labels] >= 0.5).mean(), (said[~labels] < 0.5).mean()
        return {
            "judge_agreement": float(np.mean(shares)), "judge_auc": auc(said.tolist(), labels.tolist()),
            "verdict_auc": verdict, "judged_steps": float(len(labels)), "errors": float((~labels).mean()),
        }  # fmt: skip


def _entropy(answers: list[str]) -> float:
    """Entropy in nats of the answers given: 0 where all are the same, as where self-agreement has collapsed."""
    _, counts = np.unique(answers, return_counts=True)
    share = counts / max(counts.sum(), 1)
    return abs(float((share * np.log(share)).sum()))
