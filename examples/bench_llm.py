"""Speed of language models as agents, on one core: `python examples/bench_llm.py [--json FILE] [--smoke]`.

Two questions, each answered side by side in one run, rounds alternating, medians told:

- how much faster a vector of environments is than one environment at a time, by the length of the prompt;
- how many tokens a second turn-level PPO generates and trains on, beside TRL's GRPO on the same model, the same prompts and
  replies of the same length: one pass over what was generated, no divergence on either side, the value head counted on ours.

The model is a tiny one with fresh weights: what it says does not matter here. TRL's half needs `pip install trl`.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import numpy as np
import torch
from transformers.utils import logging

from agents.llm import LLMAgent
from agents.llm.tiny import Shape, tiny_model, train_tokenizer
from agents.llm.transcripts import expert_turns
from agents.llm_ppo import LLMPPO, PPOSettings
from agents.provenance import result_file
from reasongym.adapters.sb3 import make_vec_env

ENV = "ReasonGym-bAbI-qa1-v0"
SETTINGS = {
    "short prompts": {"difficulty": {"max_units": 4}, "memory_slots": 1, "units_per_slot": 1, "chain_length": 1},
    "long prompts": {"difficulty": {"max_units": 20}, "memory_slots": 10, "units_per_slot": 1, "chain_length": 3},
    "long prompts, observed": {
        "difficulty": {"max_units": 80}, "memory_slots": 30, "units_per_slot": 2, "chain_length": 10, "observer": "lexical",
    },
}  # fmt: skip
DTYPES = ("float32", "bfloat16")
TOGETHER = 32
"""Prompts that are computed together: more no longer fit into a core's cache."""
REPLY = 4
"""Tokens of a reply, where PPO and GRPO are compared: a model with fresh weights seldom ends by itself."""


