"""Trains MemoryPPO on a ReasonGym id and says what it learned: `python examples/train_ppo.py [--help]`.

The default learns two-supporting-facts stories of at most 14 sentences, made to order, from process rewards alone. The
last line printed is one JSON object: held-out accuracy (every held-out problem once) with its 95% interval, next to random,
majority, last-unit and expert. Into --out go the model, `config.json`, `metrics.jsonl`, `result.json` and a picture of the
learning curve. A killed run goes on with --resume and ends with the same parameters.

Without any argument it takes the short trace of a warm-up for 300,000 frames (--warmup 300000; its stories are short already)
and stops at 96.5% (--stop-at 0.965).
"""

from __future__ import annotations

import json
import platform
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import gymnasium
import numpy as np
import stable_baselines3
import torch
import tyro
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import LinearSchedule

import reasongym
from agents import checkpoint
from agents.base import outcome_bits
from agents.benchmark.ledger import reward_bits
from agents.curriculum import TaskCurriculum
from agents.evaluation import Evaluation, evaluate
from agents.ppo import MemoryPPO
from agents.provenance import begin_run, commit
from agents.renaming import Renaming
from agents.sentence_embeddings import tokenizer_of
from reasongym.adapters.sb3 import ReasonGymVecEnv, make_vec_env
from reasongym.audit.accuracy import baselines

MAY_CHANGE = ("timesteps", "stop_at", "time_limit", "eval_every", "eval_problems", "held_out", "threads", "device")
"""Arguments that a resumed run may have another value of: they change when it ends and how it is looked at."""


