"""The arguments of a run that trains a language model (`examples/train_llm.py`), and what is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from agents.llm.supervised import Fitting
from agents.llm.surrogate import PPOSettings
from agents.ranges import check_not_negative, check_positive, check_shares, check_whole

OUTCOME = {"logic": 0, "coherence": 0, "goal": 0, "validity": 0}
MAY_CHANGE = ("turns", "eval_every", "eval_problems", "held_out", "threads", "device", "compile")
"""Arguments that a resumed run may have another value of: they change when it ends and how it is looked at."""
HEAD = 32
"""Width of an attention head of the model from scratch."""


@dataclass(frozen=True)
class Config:
    """The arguments of a run, as they stand in `run.json`.

    Raises:
        ValueError: one is out of range, or would not be heard beside another.
    """

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

    def __post_init__(self) -> None:
        for name, id_ in (("env", self.env), ("other_env", self.other_env or self.env)):
            if not id_.startswith("ReasonGym-bAbI"):
                raise ValueError(f"{name} must be an id of bAbI, ReasonGym-bAbI-qa1-v0 to -qa20-v0, got {id_!r}")
        check_whole(self, 1, "max_units", "threads", "layers", "batch_size", "eval_every", "eval_problems", "held_out")
        check_whole(self, 1, "num_envs", "n_steps", "n_epochs", "ppo_batch_size")
        check_whole(self, 0, "seed", "lora", "episodes", "first_problem", "other_episodes", "turns", "warmup_rollouts")
        check_shares(self, "stray", "gamma", "gae_lambda")
        check_positive(self, "keep_weight", "epochs", "learning_rate")
        check_not_negative(self, "seconds", "utility_weight", "outcome_beta")
        if self.hidden < 2 * HEAD or self.hidden % HEAD:
            raise ValueError(f"hidden must be a multiple of {HEAD}, {2 * HEAD} at least, got {self.hidden!r}")
        if self.start and self.model:
            raise ValueError(f"start={self.start!r} and model={self.model!r}: a run begins from one model; give one of them")
        if bool(self.other_env) != bool(self.other_episodes) or self.other_env == self.env:
            raise ValueError(
                "other_env and other_episodes go together, and the other id is not env; got "
                f"other_env={self.other_env!r}, other_episodes={self.other_episodes!r}, env={self.env!r}"
            )
        if self.reasons and self.observer in ("", "lexical"):
            raise ValueError(f"reasons are given by an observer that is a language model, got observer={self.observer!r}")

    def check_folders(self, out: Path) -> None:
        """What is read is there, and is not what is written.

        Raises:
            ValueError: it is not.
        """
        if self.start and not Path(self.start).is_dir():
            raise ValueError(
                f"start={self.start!r}: there is no such folder (here is {Path.cwd()}); a name of the hub is a model"
            )
        for name, value in (("start", self.start), ("model", self.model)):
            if value and Path(value).is_dir() and Path(value).resolve() == out.resolve():
                raise ValueError(f"{out} is the folder of {name}, and would be overwritten: choose another for the run")

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

    def fitting(self) -> Fitting:
        """Of the supervised part."""
        return Fitting(
            epochs=self.epochs, seconds=self.seconds or float("inf"), batch_size=self.batch_size,
            learning_rate=self.learning_rate, prompt_loss=self.prompt_loss, seed=self.seed,
        )  # fmt: skip

    def settings(self) -> PPOSettings:
        """Of PPO."""
        return PPOSettings(
            n_steps=self.n_steps, n_epochs=self.n_epochs, batch_size=self.ppo_batch_size,
            learning_rate=self.ppo_learning_rate, kl_coef=self.kl_coef, ent_coef=self.ent_coef, gamma=self.gamma,
            gae_lambda=self.gae_lambda, vf_coef=self.vf_coef, warmup_rollouts=self.warmup_rollouts,
        )  # fmt: skip


@cache
def observer_of(name: str, reasons: bool) -> Any:
    """The observer of a name; one model for all environments, so what it once said costs nothing again."""
    if name == "lexical":
        return name
    from reasongym.prm.judge import Judge

    return Judge(name, reasons=reasons)
