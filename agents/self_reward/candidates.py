"""Several candidates at one state, and the pairs of steps that come of them.

Of an episode that was played a step is drawn; at its state several of the player's actions, drawn by their probability, are
candidates; each is completed several times in the real environments, from the episode's start: the recorded actions, the
candidate, the player. A candidate's scores are, by criterion, what its completions earn on average from the step on (clipped to
[-1, 1]), the judge's word of the step, and, where the arm may know, how often its completions are right (`gold`) or give the
answer that most completions at this state give, by strict plurality (`none`; without one, all score alike).

Pareto pairs (`reasongym.prm.tree.pareto`) are a candidate that none dominates and one that it dominates on every criterion.
The control has a random pair for each of these, of the same state, so that number, states and updates are equal.

Axes: G states, M candidates of one, C completions of one, k criteria.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from agents.self_reward.arms import Arm, agreement
from agents.self_reward.episodes import Played, criteria_of, play
from agents.self_reward.judge import Judge
from agents.self_reward.playing import Player
from agents.self_reward.updates import Pairs
from reasongym.adapters.sb3 import ReasonGymVecEnv
from reasongym.errors import unknown
from reasongym.prm.base import ENVIRONMENT_CRITERIA
from reasongym.prm.tree.pareto import Group, Pair, pareto_pairs

KINDS_OF_PAIRS = ("pareto", "random", "none")


class Candidates(NamedTuple):
    """Candidates at G states.

    Attributes:
        frames: (G,) place of each state among the steps of what was played.
        actions: for each state (M,) distinct actions, M at least 2.
        scores: for each state (M, k').
        criteria: k' names.
        completed: completions played.
    """

    frames: np.ndarray
    actions: list[np.ndarray]
    scores: list[np.ndarray]
    criteria: tuple[str, ...]
    completed: int


def branch(
    arm: Arm, player: Player, env: ReasonGymVecEnv, played: Played, judge: Judge | None, rng: np.random.Generator,
    *, states: int, candidates: int, completions: int,
) -> Candidates:  # fmt: skip
    """Draws states, and plays several candidates at each to the end. Also draws from torch's generator.

    Args:
        arm: what may be known of completions.
        player: proposes and completes.
        env: the arm's training environments.
        played: episodes to branch off from.
        judge: None leaves its criterion out.
        rng: draws the states.
        states, candidates, completions: G, M and C.
    """
    episodes = rng.choice(len(played.episodes), min(states, len(played.episodes)), replace=False)
    steps = np.array([int(rng.integers(len(played.episodes[e]))) for e in episodes])
    frames = played.starts[episodes] + steps
    proposed = player.propose(*_at(played, frames), candidates)
    several = np.array([len(actions) > 1 for actions in proposed], bool)
    episodes, steps, frames = episodes[several], steps[several], frames[several]
    proposed = [actions for actions in proposed if len(actions) > 1]
    forced, problems = [], []
    for e, t, actions in zip(episodes.tolist(), steps.tolist(), proposed, strict=True):
        episode = played.episodes[e]
        for action in actions:
            forced += [np.append(episode.actions[:t], action)] * completions
            problems += [episode.problem] * completions
    names = tuple(name for name in criteria_of(env)[:-1] if name not in ENVIRONMENT_CRITERIA)
    extra = (*(("judge",) if judge is not None else ()), *{"gold": ("success",), "none": ("agreement",)}.get(arm.name, ()))
    if not problems:
        return Candidates(frames, [], [], (*names, *extra), 0)
    ends = play(player, env, np.array(problems), forced=forced, keep=False)
    told = _judged(judge, played, frames, proposed)
    scores, place = [], 0
    for g, (t, actions) in enumerate(zip(steps.tolist(), proposed, strict=True)):
        chunk = range(place, place + len(actions) * completions)
        place = chunk.stop
        earned = [np.clip(np.nan_to_num(ends.episodes[i].scores[t:, : len(names)]).sum(0), -1, 1) for i in chunk]
        columns = [np.stack(earned).reshape(len(actions), completions, -1).mean(1)]
        if told is not None:
            columns.append(2 * told[g][:, None] - 1)
        known = _known(arm, ends, chunk)
        if known is not None:
            columns.append(2 * known.reshape(len(actions), completions).mean(1)[:, None] - 1)
        scores.append(np.concatenate(columns, axis=1))
    return Candidates(frames, proposed, scores, (*names, *extra), len(problems))


def _at(played: Played, frames: np.ndarray) -> tuple[dict[str, np.ndarray], tuple[np.ndarray, ...]]:
    """What was read at some frames, and the states there."""
    return {key: value[frames] for key, value in played.observations.items()}, tuple(s[frames] for s in played.states)


def _judged(judge: Judge | None, played: Played, frames: np.ndarray, proposed: list[np.ndarray]) -> list[np.ndarray] | None:
    """For each state (M,) the judge's word of every candidate."""
    if judge is None:
        return None
    counts = [len(actions) for actions in proposed]
    read, _ = _at(played, np.repeat(frames, counts))
    return np.split(judge.probability(read, np.concatenate(proposed)), np.cumsum(counts)[:-1])


def _known(arm: Arm, ends: Played, chunk: range) -> np.ndarray | None:
    """What the arm may know of the completions at one state: (M * C,) in [0, 1]; None where it may know nothing."""
    if arm.name == "gold":
        return ends.right[chunk].astype(float)
    if arm.name != "none":
        return None
    return np.nan_to_num(agreement([ends.episodes[i].answer for i in chunk]), nan=0.5)  # no plurality speaks for no candidate


def pairs_of(
    kind: str, played: Played, found: Candidates, rng: np.random.Generator, *, margin: float = 0.1, per_problem: int = 3
) -> Pairs:
    """Pairs of actions to learn from.

    Args:
        kind: "pareto"; "random": of the states that have a Pareto pair, two candidates by the toss of a coin; "none".
        played: what the candidates branched off from.
        found: the candidates.
        rng: draws the random ones.
        margin, per_problem: as for `pareto_pairs`.
    """
    if kind not in KINDS_OF_PAIRS:
        raise unknown("kind of pairs", kind, KINDS_OF_PAIRS)
    problem_of = played.spread(np.array([episode.problem for episode in played.episodes]))
    groups = [
        Group("", (str(g),), tuple(str(a) for a in actions.tolist()), found.criteria, scores, str(problem_of[found.frames[g]]))
        for g, (actions, scores) in enumerate(zip(found.actions, found.scores, strict=True))
    ]
    pairs, report = pareto_pairs(groups, margin=margin, per_problem=per_problem)
    chosen = [] if kind == "none" else pairs
    order = np.array([int(pair.prefix[0]) for pair in chosen], int)
    two = np.array([_two(kind, pair, found, rng) for pair in chosen], np.int64).reshape(-1, 2)
    rows = found.frames[order] if len(order) else np.zeros(0, int)
    told: dict[str, Any] = {"states": len(groups), "pairs": len(chosen), "pair_problems": report.problems}
    told |= {"no_dominance": report.no_dominance, "front_share": report.front_share, "completions": found.completed}
    told["margin"] = float(np.mean([pair.margin for pair in pairs])) if pairs else float("nan")
    return Pairs(
        {key: value[rows] for key, value in played.observations.items()},
        tuple(state[rows] for state in played.states),
        two[:, 0],
        two[:, 1],
        told,
    )


def _two(kind: str, pair: Pair, found: Candidates, rng: np.random.Generator) -> tuple[int, int]:
    """The pair's actions, or, for the control, any two candidates at its state."""
    if kind == "pareto":
        return int(pair.chosen), int(pair.rejected)
    first, second = rng.choice(found.actions[int(pair.prefix[0])], 2, replace=False).tolist()
    return first, second