def make_model(folder: Path, keywords: dict[str, Any], shape: Shape, phrases: bool) -> None:
    """A tiny model and a tokenizer that knows the phrases of these situations."""
    turns = expert_turns(ENV.replace("Gym-", "GymText-"), range(200), instructions="none", **keywords)
    texts = [text for episode in turns for turn in episode for text in (turn.chat[-1]["content"], turn.reply)]
    tokenizer = train_tokenizer(texts, shape.vocabulary, phrases)
    torch.manual_seed(0)
    tiny_model(tokenizer, shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def agent_of(folder: Path, batch_size: int = 64, **keywords: Any) -> LLMAgent:
    return LLMAgent(model=str(folder), device="cpu", batch_size=batch_size, instructions="none", **keywords)


def acting(
    folder: Path, keywords: dict[str, Any], batch_size: int, num_envs: int, steps: int, dtype: str
) -> tuple[Callable[[], float], Any]:
    """A function that plays some steps and returns turns a second; and the agent."""
    agent = agent_of(folder, batch_size, constrained=True, dtype=dtype)
    env = make_vec_env(ENV, num_envs, seed=0, **keywords)
    agent.attach(env)
    at = {"observation": env.reset(), "starts": np.ones(num_envs, bool)}

    def play() -> float:
        began = time.perf_counter()
        for _ in range(steps):
            actions, _ = agent.act(at["observation"], (), at["starts"], deterministic=False)
            at["observation"], _, at["starts"], _ = env.step(actions)
        return steps * num_envs / (time.perf_counter() - began)

    return play, agent


def alternating(runs: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Every run's figures; one round each is not counted."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            figure = run()
            if repeat:
                found[name].append(round(figure, 1))
    return found


def compare_acting(folder: Path, keywords: dict[str, Any], num_envs: int, steps: int, repeats: int) -> dict[str, Any]:
    """Turns a second of a vector and one by one, in two precisions, and the length of prompts."""
    runs: dict[str, Callable[[], float]] = {}
    for dtype in DTYPES:
        runs[f"vector, {dtype}"], agent = acting(folder, keywords, TOGETHER, num_envs, steps, dtype)
        runs[f"one by one, {dtype}"], _ = acting(folder, keywords, 1, num_envs, max(1, steps // 4), dtype)
    found = alternating(runs, repeats)
    middle = {name: statistics.median(figures) for name, figures in found.items()}
    return {
        "prompt_tokens": round(agent.ledger["tokens_in"] / agent.ledger["replies"], 1),
        "turns_per_second": found,
        "ratio": {dtype: round(middle[f"vector, {dtype}"] / middle[f"one by one, {dtype}"], 2) for dtype in DTYPES},
    }


def our_training(folder: Path, keywords: dict[str, Any], num_envs: int, rounds: int, dtype: str) -> Callable[[], float]:
    """A function that generates and trains, and returns tokens a second; products in bfloat16 with dtype "mixed"."""
    env = make_vec_env(ENV, num_envs, seed=0, **keywords)
    how = PPOSettings(n_steps=8, n_epochs=1, batch_size=num_envs, kl_coef=0.0, value_rollouts=0)
    trainer = LLMPPO(env, model=agent_of(folder, max_new_tokens=REPLY, dtype=dtype), settings=how)

    def run() -> float:
        began = time.perf_counter()
        before = len(trainer.rows)
        trainer.learn(rounds * num_envs)
        return sum(row["tokens"] for row in trainer.rows[before:]) / (time.perf_counter() - began)

    return run


def their_training(
    folder: Path, prompts: list[list[dict[str, str]]], num_envs: int, rounds: int, bf16: bool
) -> Callable[[], float]:
    """TRL's GRPO on situations as prompts: the same number of sequences in a step, of the same lengths."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    counted = {"tokens": 0, "began": 0.0, "seconds": 0.0}

    def reward(prompts: Any, completions: Any, completion_ids: Any, **_: Any) -> list[float]:
        lengths = [len(ids) for ids in completion_ids]
        texts = tokenizer.apply_chat_template(prompts, add_generation_prompt=True)
        ids = texts["input_ids"] if hasattr(texts, "keys") else texts
        counted["tokens"] += sum(lengths) + sum(map(len, ids))
        return [float(ids[0] % 2) for ids in completion_ids]

    class Clock(TrainerCallback):
        """Times the steps, without the start and the end of `train`."""

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            counted["began"] = counted["began"] or time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            counted["seconds"] = time.perf_counter() - counted["began"]

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rows = Dataset.from_list([{"prompt": prompt} for prompt in prompts])

    def run() -> float:
        counted.update(tokens=0, began=0.0, seconds=0.0)
        with tempfile.TemporaryDirectory() as out:
            arguments = GRPOConfig(
                output_dir=out, per_device_train_batch_size=num_envs, num_generations=8, max_completion_length=REPLY,
                beta=0.0, max_steps=rounds, report_to=[], use_cpu=True, bf16=bf16, save_strategy="no", logging_steps=1_000,
                disable_tqdm=True, learning_rate=1e-5, steps_per_generation=1, gradient_checkpointing=False,
            )  # fmt: skip
            trainer = GRPOTrainer(
                model=model, reward_funcs=reward, args=arguments, train_dataset=rows, processing_class=tokenizer,
                callbacks=[Clock()],
            )  # fmt: skip
            trainer.train()
        return counted["tokens"] / counted["seconds"]

    return run


def situations(keywords: dict[str, Any], count: int) -> list[list[dict[str, str]]]:
    """Situations of experts' episodes, as prompts."""
    turns = expert_turns(ENV.replace("Gym-", "GymText-"), range(count), instructions="none", **keywords)
    return [list(turn.chat) for episode in turns for turn in episode][:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--steps", type=int, default=16, help="of a round")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=result_file, help="write the results here")
    parser.add_argument("--smoke", action="store_true", help="few steps of a smaller model")
    options = parser.parse_args()
    shape = Shape(hidden=32, layers=1, heads=1, vocabulary=2048) if options.smoke else Shape(vocabulary=2048)
    if options.smoke:
        options.num_envs, options.steps, options.repeats = 8, 2, 1
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    found: dict[str, Any] = {"versions": {name: version(name) for name in ("torch", "transformers")}, "acting": {}}
    found["machine"] = f"{platform.processor() or platform.machine()}, 1 thread"
    with tempfile.TemporaryDirectory() as name:
        for setting, keywords in SETTINGS.items():
            folder = Path(name) / setting
            make_model(folder, keywords, shape, phrases=setting == "short prompts")
            row = found["acting"][setting] = compare_acting(folder, keywords, options.num_envs, options.steps, options.repeats)
            medians = {name: statistics.median(rates) for name, rates in row["turns_per_second"].items()}
            print(f"{setting} ({row['prompt_tokens']} tokens): turns a second {medians}, ratios {row['ratio']}", flush=True)
        folder, keywords = Path(name) / "short prompts", SETTINGS["short prompts"]
        many = options.num_envs, options.steps
        runs = {f"ours, {kind}": our_training(folder, keywords, *many, kind) for kind in ("float32", "mixed")}
        if find_spec("trl") is not None:
            prompts = situations(keywords, 20 * options.num_envs)
            kinds = {"float32": False, "mixed": True}
            runs |= {f"TRL GRPO, {kind}": their_training(folder, prompts, *many, bf16) for kind, bf16 in kinds.items()}
            found["versions"]["trl"] = version("trl")
        rates = found["tokens_generated_and_trained_per_second"] = alternating(runs, options.repeats)
        medians = {name: statistics.median(figures) for name, figures in rates.items()}
        print(f"tokens generated and trained on a second: {medians}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
