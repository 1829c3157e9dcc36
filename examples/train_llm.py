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
`run.json` (arguments, versions), `metrics.jsonl` and `result.json`, whose JSON is the last line printed. A run that was killed
in PPO goes on with --resume, from its last evaluation.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, Literal

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import torch
import tyro

from agents.base import evaluate
from agents.episodes import record_episodes
from agents.llm import LLMAgent, LocalModel, saving
from agents.llm.sampling import training_dtype
from agents.llm.supervised import Fitting, fit, seconds_on
from agents.llm.tiny import Shape, tiny_model, train_tokenizer
from agents.llm.transcripts import KEEPING, expert_turns, tokens_of
from agents.llm_ppo import LLMPPO, PPOSettings
from agents.provenance import begin_run, commit
from reasongym.adapters.sb3 import make_vec_env
from reasongym.audit.accuracy import baselines

OUTCOME = {"logic": 0, "coherence": 0, "goal": 0, "validity": 0}
BASE, CHECKPOINT = "base", "checkpoint"
"""Folders in a run's: the model from scratch as it was before training, and what PPO goes on from."""
MAY_CHANGE = ("turns", "eval_every", "eval_problems", "held_out", "threads", "device", "compile")
"""Arguments that a resumed run may have another value of: they change when it ends and how it is looked at."""


@dataclass(frozen=True)
class Config:
    """The arguments of a run, as they stand in `run.json`."""

    env: str = "ReasonGym-bAbI-qa1-v0"  # an id; its text twin is played
    max_units: int = 6  # of a story
    memory_slots: int = 4  # K
    chain_length: int = 3  # recalls, at most
    instructions: Literal["none", "full"] = "none"  # "full": rules in the prompt, for models that were not tuned on the format
    free: bool = False  # replies are not held to legal commands
    observer: str = ""  # whose scores the player is shown: "lexical", or the folder or name of a model that judges
    reasons: bool = False  # the observer's reasons are shown, too; it must be a model
    seed: int = 0  # of weights, transcripts and episodes
    device: str = "auto"  # "cpu" or "cuda"
    dtype: str = "auto"  # "mixed" where bfloat16 is multiplied in hardware; with adapters, and else, as `LocalModel` has it
    compile: bool = False  # supervised training is compiled (half a minute, then up to twice as fast on a CPU)
    threads: int = 1  # of torch
    model: str = ""  # a checkpoint to begin from; "": a tiny model from scratch
    start: str = ""  # the folder of a run to begin from
    lora: int = 0  # rank of adapters; 0: all weights are trained
    gradient_checkpointing: bool = False  # saves GPU memory, costs time
    hidden: int = 192  # width of the model from scratch
    layers: int = 4  # of the model from scratch
    vocabulary: int = 1024  # tokens of its tokenizer
    apart: bool = True  # names and answers are tokens by themselves; else a sentence that recurs is one token
    episodes: int = 0  # of the expert that are learned from; default 4,000 where nothing else is asked for
    first_problem: int = 0  # of the training split that they begin at
    other_env: str = ""  # another id, whose expert's episodes are learned from beside
    other_episodes: int = 0  # how many of them
    epochs: float = 1.0  # over the transcripts
    seconds: float = 0.0  # of supervised training, at most (CPU seconds; on a GPU, seconds); 0: no bound
    batch_size: int = 32  # turns of a supervised update
    learning_rate: float = 1e-3  # of supervised training
    prompt_loss: float = 0.0  # weight of the loss on prompts
    prudent: bool = True  # the expert also keeps what would be needed if the text ended there (see `expert_turns`)
    stray: float = 0.1  # share of the expert's turns of reading on that store the sentence instead (see `expert_turns`)
    keep_weight: float = 2.0  # of the loss of turns that keep: what is passed over cannot be had again
    turns: int = 0  # of PPO
    reward: Literal["process", "outcome"] = "process"  # of PPO; "outcome" is the right answer alone
    utility: str = "balance"  # of working memory; what is passed over costs at once
    utility_weight: float = 0.4  # of the utility in the reward
    outcome_beta: float = 0.5  # weight of the right answer beside process rewards
    num_envs: int = 64  # environments that are played together
    n_steps: int = 16  # turns of each in a rollout
    n_epochs: int = 3  # over a rollout
    ppo_batch_size: int = 256  # turns of an update
    ppo_learning_rate: float = 3e-4  # of PPO
    kl_coef: float = 0.001  # of the divergence from the model that PPO began with
    ent_coef: float = 0.02  # of the entropy
    warmup_rollouts: int = 8  # over which learning rates rise
    vf_coef: float = 10.0  # squared errors of dense rewards are small beside a loss of normalised advantages
    gamma: float = 0.9  # the discount, by turns
    gae_lambda: float = 0.5  # of advantages
    eval_every: int = 10_000  # turns
    eval_problems: int = 200  # held-out problems of an evaluation
    held_out: int = 1_000  # problems of the final evaluation

    def play(self) -> dict[str, Any]:
        """The environments' keywords."""
        played: dict[str, Any] = {
            "difficulty": {"max_units": self.max_units},
            "memory_slots": self.memory_slots,
            "units_per_slot": 1,
            "chain_length": self.chain_length,
        }
        return {**played, "observer": observer_of(self.observer, self.reasons)} if self.observer else played

    def told(self) -> dict[str, Any]:
        """What prompts hold beside the situation."""
        return {"instructions": self.instructions, "reasons": self.reasons}

    def rewards(self) -> dict[str, Any]:
        """The keywords that make the reward."""
        if self.reward == "outcome":
            return {"prm": "annotated", "beta": OUTCOME, "utility": "none"}
        return {"utility": self.utility, "utility_weight": self.utility_weight, "beta": {"outcome": self.outcome_beta}}


