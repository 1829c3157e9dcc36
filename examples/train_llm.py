r"""Trains a language model to play: `python examples/train_llm.py [--help]`.

Without weights from anywhere: a model of two million parameters and its tokenizer are trained from scratch on the expert's
turns, made to order. The default plays one-fact stories of at most six sentences in words:

    python examples/train_llm.py --out runs/llm

Then, or instead, PPO with the reward of each step for the command that earned it, from a start that knows something already
(how the one that was measured was made, docs/llm.md tells):

    python examples/train_llm.py --env ReasonGym-bAbI-qa2-v0 --max-units 12 --episodes 1400 --epochs 2 --stray 0.5 \
        --out runs/llm2
    python examples/train_llm.py --env ReasonGym-bAbI-qa2-v0 --max-units 12 --start runs/llm2 --turns 40000 --out runs/llm2-ppo
    python examples/train_llm.py ... --start runs/llm2 --turns 40000 --reward outcome --out runs/llm2-outcome
    python examples/train_llm.py ... --start runs/llm2 --episodes 1400 --epochs 1000 --seconds 2340 --out runs/llm2-supervised

`--model` takes a checkpoint of `transformers` instead, with its own tokenizer and chat template; on a GPU with
`--dtype bfloat16 --lora 16 --gradient-checkpointing`. Into --out go the model (`transformers` loads it by this folder),
`run.json` (arguments, versions), `result.json`, whose JSON is the last line printed, `episodes.jsonl` (four held-out ones), the
folder `supervised` of what supervised training came to, and of PPO `metrics.jsonl` and the folder `checkpoint`. A run that was
killed goes on with --resume, from the end of supervised training or from PPO's last evaluation.
"""

from __future__ import annotations

import json
import math
import platform
import re
import sys
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import torch
import tyro

from agents.base import evaluate
from agents.episodes import record_episodes
from agents.llm import LLMAgent, LocalModel, saving
from agents.llm.recipe import HEAD, MAY_CHANGE, Config
from agents.llm.sampling import training_dtype
from agents.llm.supervised import fit, seconds_on
from agents.llm.tiny import Shape, tiny_model, train_tokenizer
from agents.llm.transcripts import KEEPING, expert_turns, tokens_of
from agents.llm_ppo import LLMPPO
from agents.provenance import begin_run, commit
from reasongym.adapters.sb3 import make_vec_env
from reasongym.audit.accuracy import baselines

BASE, SUPERVISED, CHECKPOINT = "base", "supervised", "checkpoint"
"""Folders in a run's: the model from scratch as it was, after supervised training, and what PPO goes on from."""
TOLD = "supervised.json"
"""What is told of supervised training, in its folder."""


def text_id(env_id: str) -> str:
    """The text twin of an id."""
    return env_id.replace("ReasonGym-", "ReasonGymText-", 1)


