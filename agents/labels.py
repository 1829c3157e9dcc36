"""Step labels from completions: how often a policy still succeeds from the state after a step.

Math-Shepherd (Wang et al., 2024, arXiv 2312.08935) completes each prefix N times: *hard*, the step is right if any completion
is; *soft*, the share that is. Here a completion goes on in the real environment, from its real state after the step, and the
policy is any function of the situation: scripted, or an agent. All copies of all episodes run in one vector of environments.
A policy that remembers (one with `get_state` and `set_state`, as `AgentPolicy` has) is shown the steps that led to each state,
and goes on from there in every completion.

Such labels say whether a step still leads to success *for that policy*: a redundant recall costs nothing, so it counts as
right. `consensus` keeps what two sources of labels agree on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np

from reasongym.audit.policies import Policy, Situation, any_kind, noise, nth
from reasongym.prm.records import StepRecord

CRITERIA = ("hard", "soft")
MOST_ENVS = 2_048
"""Environments side by side."""
COPY = 1 << 40
"""Added to the key of random numbers per copy: completions of one problem must differ."""


class Prover:
    """A stand-in for an agent: moves like the expert but for some noise, and knows the answer only if its chain proves it.

    Args:
        epsilon: chance of a random legal action instead.
    """

    def __init__(self, epsilon: float = 0.2) -> None:
        if not 0 <= epsilon <= 1:
            raise ValueError(f"epsilon must lie in [0, 1], got {epsilon!r}")
        self.epsilon = epsilon

    def __call__(self, s: Situation) -> np.ndarray:
        """(N,) actions.

        Raises:
            ValueError: answers are spans.
        """
        if s.env.batch.shapes.span:
            raise ValueError("Prover guesses among choices; this environment's answers are spans: pass another policy")
        draws = noise(s, 4)
        actions = s.env.expert_action()
        t, state = s.env.batch.table.tables, s.env.batch.memory.state
        problems = t.problems[state["row"]]
        proved = state["recalled"] == (1 << problems["num_support"].astype(np.int64)) - 1
        fits = (t.choice_kinds[None, :] & problems["answer_kinds"][:, None]) > 0
        guessed = s.answers + nth(fits, draws[:, 0])
        actions = np.where((actions >= s.answers) & ~proved, guessed, actions)
        return np.where(draws[:, 1] < self.epsilon, any_kind(s, draws[:, 2], draws[:, 3]), actions)


class AgentPolicy:
    """An agent as a policy: `collect` plays it, and it completes for `monte_carlo`. Its state is carried from step to step.

    Args:
        agent: with SB3's `predict`.
        deterministic: the most probable action instead of a sample.
    """

    def __init__(self, agent: Any, deterministic: bool = False) -> None:
        self.agent, self.deterministic, self._state = agent, deterministic, None

    def __call__(self, s: Situation) -> np.ndarray:
        """(N,) actions."""
        begins = s.step == 0
        before = None if begins.all() else self._state
        actions, self._state = self.agent.predict(
            s.observation, state=before, episode_start=begins, deterministic=self.deterministic
        )
        return actions

    def get_state(self) -> Any:
        """The agent's own, after the last step; what `predict` returns is not changed in place."""
        return self._state

    def set_state(self, state: Any) -> None:
        """Goes on from `get_state`."""
        self._state = state