@dataclass(frozen=True)
class Config:
    """The arguments of a run, as they stand in `config.json`."""

    env: str = "ReasonGym-bAbI-qa2-v0"  # an id
    source: str = "procedural"  # made to order; or a path, "hub", or JSON: paths by split
    split: str = "train"  # what is trained on; held-out problems are of "validation"
    difficulty: str = ""  # a named setting, or JSON; "" is the default of the script
    timesteps: int = 2_400_000  # frames, of all environments together
    warmup: int = 0  # frames at the beginning in which only problems of at most `warmup_units` units are played
    warmup_units: int = 14  # see `warmup`
    warmup_difficulty: str = ""  # JSON: knobs of the warm-up instead, e.g. '{"unanswerable": 0}'
    curriculum: bool = False  # plays tasks that are not solved yet more often (`agents.curriculum`)
    rename: bool = False  # other names in every episode, where no answer names them (`agents.renaming`)
    first_tasks: str = ""  # numbers of tasks, by commas, that the curriculum plays alone until they are solved
    warmup_source: str = ""  # plays the warm-up on another source ("procedural"), whole but for `warmup_difficulty`
    seed: int = 0  # of weights, episodes and actions
    core: str = "none"  # memory core of the policy: "none", "slots", "gru", "lstm", "dnc", "rmc"
    head: Literal["flat", "hierarchical"] = "flat"  # "hierarchical": a learned gate decides on the kind of action
    num_roles: int = 0  # by which the reader compares short sentences; 0: by their words alone
    encoder: str = ""  # a sentence-transformers folder, or an installed package with one; observations get its tokens
    device: str = "cpu"  # "cpu" or "cuda"
    prm: str = "annotated"  # by name (docs/reward.md), or the folder of a learned one, file.py:Object, ...
    beta: str = ""  # JSON: weights by criterion; "" is the PRM's own
    utility: str = "coverage"  # of working memory, by name (docs/reward.md)
    utility_weight: float = 0.3  # of the utility in the reward
    gamma: float = 0.99  # the discount
    answer_loss: float = 0.0  # weight of the loss on the right answer, which reads gold
    answer_loss_when: Literal["legal", "answered"] = "legal"  # it is taken where answering is legal, or where it was done
    expert_loss: float = 0.0  # weight of the loss on the expert's action in the steps after the text is read
    memory_slots: int = 10  # K
    units_per_slot: int = 2  # sentences that a slot holds; 1: nothing is merged, so nothing is recalled along
    memory_view: Literal["full", "recalled"] = "full"  # "recalled": of working memory, only what was recalled is seen
    question_at: Literal["start", "end"] = "start"  # "end": the question is asked after the text is read
    num_envs: int = 256  # environments that are stepped together
    n_steps: int = 64  # of each environment in a rollout
    batch_size: int = 1024  # frames of an update
    n_epochs: int = 3  # over a rollout
    gae_lambda: float = 0.5  # of advantages
    late_lambda: float = 0.9  # gae_lambda after the warm-up: once answers are seldom guessed, a longer trace sees what was lost
    vf_coef: float = 5.0  # of the value loss
    learning_rate: float = 1e-3  # falls linearly to a fiftieth
    ent_coef: float = 0.02  # falls linearly to 0.002
    weight_decay: float = 0.1  # AdamW's: without it, stories seen in training are answered better than others
    core_size: int = 128  # hidden units of the core
    separate_critic: bool = True  # the critic has a core and body of its own
    threads: int = 1  # of torch
    eval_every: int = 150_000  # frames
    eval_problems: int = 1_000  # held-out problems of an evaluation
    held_out: int = 10_000  # problems of the final evaluation, at most
    stop_at: float = 0.0  # ends when this share of `eval_problems` held-out problems is answered; 0: never
    time_limit: float = 0.0  # CPU minutes; 0: none
    allow_partial: bool = False  # admits incomplete published files

    def keywords(self, short: bool = False) -> dict[str, Any]:
        """The environment's keywords; `short`: those of the warm-up."""
        difficulty: Any = self.difficulty or "published"
        if not self.difficulty and self.source == "procedural" and self.env == Config.env:
            difficulty = {"max_units": 14}
        elif difficulty.startswith("{"):
            difficulty = read_json("difficulty", difficulty)
        source: Any = self.warmup_source if short and self.warmup_source else self.source
        if short and self.warmup_source:
            difficulty = read_json("warmup_difficulty", self.warmup_difficulty) if self.warmup_difficulty else "published"
        elif short:
            units = {"max_units": self.warmup_units}
            easier = read_json("warmup_difficulty", self.warmup_difficulty) if self.warmup_difficulty else units
            difficulty = {**(difficulty if isinstance(difficulty, dict) else {}), **easier}
        source = read_json("source", source) if source.startswith("{") else source
        chosen: dict[str, Any] = {"source": source, "difficulty": difficulty}
        if self.allow_partial:
            chosen["allow_partial"] = True
        if self.encoder:
            chosen["tokenizer"] = tokenizer_of(self.encoder)
        return chosen

    def warmup_end(self) -> int:
        """Frames after which the warm-up is over: whole rollouts, so that a checkpoint with more frames is of what follows."""
        rollout = self.num_envs * self.n_steps
        return -(-self.warmup // rollout) * rollout

    def rewards(self) -> dict[str, Any]:
        """The keywords that make the reward and the memory."""
        return {
            "prm": self.prm,
            "beta": read_json("beta", self.beta) if self.beta else None,
            "utility": self.utility,
            "utility_weight": self.utility_weight,
            "memory_slots": self.memory_slots,
            "units_per_slot": self.units_per_slot,
            "memory_view": self.memory_view,
            "question_at": self.question_at,
        }


class Progress(BaseCallback):
    """Evaluates every so many frames, writes `metrics.jsonl`, and ends training at the threshold or the time limit."""

    def __init__(
        self, config: Config, held_out: ReasonGymVecEnv, out: Path, spent: float, evaluated: int, episodes: int
    ) -> None:
        super().__init__()
        self.config, self.held_out, self.out = config, held_out, out
        self.spent, self.evaluated, self.episodes, self.started = spent, evaluated, episodes, time.process_time()
        self.over = False

    def cpu_seconds(self) -> float:
        """CPU seconds of training and evaluation so far, over all resumptions."""
        return self.spent + time.process_time() - self.started

    def _on_rollout_start(self) -> None:  # between two updates: what is evaluated is what is kept when training ends here
        if self.num_timesteps - self.evaluated < self.config.eval_every:
            return
        self.evaluated = self.num_timesteps
        found = evaluate(self.model, self.held_out, problems=self.config.eval_problems)
        model: Any = self.model
        row = {"timesteps": self.num_timesteps, "cpu_seconds": round(self.cpu_seconds(), 1), "held_out": found.accuracy}
        row |= {name: round(rate, 4) for name, rate in found.rates.items()}
        row |= by_task(found)
        env: Any = model.env
        if isinstance(env, TaskCurriculum):
            row["failures"] = dict(zip(env.tasks.tolist(), env.failures.round(3).tolist(), strict=True))
        row["train_success"] = float(np.mean(model.ep_success_buffer)) if model.ep_success_buffer else None
        row["train_return"] = float(np.mean([episode["r"] for episode in model.ep_info_buffer]))
        row |= {key: float(value) for key, value in self.logger.name_to_value.items() if key.startswith("train/")}
        with (self.out / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(
            f"{self.num_timesteps:>10,} frames {row['cpu_seconds']:>7.0f} s   held-out {found.accuracy:6.1%}"
            f"   train {row['train_success'] or 0:6.1%}   return {row['train_return']:.3f}",
            file=sys.stderr,
            flush=True,
        )
        limit = self.config.time_limit * 60
        reached = self.config.stop_at and found.accuracy >= self.config.stop_at
        self.over = bool(reached or (limit and self.cpu_seconds() > limit))

    def _on_step(self) -> bool:
        self.episodes += int(self.locals["dones"].sum())
        return not self.over

    def extra(self) -> dict[str, Any]:
        """What a checkpoint keeps of this."""
        return {"spent": self.cpu_seconds(), "evaluated": self.evaluated, "episodes": self.episodes}


class Until(BaseCallback):
    """Ends learning at so many frames."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames, self.over = frames, False

    def _on_rollout_start(self) -> None:
        self.over = self.num_timesteps >= self.frames

    def _on_step(self) -> bool:
        return not self.over


def make_model(config: Config, env: ReasonGymVecEnv) -> MemoryPPO:
    """A fresh MemoryPPO with the run's arguments."""
    return MemoryPPO(
        "MemoryPolicy",
        env,
        learning_rate=LinearSchedule(config.learning_rate, 0.02 * config.learning_rate, 1.0),
        ent_coef=LinearSchedule(config.ent_coef, 0.002, 1.0),
        n_steps=config.n_steps,
        batch_size=config.batch_size,
        n_epochs=config.n_epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        vf_coef=config.vf_coef,
        answer_loss_coef=config.answer_loss,
        answer_loss_when=config.answer_loss_when,
        expert_loss_coef=config.expert_loss,
        policy_kwargs={
            "core": config.core,
            "core_size": config.core_size,
            "head": config.head,
            "num_roles": config.num_roles,
            "separate_critic": config.separate_critic,
            "sentence_encoder": config.encoder or None,
            "optimizer_kwargs": {"weight_decay": config.weight_decay},
        },
        seed=config.seed,
        device=config.device,
    )


def train(config: Config, out: Path, resume: bool = False, checkpoint_every: float = 30.0) -> dict[str, Any]:
    """Trains, evaluates on every held-out problem, and writes the run's files; returns the result."""
    torch.set_num_threads(config.threads)
    own = {"seed": config.seed, "split": config.split, **config.rewards()}
    env = make_vec_env(config.env, config.num_envs, **own, **config.keywords())
    shapes = {"unit_tokens": env.batch.shapes.unit_tokens, "question_tokens": env.batch.shapes.question_tokens}
    short = make_vec_env(config.env, config.num_envs, **own, **config.keywords(short=True), **shapes) if config.warmup else env
    held_out = make_vec_env(
        config.env, 500, seed=config.seed, split="validation", **config.keywords(), **config.rewards(), **shapes
    )
    training: Any = env
    if config.rename:
        training = Renaming(env, config.seed)
        short = Renaming(short, config.seed) if config.warmup else training
    if config.curriculum:
        first = numbers("first_tasks", config.first_tasks)
        training = TaskCurriculum(training, config.seed, first=first)
        short = TaskCurriculum(short, config.seed, first=first) if config.warmup else training
    elif config.first_tasks:
        raise ValueError("first_tasks are the curriculum's: add --curriculum")
    model = make_model(config, short)
    out.mkdir(parents=True, exist_ok=True)
    saved = out / "checkpoint.pt"
    resume = resume and saved.exists()
    record = {"arguments": asdict(config), "versions": versions(), "commit": commit(), "data": env.batch.source.fingerprint}
    record = begin_run(out / "config.json", record, (saved.name, "metrics.jsonl", "result.json"), resume, MAY_CHANGE)
    extra: dict[str, Any] = {"spent": 0.0, "evaluated": 0, "episodes": 0}
    if resume:
        if checkpoint.frames(saved) > config.warmup_end():
            model.set_env(training)
        extra |= checkpoint.load(saved, model)
        keep_metrics(out / "metrics.jsonl", extra["evaluated"])
    else:
        (out / "metrics.jsonl").write_text("")
    progress = Progress(config, held_out, out, **extra)
    keeper = checkpoint.CheckpointCallback(saved, checkpoint_every, extra=progress.extra)
    if config.warmup and model.num_timesteps <= config.warmup_end():
        until = Until(config.warmup_end())
        model.learn(config.timesteps - model.num_timesteps, [progress, until, keeper], reset_num_timesteps=False)
        if config.curriculum:
            training.go_on_from(short)
        model.set_env(training)
    if config.warmup:
        model.gae_lambda = config.late_lambda
    if model.num_timesteps < config.timesteps and not progress.over:
        model.learn(config.timesteps - model.num_timesteps, [progress, keeper], reset_num_timesteps=False)
    seconds = progress.cpu_seconds()
    model.save(out / "model.zip")
    found = evaluate(model, held_out, problems=config.held_out)
    result = {
        **record,
        **summary(config, model, found, seconds),
        "label_bits": label_bits(config, env, model, progress.episodes),
    }
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    draw(out)
    return result


def summary(config: Config, model: MemoryPPO, found: Evaluation, seconds: float) -> dict[str, Any]:
    """The result of a run: accuracy beside the baselines', and what it cost."""
    there = baselines(config.env, split="validation", most=min(2_000, found.problems), **config.keywords())
    return {
        "accuracy": found.accuracy,
        "interval": found.interval,
        "problems": found.problems,
        **by_task(found),
        "mean_return": found.mean_return,
        "rates": {name: round(value, 4) for name, value in found.rates.items()},
        "baselines": {name: baseline.share for name, baseline in there.items()},
        "supervision": supervision(config),
        "timesteps": model.num_timesteps,
        "cpu_seconds": round(seconds, 1),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} thread",
    }


def by_task(found: Evaluation) -> dict[str, Any]:
    """The accuracy by task, of ids with several."""
    return {"by_task": found.by_task} if len(found.by_task) > 1 else {}


def label_bits(config: Config, env: ReasonGymVecEnv, model: MemoryPPO, episodes: int) -> float | None:
    """What annotation told in training, in bits (see `agents.benchmark.ledger`), a learned PRM's own labels included;
    None with the answer or the expert loss, whose labels are not counted."""
    if config.answer_loss or config.expert_loss:
        return None
    settings = env.batch.settings
    before = getattr(settings.model, "meta", {}).get("label_bits", 0.0)
    return round(before + reward_bits(settings, model.num_timesteps, episodes, outcome_bits(env.batch.shapes.span)), 1)


def supervision(config: Config) -> str:
    """What the agent was told beside the observation."""
    told = ["outcome reward"] + (["process rewards from annotation"] if config.prm == "annotated" else [f"PRM {config.prm}"])
    if config.beta and not any(json.loads(config.beta).get(name, 1) for name in ("logic", "coherence", "goal")):
        told = ["outcome reward"]
    if config.utility not in ("none", "use") and config.utility_weight:
        told.append(f"utility {config.utility}")
    if config.answer_loss:
        told.append("gold answers (answer loss)")
    if config.rename:
        told.append("which words are names (they change places)")
    if config.expert_loss:
        told.append("expert's recalls and answers (expert loss)")
    return " + ".join(told + ([f"pretrained sentence embeddings ({config.encoder})"] if config.encoder else []))


def keep_metrics(path: Path, timesteps: int) -> None:
    """Drops the rows that a checkpoint does not know of."""
    rows = path.read_text().splitlines() if path.exists() else []
    kept = [row for row in rows if row.endswith("}") and json.loads(row)["timesteps"] <= timesteps]
    path.write_text("".join(row + "\n" for row in kept))


def versions() -> dict[str, str]:
    """Versions that the numbers depend on."""
    modules = (reasongym, gymnasium, stable_baselines3, torch, np)
    return {"python": platform.python_version()} | {module.__name__: module.__version__ for module in modules}


def draw(out: Path) -> None:
    """A picture of the learning curve, where matplotlib is installed."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError:
        return
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    result = json.loads((out / "result.json").read_text())
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.plot([row["timesteps"] / 1e6 for row in rows], [row["held_out"] for row in rows], marker=".", label="MemoryPPO")
    for name, share in result["baselines"].items():
        axes.axhline(share, linestyle=":", linewidth=1, color="grey")
        axes.annotate(name, (0.01, share), xycoords=("axes fraction", "data"), fontsize=8, va="bottom")
    axes.set(xlabel="million frames", ylabel="held-out accuracy", ylim=(0, 1.05), title=result["arguments"]["env"])
    axes.legend(loc="center right")
    figure.savefig(out / "learning_curve.png", dpi=120)
    plt.close(figure)


def numbers(name: str, text: str) -> list[int]:
    """An argument that is whole numbers by commas.

    Raises:
        ValueError: it is not.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts):
        raise ValueError(f"{name} must be whole numbers by commas, got {text!r}")
    return [int(part) for part in parts]


