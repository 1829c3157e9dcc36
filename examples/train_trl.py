"""Trains a language model with TRL, through tools: `python examples/train_trl.py [--help]`.

A tiny model and its tokenizer are made from nothing. TRL's `SFTTrainer` shows it the expert's episodes as chats with tool
calls, led astray now and then; then it plays by itself, and `StepGRPOTrainer` gives the reward of each step to the tokens of
the call that earned it. `--credit rollout` is TRL's own `GRPOTrainer`, with one advantage a rollout:

    python examples/train_trl.py --out runs/trl
    python examples/train_trl.py --start runs/trl/supervised --credit rollout --out runs/trl-rollout

Into --out go the model after either part (`transformers` loads them), `metrics.jsonl` and `result.json`, whose JSON is the last
line printed: how many rollouts held a tool call that could be read, in how many steps rewards of a group differed, how far
parameters moved.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # TRL says at each start that environments are experimental

import torch
import tyro
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from agents.llm.tiny import Shape, tiny_model, train_tokenizer
from agents.llm.tool_calls import expert_chats, labelled, texts_of, with_tools
from agents.provenance import commit
from agents.ranges import check_shares, check_whole
from agents.trl_steps import StepGRPOTrainer
from reasongym.adapters.trl import environment_factory, problem_rows


@dataclass(frozen=True)
class Config:
    """The arguments of a run."""

    env: str = "ReasonGymText-bAbI-qa1-v0"  # an id in words
    max_units: int = 4  # of a story
    memory_slots: int = 2  # K
    chain_length: int = 2  # recalls, at most
    seed: int = 0  # of weights, transcripts and rollouts
    threads: int = 1  # of torch
    start: str = ""  # a folder with a model that makes tool calls; "": one from scratch
    hidden: int = 128  # width of the model from scratch
    layers: int = 2  # of the model from scratch
    vocabulary: int = 768  # tokens of its tokenizer
    episodes: int = 1_500  # of the expert
    stray: float = 0.2  # share of its turns of reading on that store the sentence instead
    batch_size: int = 8  # episodes in an update of the supervised part
    learning_rate: float = 2e-3  # of the supervised part
    steps: int = 20  # of GRPO
    credit: Literal["step", "rollout"] = "step"  # what a call is paid for: what it did, or the whole rollout
    trace_decay: float = 0.5  # of credit by step: how much of a turn's reward reaches the turn before it
    baseline: str = "past"  # of credit by step (see `StepGRPOTrainer`)
    problems: int = 4  # in a step of GRPO
    group: int = 8  # rollouts of each
    grpo_learning_rate: float = 2e-4  # of GRPO
    calls: int = 12  # most turns with tool calls in a rollout
    completion: int = 768  # most tokens of a rollout, results of tools among them
    reply: int = 24  # most tokens of a turn

    def __post_init__(self) -> None:
        check_whole(self, 1, "episodes", "batch_size", "steps", "problems", "group", "calls", "completion", "reply")
        check_shares(self, "stray", "trace_decay")

    def factory(self) -> Any:
        """Makes environments."""
        return environment_factory(
            self.env, difficulty={"max_units": self.max_units}, memory_slots=self.memory_slots, units_per_slot=1,
            chain_length=self.chain_length,
        )  # fmt: skip

    def common(self, out: Path) -> dict[str, Any]:
        """What both trainers are told: the processor, no checkpoints, no trackers."""
        return {
            "output_dir": str(out), "seed": self.seed, "use_cpu": True, "bf16": False, "gradient_checkpointing": False,
            "report_to": "none", "save_strategy": "no", "logging_steps": 1, "disable_tqdm": True, "log_level": "error",
        }  # fmt: skip


def supervised(config: Config, out: Path) -> tuple[Any, Any, dict[str, Any]]:
    """(model, tokenizer, what is told of it) after the expert's episodes."""
    began = time.perf_counter()
    chats = list(expert_chats(config.factory(), range(config.episodes), stray=config.stray, seed=config.seed))
    texts = [text for chat in chats[:300] for text in texts_of(chat)]
    read = [line for chat in chats[:300] for line in re.findall(r"Desk .*\d\): (.*)", chat[0]["content"])]
    words = {word for line in read for word in re.findall("[A-Za-z]+", line)}
    tokenizer = with_tools(train_tokenizer(texts, config.vocabulary, phrases=True, apart=words))
    rows = [labelled(chat, tokenizer) for chat in chats]
    torch.manual_seed(config.seed)
    model = tiny_model(tokenizer, Shape(config.hidden, config.layers, config.hidden // 32))
    arguments = SFTConfig(
        **config.common(out), num_train_epochs=1, per_device_train_batch_size=config.batch_size, max_length=None,
        learning_rate=config.learning_rate, lr_scheduler_type="cosine", warmup_steps=10, weight_decay=0.1, adam_beta2=0.95,
    )  # fmt: skip
    trainer = quiet(SFTTrainer(model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer))
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    told = {
        "episodes": len(rows),
        "tokens_of_an_episode": round(sum(len(row["input_ids"]) for row in rows) / len(rows), 1),
        "loss": [round(losses[0], 3), round(sum(losses[-10:]) / len(losses[-10:]), 3)],
        "seconds": round(time.perf_counter() - began, 1),
    }
    return model, tokenizer, told


class Lines(TrainerCallback):
    """Says on stderr how it goes, in place of the trainer's dictionaries on stdout."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        row = logs or {}
        if "reward" in row:
            reward, std, calls = (row[name] for name in ("reward", "reward_std", "tools/call_frequency"))
            told = f"reward {reward:.3f}, std {std:.3f}, right {row['rewards/right/mean']:.0%}, {calls:.1f} calls a rollout"
            print(f"step {state.global_step}: {told}, {row['step_time']:.1f} s", file=sys.stderr, flush=True)
        elif "loss" in row and state.global_step % 25 == 0:
            print(f"update {state.global_step}: loss {row['loss']:.3f}", file=sys.stderr, flush=True)


def quiet(trainer: Any) -> Any:
    """The trainer, which says what `Lines` says."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Lines())
    return trainer


def called(completions: list[list[dict[str, Any]]], **_: Any) -> list[float]:
    """Whether a rollout holds a tool call that could be read."""
    return [float(any(message.get("tool_calls") for message in completion)) for completion in completions]


def right(environments: list[Any], **_: Any) -> list[float]:
    """Whether a rollout ended with the right answer."""
    return [float(environment.info.get("is_success", 0)) for environment in environments]


def trainer_of(config: Config, model: Any, tokenizer: Any, out: Path) -> GRPOTrainer:
    """GRPO with credit for steps or for rollouts; `called` and `right` are logged, with weight 0."""
    arguments = GRPOConfig(
        **config.common(out), max_steps=config.steps, learning_rate=config.grpo_learning_rate, lr_scheduler_type="constant",
        per_device_train_batch_size=config.problems * config.group, num_generations=config.group, reward_weights=[0.0, 0.0],
        max_completion_length=config.completion, generation_kwargs={"max_new_tokens": config.reply},
        max_tool_calling_iterations=config.calls,
    )  # fmt: skip
    keywords: dict[str, Any] = {
        "args": arguments, "processing_class": tokenizer, "reward_funcs": [called, right],
        "environment_factory": config.factory(),
        "train_dataset": problem_rows(range(config.episodes, config.episodes + config.steps * config.problems), rules=""),
    }  # fmt: skip
    if config.credit == "rollout":
        return GRPOTrainer(model, **keywords)
    if config.credit != "step":
        raise ValueError(f"--credit is step or rollout, got {config.credit!r}")
    return StepGRPOTrainer(model, **keywords, trace_decay=config.trace_decay, baseline=config.baseline)


def reinforced(config: Config, model: Any, tokenizer: Any, out: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What is told of GRPO, and what was logged, a row a step."""
    before = [parameter.detach().clone() for parameter in model.parameters()]
    trainer, began = quiet(trainer_of(config, model, tokenizer, out)), time.perf_counter()
    trainer.train()
    rows = [row for row in trainer.state.log_history if "reward" in row]
    moved = [(new.detach() - old).abs().max().item() for new, old in zip(model.parameters(), before, strict=True)]
    return {
        "steps": len(rows),
        "rollouts": len(rows) * config.problems * config.group,
        "rollouts_with_a_call": mean(rows, "rewards/called/mean"),
        "steps_with_a_spread_of_rewards": sum(row["frac_reward_zero_std"] < 1 for row in rows),
        "calls_of_a_rollout": mean(rows, "tools/call_frequency"),
        "calls_that_failed": mean(rows, "tools/failure_frequency"),
        "reward": [mean(rows[:5], "reward"), mean(rows[-5:], "reward")],
        "right": [mean(rows[:5], "rewards/right/mean"), mean(rows[-5:], "rewards/right/mean")],
        "tensors_that_moved": f"{sum(far > 0 for far in moved)} of {len(moved)}",
        "moved_at_most": max(moved),
        "seconds": round(time.perf_counter() - began, 1),
    }, rows


def mean(rows: list[dict[str, Any]], name: str) -> float:
    """Of what was logged."""
    return round(sum(row[name] for row in rows) / len(rows), 4)


def train(config: Config, out: Path) -> dict[str, Any]:
    """The whole run; returns the result."""
    torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"arguments": asdict(config), "commit": commit()}
    result["versions"] = {name: version(name) for name in ("trl", "transformers", "torch", "datasets", "gymnasium")}
    if config.start and not Path(config.start).is_dir():
        raise ValueError(f"start={config.start!r}: there is no such folder (here is {Path.cwd()})")
    if config.start:
        model, tokenizer = AutoModelForCausalLM.from_pretrained(config.start), AutoTokenizer.from_pretrained(config.start)
    else:
        model, tokenizer, result["supervised"] = supervised(config, out)
        model.save_pretrained(out / "supervised")
        tokenizer.save_pretrained(out / "supervised")
    result["parameters"] = sum(p.numel() for p in model.parameters())
    result["grpo"], rows = reinforced(config, model, tokenizer, out)
    model.save_pretrained(out / "model")
    tokenizer.save_pretrained(out / "model")
    (out / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


@dataclass(frozen=True)
class Options:
    """The command line."""

    config: Config = Config()
    out: Path | None = None  # where the run's files go (default runs/trl, with --smoke runs/trl-smoke)
    smoke: bool = False  # seconds with a small model, to see that it runs; sizes and counts are its own


def main() -> None:
    options = tyro.cli(Options, description=__doc__, config=(tyro.conf.OmitArgPrefixes,))
    config, out = options.config, options.out or Path("runs") / ("trl-smoke" if options.smoke else "trl")
    if options.smoke:
        config = replace(
            config, max_units=2, memory_slots=1, chain_length=1, hidden=64, layers=1, episodes=240, batch_size=4,
            learning_rate=1e-2, steps=2, problems=2, group=4, calls=6,
        )  # fmt: skip
    print(json.dumps(train(config, out)))


if __name__ == "__main__":
    main()
