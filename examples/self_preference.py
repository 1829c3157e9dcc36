"""Does a language model that judges prefer its own steps? `python examples/self_preference.py FOLDER FOLDER [FOLDER ...]`

Each folder holds a model that plays (`train_llm.py`, each with its own --seed, so of its own weights and its own part of the
training split). Each becomes a judge of its family: a copy with a head, fitted to causal labels (sound or an error, as far as
could be known) of steps that all of them played, in equal parts, on training problems of the judge's own. Then every judge
scores every player's steps on held-out problems.

Self-preference is what a judge gives to its own player's steps minus what it gives to the others', among steps of equal
correctness; steps may differ in more than that, so the mean of what the other judges see in the same contrast is taken off.
Intervals are of a bootstrap over problems. The last line is the JSON, which --out also gets.

    python examples/self_preference.py runs/llm-0 runs/llm-1 runs/llm-2 --env ReasonGym-bAbI-qa2-v0 --max-units 12
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import numpy as np
import torch

from agents.llm.tiny import Shape, tiny_model, train_tokenizer
from agents.llm.transcripts import expert_turns
from agents.llm_rounds import LanguageLearner
from agents.provenance import commit, result_file
from agents.self_reward import Settings
from agents.self_reward.episodes import play, replayed
from reasongym.adapters.sb3 import make_vec_env
from reasongym.metrics.statistics import auc
from reasongym.prm.correctness import CausalPRM
from reasongym.seeding import rng

SOUND, ERROR = 1, 0
PER_JUDGE = 10_000
"""Training problems from which each judge's part begins."""


class Steps:
    """Steps of players on the same problems, as each judge reads them.

    Attributes:
        sound: by player (F,) 1 or 0.
        problem: by player (F,).
        read: by judge and player what the judge reads.
        actions: by player (F,).
    """

    def __init__(self, learners: list[LanguageLearner], env: Any, problems: np.ndarray) -> None:
        played = [play(learner.as_player(), env, problems) for learner in learners]
        keep = [~np.isnan(np.concatenate([episode.scores[:, 0] for episode in one.episodes])) for one in played]
        self.sound = [
            (np.concatenate([episode.scores[:, 0] for episode in one.episodes])[known] > 0).astype(int)
            for one, known in zip(played, keep, strict=True)
        ]
        self.problem = [
            one.spread(np.array([episode.problem for episode in one.episodes]))[known]
            for one, known in zip(played, keep, strict=True)
        ]
        self.actions = [one.actions[known] for one, known in zip(played, keep, strict=True)]
        self.read = []
        for learner in learners:
            again = [replayed(learner.as_player(), env, one.episodes).observations for one in played]
            self.read.append(
                [{key: value[known] for key, value in one.items()} for one, known in zip(again, keep, strict=True)]
            )


def fitted(learner: LanguageLearner, steps: Steps, j: int, seed: int) -> tuple[Any, dict[str, float]]:
    """The judge that is a copy of a player, fitted to equally many steps of each player."""
    torch.manual_seed(seed)
    judge, draw = learner.new_judge(), rng(seed, 31)
    judge.learning_rate = 3e-4
    count = min(map(len, steps.sound))
    rows = [draw.choice(len(sound), count, replace=False) for sound in steps.sound]
    read = {
        key: np.concatenate([part[key][chosen] for part, chosen in zip(steps.read[j], rows, strict=True)])
        for key in steps.read[j][0]
    }
    pick = lambda parts: np.concatenate([part[chosen] for part, chosen in zip(parts, rows, strict=True)])  # noqa: E731
    told = judge.fit(read, pick(steps.actions), pick(steps.sound).astype(float), pick(steps.problem) % 4 == 3, balanced=True)
    return judge, told


def contrasts(said: list[list[np.ndarray]], steps: Steps, problems: np.ndarray) -> np.ndarray:
    """(J, J) what judge j gives to player p's steps minus what it gives to the other players', at equal correctness.

    Args:
        said: by judge and player (F,) probabilities.
        steps: of the players.
        problems: (P,) those that count, as often as they are named.
    """
    times = np.bincount(problems, minlength=1 + max(int(p.max()) for p in steps.problem))
    judges, players = len(said), len(steps.sound)
    mean = np.full((judges, players, 2), np.nan)
    for p in range(players):
        for correct in (ERROR, SOUND):
            weight = times[steps.problem[p]] * (steps.sound[p] == correct)
            for j in range(judges):
                if weight.sum():
                    mean[j, p, correct] = (said[j][p] * weight).sum() / weight.sum()
    out = np.zeros((judges, players))
    for p in range(players):
        others = [q for q in range(players) if q != p]
        out[:, p] = (mean[:, p] - mean[:, others].mean(1)).mean(1)
    return out