def read_json(name: str, text: str) -> dict[str, Any]:
    """An argument that is a JSON object.

    Raises:
        ValueError: it is none.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{name} must be a JSON object, got {text!r}: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{name} must be a JSON object, got {text!r}")
    return found


@dataclass(frozen=True)
class Options:
    """The command line."""

    config: Config = Config()
    out: Path | None = None  # folder of the run (default runs/ENV-seedN)
    resume: bool = False  # go on from the folder's checkpoint, if there is one
    checkpoint_every: float = 30.0  # seconds between checkpoints, at least
    smoke: bool = False  # seconds, to see that it runs


def small(config: Config) -> Config:
    """The same in seconds, to see that it runs."""
    return replace(
        config, timesteps=2_048, num_envs=16, n_steps=32, eval_every=1_024, eval_problems=20, held_out=50,
        difficulty=config.difficulty or '{"max_units": 6}',
    )  # fmt: skip


def main() -> None:
    options = tyro.cli(Options, description=__doc__, config=(tyro.conf.OmitArgPrefixes,))
    config = options.config
    if options.smoke:
        config = small(config)
    elif config == Config():
        config = replace(config, stop_at=0.965, warmup=300_000)
    out = options.out or Path("runs") / f"{config.env}-{config.source.replace('/', '_')}-seed{config.seed}"
    result = train(config, out, options.resume, options.checkpoint_every)
    shown = ("accuracy", "interval", "problems", "baselines", "supervision", "timesteps", "cpu_seconds")
    print(json.dumps({"env": config.env, **{key: result[key] for key in shown}}))


if __name__ == "__main__":
    main()
