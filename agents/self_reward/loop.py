"""Iterative self-reward: rounds of playing, judging, remembering, learning, and changing what counts.

    run = SelfReward("ReasonGym-bAbI-qa2-v0", Settings(arm="none"), Path("runs/none"), start="runs/start.pt")
    rows = run.run()                                   # killed and called again, it goes on, to the same parameters

A round:

1. `play`: each of P problems S times, with the agent's own exploration.
2. `judge`: episodes are labelled as the arm may (`arms`), the agent's own judge is fitted to that, and everything is scored by
   the PRM and the judge.
3. `remember`: the episodes go into the replay; what is in it is replayed from its starts and rescored.
4. `branch`: several candidates at one state, completed; pairs; step-wise DPO. Then `improve`: PPO on fresh rollouts, paid by
   PRM and judge under the present weights, with self-imitation on the replay at most a quarter of the mix.
5. `reweigh`: β and gates from what the round showed, and the value head refitted to what is paid from now on.

Then the round's row is written, and a checkpoint from which the next round begins. A run that is killed begins its round again:
every phase draws from a stream of its own, named by seed, round and phase, so the result is the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from agents.base import outcome_bits
from agents.self_reward.arms import StepAnnotator, arm_of, labelled, make_env
from agents.self_reward.candidates import branch, pairs_of
from agents.self_reward.episodes import NO_JUDGE, Episode, Played, criteria_of, play, replayed, story_key
from agents.self_reward.judge import Judge
from agents.self_reward.learner import MakeLearner, memory_learner
from agents.self_reward.replay import Replay, rescored, with_advantages
from agents.self_reward.report import HeldOut
from agents.self_reward.rewards import SelfRewardVecEnv, Weighting
from agents.self_reward.settings import Settings
from agents.self_reward.state import check_folder, load, save
from reasongym.seeding import rng

PHASES = ("play", "judge", "remember", "branch", "improve", "reweigh", "report", "save")
STREAM = 40
"""Of the seed: phases draw from (STREAM, round, phase)."""


class SelfReward:
    """A run; see the module's docstring.

    Args:
        env_id: a ReasonGym id.
        settings: of the run.
        folder: where checkpoint, replay and rows are kept; a run that is there already goes on.
        start: parameters to begin with (`start.weak_start`'s `policy`); None: untrained.
        held_out: problems of the report, at most.
        policy_kwargs: of the policy.
        learner: who learns, instead of a memory policy with that start; such as `agents.llm_rounds.Language(...)`.
        device: of networks and rollouts.
        on_phase: called with (round, phase) before each phase.
        keywords: of the environments; `prm` (default "lexical") must need no annotation.

    Raises:
        ValueError: the folder holds a run with other settings, or the core is "slots".
    """

    def __init__(
        self, env_id: str, settings: Settings, folder: str | Path, *, start: dict[str, Any] | None = None, held_out: int = 500,
        policy_kwargs: dict[str, Any] | None = None, learner: MakeLearner | None = None, device: str = "cpu",
        on_phase: Callable[[int, str], None] | None = None,
        **keywords: Any,
    ) -> None:  # fmt: skip
        self.settings, self.arm, self.folder = settings, arm_of(settings.arm), Path(folder)
        self.on_phase = on_phase or (lambda round_, phase: None)
        self.folder.mkdir(parents=True, exist_ok=True)
        shown = {"env": env_id, "settings": asdict(settings), "keywords": repr(sorted(keywords.items())), "held_out": held_out}
        shown |= {} if learner is None else {"learner": repr(learner)}
        check_folder(self.folder, shown)
        self.env = make_env(self.arm, env_id, settings.num_envs, settings.seed, **keywords)
        self.criteria, self.answers = criteria_of(self.env), 1 + 3 * self.env.batch.shapes.slots
        beta = {**self.env.batch.settings.model.default_beta, **self.arm.beta}
        self.paid = SelfRewardVecEnv(self.env, Weighting(beta, meaning=self.arm.meaning))
        self.model = (learner or memory_learner(start, policy_kwargs))(self.paid, settings, device)
        self.judge = self.model.new_judge()
        self.judged = False
        self.annotator = (
            StepAnnotator(env_id, settings.num_envs, **_without(keywords)) if self.arm.name == "annotation" else None
        )
        self.bought: list[tuple[Episode, np.ndarray]] = []
        self.reader = HeldOut(env_id, held_out, **_without(keywords))
        texts = {story_key(self.reader.env, problem) for problem in self.reader.problems}
        self.replay = Replay(settings.capacity, settings.max_age, texts, self.criteria)
        self.ledger = {"gold_bits": 0.0, "annotation_bits": 0.0, "judge_calls": 0.0, "cpu_seconds": 0.0}
        self.rows: list[dict[str, Any]] = []
        load(self)

    @property
    def weighting(self) -> Weighting:
        """What counts now."""
        return self.paid.weighting

    @property
    def known_judge(self) -> Judge | None:
        """The judge, once it was fitted to anything; before that its word is nothing, and is paid and heeded nowhere."""
        return self.judge if self.judged else None

    def run(self, rounds: int | None = None) -> list[dict[str, Any]]:
        """Plays the rounds that are left, or so many of them; returns all rows, the start's first."""
        left = self.settings.rounds + 1 - len(self.rows)
        for _ in range(left if rounds is None else min(left, rounds + (not self.rows))):
            self._round(len(self.rows))
        return self.rows

    def _round(self, number: int) -> None:
        """One round; number 0 only reports on the start."""
        before = time.process_time()
        row: dict[str, Any] = {"round": number}
        if number:
            row |= self._learn(number)
        self._begin(number, "report")
        spent = time.process_time() - before
        row |= self.reader.report(self.model, self.model.heard(self.known_judge))
        self.ledger["cpu_seconds"] += spent
        row |= self.ledger | {"round_seconds": spent, "frames": self.model.num_timesteps}
        self._begin(number, "save")
        self.rows.append({name: None if value != value else value for name, value in row.items()})  # JSON knows no NaN
        save(self, number)

    def _learn(self, number: int) -> dict[str, Any]:
        """The five steps of a round; what is told of them."""
        s = self.settings
        row: dict[str, Any] = {}
        draw = self._begin(number, "play")
        played = self._play(draw, number)
        self._begin(number, "judge")
        played, told = self._judge(played)
        row |= {f"judge_{name}": value for name, value in told.items()}
        draw = self._begin(number, "remember")
        lessons = self._remember(played, number, draw) if s.replay else None
        row |= {"replay": len(self.replay), "agreed": float(np.mean([not np.isnan(e.label) for e in played.episodes]))}
        labels = np.array([episode.label for episode in played.episodes])
        row["believed"] = float(labels[~np.isnan(labels)].mean()) if row["agreed"] else None
        draw = self._begin(number, "branch")
        if s.pairs != "none":
            found = branch(self.arm, self.model.as_player(), self.env, played, self.known_judge, draw, states=s.states,
                           candidates=s.candidates, completions=s.completions)  # fmt: skip
            pairs = pairs_of(s.pairs, played, found, draw, margin=s.margin)
            self._count(found.completed)
            self._asked(sum(map(len, found.actions)))
            row |= pairs.report | self.model.learn_pairs(pairs)
        self._begin(number, "improve")
        row |= self._improve(lessons)
        self._begin(number, "reweigh")
        return row | self._reweigh(played)

    # ---- the steps of a round --------------------------------------------------------------------------------------

    def _play(self, draw: np.random.Generator, number: int) -> Played:
        s, end = self.settings, self.env.batch.source.num_problems or 2**31
        problems = draw.choice(end, s.problems, replace=False) if end < 2**31 and end >= s.problems else None
        problems = draw.integers(end, size=s.problems) if problems is None else problems
        wanted = np.repeat(problems, s.samples)
        played = play(self.model.as_player(), self.env, wanted, seed=s.seed, round_=number, beta=self.weighting.version)
        self._count(len(wanted))
        return played

    def _judge(self, played: Played) -> tuple[Played, dict[str, float]]:
        """Labels, a judge fitted to them, and its word on every step."""
        if self.annotator is None:
            episodes = labelled(self.arm, played, self.settings.samples)
            sure = played.spread(np.array([episode.label for episode in episodes]))
            watched = played.spread(self._unseen(len(episodes), self.settings.samples))
            told = self.judge.fit(played.observations, played.actions, sure, watched)
        else:
            told = self._fit_to_annotation(played, self.annotator)
        self.judged |= bool(told["fitted"])
        self.paid.judge = self.model.heard(self.known_judge)
        if not self.judged:
            return replace(played, episodes=labelled(self.arm, played, self.settings.samples)), told
        said = self.judge.probability(played.observations, played.actions)
        self._asked(len(said))
        scored = [self._with_judge(e, said[a:b]) for e, a, b in
                  zip(played.episodes, played.starts[:-1], played.starts[1:], strict=True)]  # fmt: skip
        episodes = labelled(self.arm, replace(played, episodes=scored), self.settings.samples)
        return replace(played, episodes=episodes), told

    def _fit_to_annotation(self, played: Played, annotator: StepAnnotator) -> dict[str, float]:
        """Buys the steps of some of a round's episodes, and fits the judge to all that were bought."""
        some = played.episodes[:: self.settings.samples][: self.settings.annotated]
        if not some:
            return {"fitted": 0.0, "steps": 0.0}
        self.bought += list(zip(some, annotator.annotate(self.model.as_player(), some), strict=True))
        self.ledger["annotation_bits"] = annotator.bits
        again = replayed(self.model.as_player(), self.env, [episode for episode, _ in self.bought])
        sound = np.concatenate([labels for _, labels in self.bought])
        watched = again.spread(self._unseen(len(self.bought)))
        return self.judge.fit(again.observations, again.actions, sound, watched, balanced=True)

    @staticmethod
    def _unseen(count: int, samples: int = 1) -> np.ndarray:
        """(count,) bool: every fourth problem's episodes, which the judge is not fitted to, and the weights are."""
        return np.arange(count) // samples % 4 == 3

    def _with_judge(self, episode: Episode, said: np.ndarray) -> Episode:
        scores = np.concatenate([episode.scores[:, :-1], said[:, None]], axis=1).astype(np.float32)
        return replace(episode, scores=scores, judge=self.judge.version)

    def _remember(self, played: Played, number: int, draw: np.random.Generator) -> Any:
        """Adds the round's episodes, rescores what others have scored, and draws what is learned from again."""
        returns = self._returns(played)
        self.replay.add(with_advantages(played, returns), number)
        judge = self.known_judge
        old = self.replay.stale(self.env.batch.settings.model.version, NO_JUDGE if judge is None else judge.version)
        if old:
            episodes = [self.replay.episodes[i] for i in old]
            again = replayed(self.model.as_player(), self.env, episodes, judge)
            self._asked(len(again.actions))
            gained = with_advantages(again, self._returns(again))
            self.replay.update(old, [rescored(a, b, b.advantage) for a, b in zip(episodes, gained, strict=True)])
        chosen = self.replay.draw(self.settings.lessons, draw)
        if not chosen:
            return None
        lessons = replayed(self.model.as_player(), self.env, [self.replay.episodes[i] for i in chosen], judge)
        self._asked(len(lessons.actions))
        return self.model.lessons_of(lessons, self._returns(lessons))

    def _improve(self, lessons: Any) -> dict[str, float]:
        """PPO for a round's frames."""
        paid = self.paid
        paid.paid, ended = dict.fromkeys(paid.paid, 0.0), paid.ended
        told = self.model.improve(self.settings.frames, lessons)
        self._count(paid.ended - ended)
        self._asked(told["ppo_frames"])
        row = {f"term_{name}": total / max(paid.ended - ended, 1) for name, total in paid.paid.items()}
        return {**row, **told, "updates": self.model.updates}

    def _reweigh(self, played: Played) -> dict[str, Any]:
        """β, gates and the value head for the next round."""
        if self.settings.fit_weights:
            self.paid.weighting = self.weighting.fitted(self._shown(played), self.criteria, self.answers)
        lessons = self.model.lessons_of(played, self._returns(played))
        error = self.model.refit_value(lessons)
        beta = {f"beta_{name}": value for name, value in self.weighting.beta.items()}
        return {**beta, "gates": {name: gate.least for name, gate in self.weighting.gates.items()}, "value_error": error}

    def _shown(self, played: Played) -> list[Episode]:
        """Episodes with labels that the judge does not know: else it would seem to tell success as well as it remembers."""
        if self.annotator is None:
            unseen = self._unseen(len(played.episodes), self.settings.samples)
            return [episode for episode, other in zip(played.episodes, unseen, strict=True) if other]
        held = [bought for bought, other in zip(self.bought, self._unseen(len(self.bought)), strict=True) if other]
        episodes = [episode for episode, _ in held]
        if not held:
            return []
        played = replayed(self.model.as_player(), self.env, episodes, self.known_judge)
        self._asked(len(played.actions))
        return [replace(e, label=float(labels[-1])) for e, (_, labels) in zip(played.episodes, held, strict=True)]

    def _returns(self, played: Played) -> np.ndarray:
        """(F,) discounted sums of what the present weights pay from each step on."""
        gamma = self.model.gamma
        parts = [self.weighting.returns(episode, self.criteria, self.answers, gamma) for episode in played.episodes]
        return np.concatenate(parts)

    def _asked(self, steps: float) -> None:
        """Counts steps that the judge was asked about, once it has been fitted."""
        self.ledger["judge_calls"] += self.judged * steps

    def _count(self, outcomes: int) -> None:
        """Counts outcomes that the arm was told."""
        if not self.arm.sealed:
            self.ledger["gold_bits"] += outcomes * outcome_bits(self.env.batch.shapes.span)

    # ---- around it -------------------------------------------------------------------------------------------------

    def _begin(self, number: int, phase: str) -> np.random.Generator:
        """Tells of a phase, and gives it streams of its own: the learner's, and the generator that is returned."""
        self.on_phase(number, phase)
        draw = rng(self.settings.seed, STREAM, number, PHASES.index(phase))
        self.model.reseed(int(draw.integers(2**62)))
        return draw


def _without(keywords: dict[str, Any]) -> dict[str, Any]:
    """Keywords of environments whose PRM is an annotation."""
    return {name: value for name, value in keywords.items() if name != "prm"}