def self_preference(gaps: np.ndarray) -> np.ndarray:
    """(J,) of each judge, beyond what the other judges see in the same contrast."""
    own = np.diag(gaps)
    others = (gaps.sum(0) - own) / (len(gaps) - 1)
    return own - others


def measure(folders: list[str], env_id: str, problems: int, training: int, seed: int, **keywords: Any) -> dict[str, Any]:
    """All of it."""
    chosen = {**keywords, "prm": CausalPRM(), "utility": "none", "utility_weight": 0.0}
    train = make_vec_env(env_id, 64, seed, **chosen, split="train")
    held_out = make_vec_env(env_id, 64, seed, **chosen, split="validation")
    learners = [
        LanguageLearner(train, Settings(seed=seed + j), folder, "auto", {}, instructions="none")
        for j, folder in enumerate(folders)
    ]
    judges, fits = [], []
    for j, learner in enumerate(learners):
        there = train.batch.source.num_problems or 2**31
        part = (PER_JUDGE * (j + 1) + np.arange(training)) % there
        judge, told = fitted(learner, Steps(learners, train, part), j, seed)
        judges.append(judge)
        fits.append(told)
        print(f"judge {j}: {told}", file=sys.stderr, flush=True)
    steps = Steps(learners, held_out, np.arange(problems))
    said = [[judge.probability(read, actions) for read, actions in zip(steps.read[j], steps.actions, strict=True)]
            for j, judge in enumerate(judges)]  # fmt: skip
    gaps, draw = contrasts(said, steps, np.arange(problems)), rng(seed, 32)
    drawn = np.array([self_preference(contrasts(said, steps, draw.integers(problems, size=problems))) for _ in range(1_000)])
    low, high = np.nanpercentile(drawn, [2.5, 97.5], axis=0)
    whole = np.nanpercentile(drawn.mean(1), [2.5, 97.5])
    pooled = [(np.concatenate(one), np.concatenate(steps.sound)) for one in said]
    return {
        "env": env_id, "folders": folders, "problems": problems, "seed": seed, "commit": commit(), "fits": fits,
        "steps": [len(sound) for sound in steps.sound],
        "errors": [float(1 - sound.mean()) for sound in steps.sound],
        "judge_auc": [auc(scores.tolist(), (sound > 0).tolist()) for scores, sound in pooled],
        "contrasts": np.round(gaps, 4).tolist(),
        "self_preference": np.round(self_preference(gaps), 4).tolist(),
        "intervals": np.round(np.stack([low, high], 1), 4).tolist(),
        "mean": round(float(self_preference(gaps).mean()), 4),
        "interval": np.round(whole, 4).tolist(),
    }  # fmt: skip


def smoke_models(folder: Path, env_id: str, **keywords: Any) -> list[str]:
    """Two models that have learned next to nothing."""
    turns = [turn for episode in expert_turns(env_id.replace("ReasonGym-", "ReasonGymText-"), range(20), instructions="none",
                                              **keywords) for turn in episode]  # fmt: skip
    tokenizer = train_tokenizer([text for turn in turns for text in (turn.chat[-1]["content"], turn.reply)], 400, phrases=True)
    out = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model, place = tiny_model(tokenizer, Shape(32, 1, 2)), folder / str(seed)
        tokenizer.save_pretrained(place)
        model.save_pretrained(place)
        out.append(str(place))
    return out


def at_least_one(text: str) -> int:
    """The number that an argument is."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be 1 at least, got {number}")
    return number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", help="of the models that play; two at least")
    parser.add_argument("--env", default="ReasonGym-bAbI-qa1-v0")
    parser.add_argument("--max-units", type=int, default=6)
    parser.add_argument("--memory-slots", type=int, default=4)
    parser.add_argument("--chain-length", type=int, default=3)
    parser.add_argument("--problems", type=at_least_one, default=500, help="held-out problems")
    parser.add_argument("--training", type=at_least_one, default=500, help="training problems of each judge")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=result_file, help="where the JSON goes, too")
    parser.add_argument("--smoke", action="store_true", help="seconds, to see that it runs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keywords = {
        "difficulty": {"max_units": options.max_units}, "memory_slots": options.memory_slots, "units_per_slot": 1,
        "chain_length": options.chain_length,
    }  # fmt: skip
    folders, problems, training = options.folders, options.problems, options.training
    if options.smoke:
        folders, problems, training = smoke_models(Path("runs/self_preference_smoke"), options.env, **keywords), 8, 16
    if len(folders) < 2:
        parser.error(f"self-preference needs at least two players, got {len(folders)}")
    result = measure(folders, options.env, problems, training, options.seed, **keywords)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    for folder, own, (low, high), skill in zip(
        folders, result["self_preference"], result["intervals"], result["judge_auc"], strict=True
    ):
        print(f"{folder}: self-preference {own:+.3f} ({low:+.3f} to {high:+.3f}), AUC of its judge {skill:.3f}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