def from_scratch(config: Config, folder: Path) -> Path:
    """A model with fresh weights and a tokenizer made for what it will read."""
    torch.manual_seed(config.seed)
    ids = [env for env in (config.env, config.other_env) if env]
    turns = chain.from_iterable(expert_turns(text_id(env), range(300), **config.told(), **config.play()) for env in ids)
    texts = [text for episode in turns for turn in episode for text in (*(m["content"] for m in turn.chat), turn.reply)]
    apart = set().union(*(words_of(config, env) for env in ids)) if config.apart else ()
    tokenizer = train_tokenizer(texts, config.vocabulary, phrases=True, apart=apart)
    tiny_model(tokenizer, Shape(config.hidden, config.layers, config.hidden // HEAD)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def loaded(config: Config, model: str | Path) -> LocalModel:
    """A model that is to be trained, with adapters if they are wanted and it has none.

    Raises:
        ValueError: it has adapters of another rank than is asked for.
    """
    dtype = training_dtype(config.device) if config.dtype == "auto" and not config.lora else config.dtype
    local = LocalModel(model, device=config.device, dtype=dtype, seed=config.seed)
    if config.gradient_checkpointing:
        local.model.gradient_checkpointing_enable()
    if config.lora and not adapted(local):
        from peft import LoraConfig, get_peft_model

        adapters = LoraConfig(r=config.lora, lora_alpha=2 * config.lora, target_modules="all-linear", task_type="CAUSAL_LM")
        local.model = get_peft_model(local.model, adapters)
    elif config.lora and (rank := next(iter(local.model.peft_config.values())).r) != config.lora:
        raise ValueError(
            f"{model} holds adapters of rank {rank}, which are trained further as they are; got lora={config.lora}"
        )
    return local


def adapted(local: LocalModel) -> bool:
    """Whether a model has adapters."""
    return hasattr(local.model, "disable_adapter")


def words_of(config: Config, env_id: str, problems: int = 300) -> set[str]:
    """Words of stories and questions that name somebody or something, or are answers."""
    source = make_vec_env(env_id, 1, seed=config.seed, **config.play()).batch.source
    told = [source.problem(i) for i in range(problems)]
    words = {word for one in told for text in (*one.story.units, one.question) for word in re.findall(r"[^\W\d_]+", text)}
    return words & {*source.entities, *source.choices}


def supervise(config: Config, local: LocalModel) -> dict[str, Any]:
    """Trains on the expert's turns; returns what is told of it."""
    now = seconds_on(local.model.device)
    began = now()
    problems = {config.env: range(config.first_problem, config.first_problem + config.episodes)}
    if config.other_env:
        problems[config.other_env] = range(config.other_episodes)
    how_played = {"prudent": config.prudent, "stray": config.stray, "seed": config.seed, **config.told(), **config.play()}
    episodes = chain.from_iterable(expert_turns(text_id(env), some, **how_played) for env, some in problems.items())
    turns = [turn for episode in episodes for turn in episode]
    pairs = [tokens_of(turn, local.prompter) for turn in turns]
    weights = [config.keep_weight if turn.reply.startswith(KEEPING) else 1.0 for turn in turns]
    made = now() - began
    model = torch.compile(local.model, dynamic=True) if config.compile else local.model
    losses = fit(model, pairs, config.fitting(), local.pad, lambda line: print(line, file=sys.stderr, flush=True), weights)
    return {
        "episodes": config.episodes,
        "turns": len(pairs),
        "prompt_tokens": {
            "mean": round(sum(len(prompt) for prompt, _ in pairs) / len(pairs), 1),
            "most": max(len(prompt) for prompt, _ in pairs),
        },
        "losses": [[turns, round(loss, 4)] for turns, loss in losses],
        "seconds_of_transcripts": round(made, 1),
        "seconds_of_training": round(now() - began - made, 1),
    }


def player_of(config: Config, local: LocalModel) -> LLMAgent:
    """The model as an agent."""
    return LLMAgent(model=local.name, backend=local, seed=config.seed, constrained=not config.free, **config.told())


def reinforce(config: Config, local: LocalModel, out: Path, resume: bool) -> dict[str, Any]:
    """PPO; returns what is told of it."""
    env = make_vec_env(config.env, config.num_envs, seed=config.seed, **config.play(), **config.rewards())
    saved = out / CHECKPOINT
    if resume:
        reference = None if adapted(local) else local.model
        trainer = LLMPPO.load(saved, env, config.device, reference)
    else:
        trainer = LLMPPO(env, model=player_of(config, local), seed=config.seed, settings=config.settings())
    now = seconds_on(local.model.device)
    while trainer.num_timesteps < config.turns:
        began, spent = now(), next((row["seconds"] for row in trainer.rows[::-1] if "seconds" in row), 0.0)
        trainer.learn(min(config.eval_every, config.turns - trainer.num_timesteps), whole=config.turns)
        row = trainer.rows[-1]
        row |= {"seconds": round(spent + now() - began, 1)}
        found = measure(config, trainer, config.eval_problems)
        row["held_out"] = found["accuracy"]
        with saving.replacing(saved) as fresh:
            trainer.save(fresh)
        (out / "metrics.jsonl").write_text("".join(json.dumps(finite(row)) + "\n" for row in trainer.rows))
        print(
            f"{row['timesteps']:>9,} turns {row['seconds']:>6.0f} s   held-out {row['held_out']:6.1%}   "
            f"train {row['success']:6.1%}   entropy {row['entropy']:.3f}   kl {row['kl']:.4f}   "
            f"{row['tokens_per_second']:,.0f} tokens/s",
            file=sys.stderr,
            flush=True,
        )
    local.model = trainer.model
    last = finite(trainer.rows[-1])
    return {"turns": trainer.num_timesteps, "seconds": last["seconds"], "reward": config.reward, "last": last}


def finite(row: dict[str, float]) -> dict[str, float]:
    """What was logged, without what has no value: JSON knows no NaN."""
    return {name: value for name, value in row.items() if math.isfinite(value)}


def measure(config: Config, agent: Any, problems: int) -> dict[str, Any]:
    """Held-out accuracy, the likeliest commands, each problem once."""
    found = evaluate(agent, config.env, problems=problems, num_envs=200, **config.play())
    return {
        "accuracy": found.accuracy,
        "interval": list(found.interval),
        "problems": found.problems,
        "rates": {name: round(rate, 4) for name, rate in found.rates.items()},
    }


def train(config: Config, out: Path, resume: bool = False) -> dict[str, Any]:
    """The whole run; returns the result. What can be wrong with the arguments is found out before anything is written."""
    torch.set_num_threads(config.threads)
    config.check_folders(out)
    make_vec_env(config.env, 1, **config.play(), **config.rewards()).close()
    config.fitting(), config.settings()
    given = loaded(config, config.start or config.model) if config.start or config.model else None
    out.mkdir(parents=True, exist_ok=True)
    trained, there = (resume and saving.settled(out / name) for name in (SUPERVISED, CHECKPOINT))
    if resume and not (trained or there):
        print(f"{out} holds nothing to go on from: a new run begins", file=sys.stderr, flush=True)
    record = {"arguments": asdict(config), "versions": versions(), "commit": commit()}
    left = (SUPERVISED, CHECKPOINT, "metrics.jsonl", "result.json")
    record = begin_run(out / "run.json", record, left, trained or there, MAY_CHANGE)
    local = given or loaded(config, from_scratch(config, out / BASE))
    result: dict[str, Any] = {**record, "parameters": sum(p.numel() for p in local.model.parameters())}
    if given:
        result["start"] = measure(config, player_of(config, local), config.held_out)
    if config.episodes and trained:
        local = loaded(config, out / SUPERVISED)
        result["supervised"] = json.loads((out / SUPERVISED / TOLD).read_text())
    elif config.episodes:
        result["supervised"] = supervise(config, local)
        with saving.replacing(out / SUPERVISED) as folder:
            local.model.save_pretrained(folder)
            local.tokenizer.save_pretrained(folder)
            (folder / TOLD).write_text(json.dumps(result["supervised"], indent=1) + "\n")
    if config.turns:
        result["ppo"] = reinforce(config, local, out, there)
    agent = player_of(config, local)
    now = seconds_on(local.model.device)
    began = now()
    result |= measure(config, agent, config.held_out)
    result["seconds_of_evaluation"] = round(now() - began, 1)
    result["ledger"] = dict(agent.ledger)
    rows = baselines(config.env, split="validation", most=config.held_out, difficulty={"max_units": config.max_units})
    result["baselines"] = {name: row.share for name, row in rows.items()}
    local.model.save_pretrained(out)
    local.tokenizer.save_pretrained(out)
    record_episodes(agent, config.env, out / "episodes.jsonl", problems=4, **config.play())
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def versions() -> dict[str, str]:
    """Of what computed the result, and the machine."""
    found = {name: version(name) for name in ("torch", "transformers", "tokenizers", "gymnasium", "numpy")}
    return {"python": platform.python_version(), **found, "machine": f"{platform.machine()}, {torch.get_num_threads()} thread"}


@dataclass(frozen=True)
class Options:
    """The command line."""

    config: Config = field(default_factory=Config)
    out: Path | None = None  # where the run's files go (default runs/llm, with --smoke runs/llm-smoke)
    resume: bool = False  # go on from what a killed run left in --out, if it left anything
    smoke: bool = False  # seconds with a small model, to see that it runs; sizes and counts are its own


def main() -> None:
    options = tyro.cli(Options, description=__doc__, config=(tyro.conf.OmitArgPrefixes,))
    config, out = options.config, options.out or Path("runs") / ("llm-smoke" if options.smoke else "llm")
    if options.smoke:
        config = replace(
            config, max_units=4, hidden=64, layers=1, episodes=40, turns=64, num_envs=8, n_steps=4, eval_every=32,
            eval_problems=10, held_out=20, ppo_batch_size=16,
        )  # fmt: skip
    if not config.episodes and not config.turns:
        config = replace(config, episodes=4_000)
    print(json.dumps(train(config, out, options.resume)))


if __name__ == "__main__":
    main()
