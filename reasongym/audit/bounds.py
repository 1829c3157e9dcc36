"""Two promises of the default reward, measured.

1. *Nothing pays but the work.* With what lucky answers earn taken off, no policy but the expert with a guessed answer
   reaches 30% of the expert's return, on tasks whose texts are at least three times their support.
2. *Answering beats stalling.* From the end of the text, and from the moment when a policy is about to answer, the worst
   wrong answer returns no less than the best way to let `max_steps` run out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from reasongym.audit.play import play
from reasongym.audit.policies import POLICIES, Policy, Situation, first_recall
from reasongym.engine.expert import expert_action
from reasongym.envs import ReasonGymVectorEnv
from reasongym.types import Problem, ProblemSource

MOST_SHARE = 0.3
"""Of the expert's return, for a policy that does not reason."""
LONG_TEXT = 3.0
"""Units a supporting unit, from which the first promise holds: shorter texts are mostly support."""
EXEMPT = ("expert", "expert-then-guess")


class Branch:
    """Plays a policy up to a cut, and another from there to the end of the episode.

    Args:
        policy: until the cut.
        cut: "end" (the text is over) or "answer" (`policy` would answer now).
        after: from the cut on.
    """

    def __init__(self, policy: Policy, cut: str, after: Policy) -> None:
        self.policy, self.cut, self.after = policy, cut, after
        self._taken: np.ndarray | None = None

    def __call__(self, s: Situation) -> np.ndarray:
        if self._taken is not None and (self._taken & (s.step > 0)).all():
            return self.after(s)
        before = self.policy(s)
        reached = ~s.reading if self.cut == "end" else before >= s.answers
        taken = reached if self._taken is None else (self._taken & (s.step > 0)) | reached
        self._taken = taken
        return np.where(taken, self.after(s), before) if taken.any() else before


def idle(s: Situation) -> np.ndarray:
    """NEXT on an empty desk: nothing changes."""
    return np.zeros(len(s.step), np.int64)


def recall_and_idle(s: Situation) -> np.ndarray:
    """Recalls all there is, then idles."""
    return first_recall(s, idle(s))


class EarnAndIdle:
    """Recalls what the expert would recall, then idles: the most that recalling can earn."""

    def __init__(self) -> None:
        self._done: np.ndarray | None = None

    def __call__(self, s: Situation) -> np.ndarray:
        out = idle(s)
        if self._done is None:
            self._done = np.zeros(len(out), bool)
        self._done[s.reading] = False
        for row in np.flatnonzero(~self._done & ~s.reading):
            action = expert_action(s.env.batch, int(row))
            self._done[row] = action >= s.answers  # idling changes nothing: it would say so again
            out[row] = 0 if self._done[row] else action
        return out


STALLING: dict[str, Callable[[], Policy]] = {
    "idle": lambda: idle,
    "recall all": lambda: recall_and_idle,
    "recall what pays": EarnAndIdle,
}
"""Ways to let the steps run out from an empty desk, each made anew for a play."""


def worst_answer(source: ProblemSource, problem: Problem) -> int:
    """A wrong choice, of a kind that was not asked for where there is one."""
    gold, kind = source.choice_of(problem.answers[0]), 1 << source.kinds.index(problem.answer_kind)
    wrong = (c for c in range(len(source.choices)) if c != gold)
    return min(wrong, key=lambda c: bool(source.choice_kinds[c] & kind))


def answering_over_stalling(env: ReasonGymVectorEnv, problems: np.ndarray, *, guess: int, seed: int) -> dict[str, float]:
    """By policy the least that the worst wrong answer returns more than the best stalling, over all states that it ends in.

    Args:
        env: from `play.make`.
        problems: (P,) indices.
        guess, seed: as for `play`.
    """
    source, span = env.batch.source, env.batch.shapes.span
    if span:  # to abstain is the wrong answer that is always legal, where there is an answer
        problems = np.array([i for i in problems if source.problem(int(i)).answers], np.int64)
        if not len(problems):
            return {}
    abstain = 2 * env.batch.shapes.positions
    worst = {int(i): abstain if span else worst_answer(source, source.problem(int(i))) for i in problems}

    def answer_wrongly(s: Situation) -> np.ndarray:
        return s.answers + np.array([worst[p] for p in s.problem.tolist()])

    def total(policy: Policy, cut: str, after: Policy) -> np.ndarray:
        return play(env, Branch(policy, cut, after), problems, guess=guess, seed=seed).total

    out: dict[str, float] = {}
    for name, policy in POLICIES.items():
        if name == "expert-then-guess":
            out[name] = out["expert"]  # ends in the same states
            continue
        margins = []
        for cut in ("end", "answer") if name != "stall" else ("end",):
            stalled = np.max([total(policy, cut, after()) for after in STALLING.values()], axis=0)
            margins.append((total(policy, cut, answer_wrongly) - stalled).min())
        out[name] = float(min(margins))
    return out


def exploits(rows: dict[str, dict[str, float]]) -> dict[str, float]:
    """Policies whose process share exceeds the first promise, with the share of the expert's return that it is."""
    most = rows["expert"]["return"]
    shares = {name: row["process"] / most for name, row in rows.items() if name not in EXEMPT}
    return {name: share for name, share in shares.items() if share > MOST_SHARE}


def broken(task: dict[str, Any]) -> list[str]:
    """The promises that a task's report breaks under the default utility, in words."""
    out = []
    if task["long_text"]:
        for name, share in exploits(task["utilities"]["coverage"]).items():
            out.append(f"{task['name']}: {name} earns {share:.0%} of the expert's return without lucky answers")
    for name, margin in task.get("answering_over_stalling", {}).items():
        if margin < 0:
            out.append(f"{task['name']}: after {name}, a wrong answer returns {-margin:.2f} less than stalling")
    return out