@cache
def observer_of(name: str, reasons: bool) -> Any:
    """The observer of a name; one model for all environments, so what it once said costs nothing again."""
    if name == "lexical":
        return name
    from reasongym.prm.judge import Judge

    return Judge(name, reasons=reasons)


def text_id(env_id: str) -> str:
    """The text twin of an id."""
    return env_id.replace("ReasonGym-", "ReasonGymText-", 1)


def starting(config: Config, out: Path) -> LocalModel:
    """The model that training begins with: from scratch, a checkpoint, or another run."""
    if not config.model and not config.start:
        torch.manual_seed(config.seed)
        ids = [env for env in (config.env, config.other_env) if env]
        turns = chain.from_iterable(expert_turns(text_id(env), range(300), **config.told(), **config.play()) for env in ids)
        texts = [text for episode in turns for turn in episode for text in (*(m["content"] for m in turn.chat), turn.reply)]
        apart = set().union(*(words_of(config, env) for env in ids)) if config.apart else ()
        tokenizer = train_tokenizer(texts, config.vocabulary, phrases=True, apart=apart)
        tiny_model(tokenizer, Shape(config.hidden, config.layers, config.hidden // 32)).save_pretrained(out / BASE)
        tokenizer.save_pretrained(out / BASE)
    dtype = training_dtype(config.device) if config.dtype == "auto" and not config.lora else config.dtype
    local = LocalModel(config.start or config.model or out / BASE, device=config.device, dtype=dtype, seed=config.seed)
    if config.gradient_checkpointing:
        local.model.gradient_checkpointing_enable()
    if config.lora and not hasattr(local.model, "disable_adapter"):
        from peft import LoraConfig, get_peft_model

        adapters = LoraConfig(r=config.lora, lora_alpha=2 * config.lora, target_modules="all-linear", task_type="CAUSAL_LM")
        local.model = get_peft_model(local.model, adapters)
    return local


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
    how = Fitting(
        epochs=config.epochs, seconds=config.seconds or float("inf"), batch_size=config.batch_size,
        learning_rate=config.learning_rate, prompt_loss=config.prompt_loss, seed=config.seed,
    )  # fmt: skip
    model = torch.compile(local.model, dynamic=True) if config.compile else local.model
    losses = fit(model, pairs, how, local.pad, lambda line: print(line, file=sys.stderr, flush=True), weights)
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
        reference = None if config.lora else local.model
        trainer = LLMPPO.load(saved, env, config.device, reference)
    else:
        settings = PPOSettings(
            n_steps=config.n_steps, n_epochs=config.n_epochs, batch_size=config.ppo_batch_size,
            learning_rate=config.ppo_learning_rate, kl_coef=config.kl_coef, ent_coef=config.ent_coef, gamma=config.gamma,
            gae_lambda=config.gae_lambda, vf_coef=config.vf_coef, warmup_rollouts=config.warmup_rollouts,
        )  # fmt: skip
        trainer = LLMPPO(env, model=player_of(config, local), seed=config.seed, settings=settings)
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
        (out / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in trainer.rows))
        print(
            f"{row['timesteps']:>9,} turns {row['seconds']:>6.0f} s   held-out {row['held_out']:6.1%}   "
            f"train {row['success']:6.1%}   entropy {row['entropy']:.3f}   kl {row['kl']:.4f}   "
            f"{row['tokens_per_second']:,.0f} tokens/s",
            file=sys.stderr,
            flush=True,
        )
    local.model = trainer.model
    last = trainer.rows[-1]
    return {"turns": trainer.num_timesteps, "seconds": last["seconds"], "reward": config.reward, "last": last}


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
    """The whole run; returns the result."""
    torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    there = saving.settled(out / CHECKPOINT)
    record = {"arguments": asdict(config), "versions": versions(), "commit": commit()}
    record = begin_run(out / "run.json", record, (CHECKPOINT, "metrics.jsonl"), resume, MAY_CHANGE)
    local = starting(config, out)
    result: dict[str, Any] = {**record, "parameters": sum(p.numel() for p in local.model.parameters())}
    if config.start or config.model:
        result["start"] = measure(config, player_of(config, local), config.held_out)
    if config.episodes:
        result["supervised"] = supervise(config, local)
    if config.turns:
        result["ppo"] = reinforce(config, local, out, resume and there)
    agent = player_of(config, local)
    now = seconds_on(local.model.device)
    began = now()
    result |= measure(config, agent, config.held_out)
    result["seconds_of_evaluation"] = round(now() - began, 1)
    result["ledger"] = dict(agent.ledger)
    there = baselines(config.env, split="validation", most=config.held_out, difficulty={"max_units": config.max_units})
    result["baselines"] = {name: row.share for name, row in there.items()}
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

    config: Config = Config()
    out: Path = Path("runs/llm")  # where the run's files go
    resume: bool = False  # go on from the checkpoint in --out
    smoke: bool = False  # seconds, to see that it runs


def main() -> None:
    options = tyro.cli(Options, description=__doc__, config=(tyro.conf.OmitArgPrefixes,))
    config, out = options.config, options.out
    if options.smoke:
        config = replace(
            config, max_units=4, hidden=32, layers=1, episodes=40, turns=64, num_envs=8, n_steps=4, eval_every=32,
            eval_problems=10, held_out=20, ppo_batch_size=16,
        )  # fmt: skip
        out = Path("runs") / "llm-smoke"
    if not config.episodes and not config.turns:
        config = replace(config, episodes=4_000)
    print(json.dumps(train(config, out, options.resume)))


if __name__ == "__main__":
    main()