def monte_carlo(
    records: Sequence[StepRecord], policy: Policy, *, rollouts: int = 8, seed: int = 0, guess: int = 0, **keywords: Any
) -> list[StepRecord]:
    """The same records, labelled by completions.

    Args:
        records: from `collect`, of one id; `meta` tells problem and actions.
        policy: completes; in a record's copies it draws from different streams (`Situation.problem` differs by copy). With
            `get_state` and `set_state` it is also called at every recorded step, whose action is then the recorded one.
        rollouts: N, completions of each step.
        seed, guess: as in `Situation`.
        keywords: of the environments, as they were collected with.

    Returns:
        Records with the criteria "hard" (1 or -1) and "soft" (2 share - 1). The label of the step that ended the episode
        is whether it succeeded.

    Raises:
        ValueError: no records, of more than one id, or not from `collect`.
    """
    ids = {record.meta.get("env") for record in records}
    if len(ids) != 1 or None in ids or not all("actions" in record.meta for record in records):
        raise ValueError(f"monte_carlo needs records that collect() made, all of one id; got ids {sorted(map(str, ids))}")
    if rollouts < 1:
        raise ValueError(f"rollouts must be at least 1, got {rollouts}")
    size = max(1, MOST_ENVS // rollouts)
    out: list[StepRecord] = []
    order = np.argsort([len(record.steps) for record in records], kind="stable")
    for start in range(0, len(order), size):
        some = [records[i] for i in order[start : start + size]]
        shares = _shares(str(ids.copy().pop()), some, policy, rollouts, seed, guess, keywords)
        for record, share in zip(some, shares, strict=True):
            labels = np.stack([np.where(share > 0, 1, -1), 2 * share - 1], axis=1).astype(np.float32)
            meta = {**record.meta, "labels": f"monte-carlo({rollouts})"}
            out.append(replace(record, criteria=CRITERIA, labels=labels, reasons=None, meta=meta))
    return [out[i] for i in np.argsort(order, kind="stable")]


def _shares(
    env_id: str, records: Sequence[StepRecord], policy: Policy, rollouts: int, seed: int, guess: int, keywords: dict[str, Any]
) -> list[np.ndarray]:
    """(T,) share of successful completions after each step of each record."""
    n = len(records) * rollouts
    env: Any = gym.make_vec(env_id, num_envs=n, vectorization_mode="vector_entry_point", **keywords)
    problems = np.repeat([record.meta["problem"] for record in records], rollouts)
    key = problems + COPY * np.tile(np.arange(rollouts), len(records))
    observation, _ = env.reset(seed=seed, options={"problem": problems})
    remembers: Any = policy if hasattr(policy, "get_state") else None
    lengths = np.repeat([len(record.steps) for record in records], rollouts)
    out = [np.zeros(len(record.steps)) for record in records]
    for t in range(int(lengths.max())):
        if remembers is not None:
            remembers(Situation(env, observation, key, np.full(n, t), guess, seed))
        actions = np.repeat([r.meta["actions"][t] if t < len(r.steps) else 0 for r in records], rollouts)
        observation, _, ended, _, info = env.step(actions)
        live = (t < lengths) & ~ended
        success = np.where(ended & (t < lengths), info.get("is_success", np.zeros(n, bool)), False)
        if live.any():
            state, remembered = env.get_state(), None if remembers is None else remembers.get_state()
            success |= _complete(env, policy, Situation(env, observation, key, np.full(n, t + 1), guess, seed), live)
            env.set_state(state)
            if remembers is not None:
                remembers.set_state(remembered)
        for i, share in enumerate(success.reshape(-1, rollouts).mean(1)):
            if t < len(records[i].steps):
                out[i][t] = share
    env.close()
    return out


def _complete(env: Any, policy: Policy, situation: Situation, live: np.ndarray) -> np.ndarray:
    """(N,) bool, whether the environments that are `live` succeed when the policy goes on."""
    live, success = live.copy(), np.zeros(len(live), bool)
    while live.any():
        observation, _, ended, _, info = env.step(policy(situation))
        now = live & ended
        if now.any():
            success[now] = info["is_success"][now]
        live &= ~ended
        situation = situation._replace(observation=observation, step=situation.step + 1)
    return success


def consensus(records: Sequence[StepRecord], others: Sequence[StepRecord], criterion: str, other: str) -> list[StepRecord]:
    """The labels of `records` where `others` say the same of the step (error or sound); the rest unscored.

    Args:
        records, others: the same episodes, labelled twice, in the same order.
        criterion, other: which labels are compared, of each.

    Raises:
        ValueError: they are not the same episodes, or lack the criterion.
    """
    out = []
    for ours, theirs in zip(records, others, strict=True):
        if ours.steps != theirs.steps or ours.prompt != theirs.prompt:
            raise ValueError("consensus compares two labellings of the same episodes, but the steps differ")
        for record, name in ((ours, criterion), (theirs, other)):
            if name not in record.criteria:
                raise ValueError(f"the record has the criteria {record.criteria}, not {name!r}")
        a = ours.labels[:, ours.criteria.index(criterion)]
        b = theirs.labels[:, theirs.criteria.index(other)]
        agreed = ~np.isnan(a) & ~np.isnan(b) & ((a < 0) == (b < 0))
        labels = np.where(agreed, a, np.nan).astype(np.float32)[:, None]
        out.append(replace(ours, criteria=(criterion,), labels=labels, reasons=None))
    return out
