"""Bounded memory beside windows on long tales: `python examples/llm_windows.py [--help]`.

Three language models of one shape, one tokenizer and one beginning are trained on the same tales made to order, in the same
number of updates of as many tales. All begin from the weights that an exercise in reading came to (which of ten sentences of a
tale bear on a question, and the answer); then:

- memory: reads a sentence a turn, keeps what matters in K slots, recalls, and answers (`LLMAgent`);
- last: is shown the question and the last sentences that fit into the longest prompt that the first one sees, and answers;
- tf-idf: the same with the sentences nearest to the question.

The first learns from the expert's turns (of those that read on, a share, many of them near misses), the others from gold
answers. As one sentence in hundreds is needed, and one turn in nine of those learned from keeps one, the first leans against
keeping: so far that of training tales that nobody learned from it keeps as many sentences in vain as there are slots to spare.

Prints held-out ROUGE-L and accuracy of each; the last line is the JSON, which --out also gets. What --runs already holds of a
comparison with the same arguments is not played again, so one that was stopped goes on (training, too), and `--only` plays its
parts in several processes, once `--only beginning` is over.

    python examples/llm_windows.py --units 400 --out examples/results/llm_windows.json
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from shutil import rmtree
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import torch

from agents.base import evaluate
from agents.llm import LLMAgent, LocalModel
from agents.llm.exercise import exercises, marked, telling_words
from agents.llm.lean import lean_to, log_odds
from agents.llm.sampling import training_dtype
from agents.llm.supervised import Fitting, Pair, fit
from agents.llm.tiny import Shape, tiny_model, train_tokenizer
from agents.llm.transcripts import KEEPING, Turn, chosen_turns, expert_turns, tokens_of
from agents.llm.windows import SELECTIONS, Window, WindowAgent, window_turns
from agents.provenance import commit, result_file
from reasongym.adapters.sb3 import make_vec_env
from reasongym.audit.accuracy import baselines
from reasongym.audit.readers import Rarity
from reasongym.engine.infos import RATES
from reasongym.seeding import hash64, rng

ENV, TEXT = "ReasonGym-NarrativeQA-v0", "ReasonGymText-NarrativeQA-v0"
BEGINNING, MEMORY = "beginning", "memory"
PARTS = (MEMORY, *SELECTIONS)
TURNS = "turns.json"
"""The expert's turns that are learned from, in the folder of the beginning."""


@dataclass(frozen=True)
class Config:
    """The arguments of a run."""

    units: int = 400
    hops: int = 1  # sentences that an answer needs
    memory_slots: int = 4
    chain_length: int = 3
    exercises: int = 48_000  # tales that all begin with
    exercise_units: int = 60  # of these
    exercise_rate: float = 2e-3  # the learning rate of the exercise
    episodes: int = 2_000  # long tales that are learned from
    short: int = 16_000  # short ones
    short_units: int = 16  # of these
    reading: float = 2.0  # turns of reading on that are learned from, for each turn of another kind
    near: float = 0.5  # share of them whose sentence has a word of the question, where there are so many
    strays: float = 4.0  # sentences of a tale that the expert's episodes store in vain, in the mean
    updates: int = 400
    batch_size: int = 64  # tales in an update
    learning_rate: float = 2e-3
    vocabulary: int = 2048
    hidden: int = 128
    layers: int = 4
    calibration: int = 10  # tales that it is found on how far to lean
    held_out: int = 200
    seed: int = 0
    dtype: str = "auto"  # "mixed" where bfloat16 is multiplied in hardware, else float32

    def of(self, part: str) -> dict[str, Any]:
        """The arguments that a part depends on."""
        later = ("updates", "batch_size", "learning_rate", "calibration", "held_out") if part == BEGINNING else ()
        return {name: value for name, value in asdict(self).items() if name not in later}

    def tales(self) -> tuple[tuple[int, range], tuple[int, range]]:
        """What is learned from: (sentences of a tale, indices)."""
        return (self.units, range(self.episodes)), (self.short_units, range(self.short))

    def play(self, units: int = 0) -> dict[str, Any]:
        """The environments' keywords; of tales of so many units, where that is said."""
        units = units or self.units
        return {
            "difficulty": {"units": (units, units), "hops": (self.hops, self.hops)},
            "memory_slots": self.memory_slots,
            "units_per_slot": 1,
            "chain_length": self.chain_length,
        }


def learned_turns(config: Config) -> list[list[Turn]]:
    """The expert's turns that are learned from, by tale."""
    episodes = (episode for tales in config.tales() for episode in spoken(config, *tales))
    return chosen_turns(episodes, config.reading, telling(config), config.near, config.seed)


def spoken(config: Config, units: int, problems: range) -> Iterator[list[Turn]]:
    """The expert's episodes; the words of an answer are said, as in a window, where the expert points at them."""
    source, stray = source_of(config, units), config.strays / units
    episodes = expert_turns(TEXT, problems, stray=stray, seed=config.seed, instructions="none", **config.play(units))
    for index, episode in zip(problems, episodes, strict=True):
        ends = next(i for i, turn in enumerate(episode) if turn.reply.startswith("start"))
        yield [*episode[:ends], Turn(episode[ends].chat, f"answer {source.problem(index).answers[0]}")]


@cache
def telling(config: Config, problems: int = 100) -> set[str]:
    """Words that tell something."""
    return telling_words(map(source_of(config).problem, range(problems)))


def source_of(config: Config, units: int = 0, split: str = "train") -> Any:
    """The tales; of so many units, where that is said."""
    return make_vec_env(ENV, 1, seed=config.seed, split=split, **config.play(units)).batch.source


def made(config: Config, folder: Path, texts: Sequence[str]) -> Path:
    """A model and a tokenizer: what recurs around the words of the tales is one token, they are tokens by themselves."""
    tokenizer = train_tokenizer(texts, config.vocabulary, phrases=True, apart=telling(config))
    torch.manual_seed(config.seed)
    tiny_model(tokenizer, Shape(config.hidden, config.layers, config.hidden // 32)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def trained(config: Config, runs: Path, name: str, tales: Sequence[Sequence[Pair]]) -> LocalModel:
    """The model that all begin with, after so many updates on the turns of tales."""
    local = opened(config, runs)
    epochs = config.updates * config.batch_size / len(tales)
    how = Fitting(epochs=epochs, batch_size=config.batch_size, learning_rate=config.learning_rate, seed=config.seed)
    pairs, groups = [pair for turns in tales for pair in turns], [k for k, turns in enumerate(tales) for _ in turns]
    fit(local.model, pairs, how, local.pad, teller(name), keep=kept_in(config, runs, name), groups=groups)
    return local


def leaning(config: Config, local: LocalModel, turns_a_tale: int = 200) -> dict[str, float]:
    """How far to lean against keeping, for as many sentences of a tale to be kept in vain as there are slots to spare."""
    draw, reads = rng(config.seed, 24), list[Turn]()
    for episode in spoken(config, config.units, range(config.episodes, config.episodes + config.calibration)):
        some = [turn for turn in episode if turn.reply == "next"]
        reads += [some[i] for i in draw.permutation(len(some))[:turns_a_tale]]
    odds = log_odds(local, [turn.chat for turn in reads], "store 1", "next")
    return {"store 1": lean_to(odds, max(1, config.memory_slots - config.hops) / config.units)}


def opened(config: Config, runs: Path) -> LocalModel:
    """The model that all begin with."""
    dtype = training_dtype("cpu") if config.dtype == "auto" else config.dtype
    return LocalModel(runs / BEGINNING, device="cpu", dtype=dtype, seed=config.seed)


def teller(name: str) -> Callable[[str], None]:
    """Tells of the progress."""
    return lambda line: print(f"{name}: {line}", file=sys.stderr, flush=True)


def kept_in(config: Config, runs: Path, name: str) -> Path:
    """The file that training with these arguments goes on from."""
    return runs / f"{name}-{hash64(json.dumps(config.of(name))):016x}.pt"


def measured(config: Config, agent: Any) -> dict[str, Any]:
    """Held-out ROUGE-L, accuracy, and how much of what was needed it had before it when it answered."""
    began = time.perf_counter()
    found = evaluate(agent, ENV, problems=config.held_out, num_envs=min(100, config.held_out), **config.play())
    shown = getattr(agent, "window", None)
    return {
        "rouge_l": round(found.rates["rouge_l"], 4),
        "accuracy": found.accuracy,
        "interval": list(found.interval),
        "evidence": round(found.rates["evidence_recall"] if shown is None else evidence(config, shown), 4),
        "rates": {name: round(found.rates[name], 4) for name in RATES if shown is None and name in found.rates},
        "tokens_an_episode": round((agent.ledger["tokens_in"] + agent.ledger["tokens_out"]) / config.held_out),
        "seconds": round(time.perf_counter() - began, 1),
    }


def evidence(config: Config, shown: Window) -> float:
    """Share of the needed sentences of held-out tales that a window shows."""
    source, found = source_of(config, split="validation"), []
    for told in map(source.problem, range(config.held_out)):
        there = shown.chosen(source, told.question, told.story.units[: told.num_units])
        found += [unit in there for unit in told.support or ()]
    return sum(found) / max(1, len(found))


def begin(config: Config, runs: Path) -> dict[str, Any]:
    """Makes the model that all begin with, and puts the first one's turns as tokens beside it; returns what is told of them."""
    folder, tales = runs / BEGINNING, learned_turns(config)
    chosen = [turn for tale in tales for turn in tale]
    some = rng(config.seed, 22).choice(len(chosen), min(len(chosen), 3_000), replace=False)
    texts = [text for i in some for text in (chosen[i].chat[-1]["content"], chosen[i].reply)]
    prompter = LocalModel(made(config, folder, texts), device="cpu").prompter
    pairs = [[tokens_of(turn, prompter) for turn in tale] for tale in tales]
    (folder / TURNS).write_text(json.dumps(pairs))
    keeping = sum(turn.reply.startswith(KEEPING) for turn in chosen)
    longest = max(len(prompt) for tale in pairs for prompt, _ in tale)
    told = {"window": longest, "tales": len(tales), "turns": len(chosen), "keeping": keeping}
    return {**told, "exercise": exercised(config, runs)}


def exercised(config: Config, runs: Path) -> list[tuple[int, float]]:
    """Trains the model that all begin with on the exercise; returns (conversations, loss) as training went on."""
    local = opened(config, runs)
    chats = exercises(source_of(config, config.exercise_units), range(config.exercises), telling(config), seed=config.seed)
    rows = [marked(chat, local.prompter) for chat in chats]
    how = Fitting(batch_size=32, learning_rate=config.exercise_rate, seed=config.seed)
    pairs, weights = [pair for pair, _ in rows], [weight for _, weight in rows]
    kept = kept_in(config, runs, BEGINNING)
    losses = fit(local.model, pairs, how, local.pad, teller(BEGINNING), weights, kept)
    local.model.save_pretrained(runs / BEGINNING)
    return [(conversations, round(loss, 4)) for conversations, loss in losses]


def play(config: Config, runs: Path, name: str, window: int) -> dict[str, Any]:
    """Trains and measures one of the three."""
    if name == MEMORY:
        local = trained(config, runs, name, json.loads((runs / BEGINNING / TURNS).read_text()))
        lean = leaning(config, local)
        agent = LLMAgent(model=str(runs / BEGINNING), backend=local, instructions="none", lean=lean)
        return {"lean": lean, **measured(config, agent)}
    prompter = LocalModel(runs / BEGINNING, device="cpu").prompter
    rarity = None if name == "last" else Rarity(source_of(config), min(config.episodes, 200))
    shown = Window(prompter, window, name, rarity)
    tales = [
        [tokens_of(turn, prompter)]
        for units, problems in config.tales()
        for turn in window_turns(source_of(config, units), problems, shown)
    ]
    return measured(config, WindowAgent(trained(config, runs, name, tales), shown))


def compare(config: Config, runs: Path, only: Sequence[str] = PARTS) -> dict[str, Any]:
    """Trains and measures those of the three that `runs` does not hold; returns all that there is."""
    torch.set_num_threads(1)
    result: dict[str, Any] = {
        "arguments": asdict(config),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("torch", "transformers")}},
        BEGINNING: played(config, runs, BEGINNING, lambda: begin(config, runs)),
    }  # fmt: skip
    window = result[BEGINNING]["window"]
    for name in PARTS:
        make = partial(play, config, runs, name, window) if name in only else None
        if found := played(config, runs, name, make):
            result[name] = found
    rows = baselines(ENV, split="validation", most=config.held_out, difficulty=config.play()["difficulty"])
    result["baselines"] = {name: row.share for name, row in rows.items()}
    return result


def played(config: Config, runs: Path, name: str, make: Callable[[], dict[str, Any]] | None) -> dict[str, Any]:
    """What `runs` holds of a part with these arguments; else what is made, if it may be."""
    file = runs / f"{name}.json"
    there = read(file) if file.is_file() else {}
    needed = config.of(name)
    if there.get("arguments") != needed:
        if make is None:
            return {}
        runs.mkdir(parents=True, exist_ok=True)
        there = {"arguments": needed, "found": {"commit": commit(), **make()}}
        part = file.with_suffix(".part")
        part.write_text(json.dumps(there, indent=1) + "\n")
        part.replace(file)
        kept_in(config, runs, name).unlink(missing_ok=True)
    print(name, there["found"], file=sys.stderr, flush=True)
    found: dict[str, Any] = there["found"]
    return found


def read(file: Path) -> dict[str, Any]:
    """A part that was played before."""
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is damaged ({error}): delete it, and that part is played again") from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for field in fields(Config):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    parser.add_argument("--out", type=result_file, help="where the JSON goes, too")
    parser.add_argument("--runs", type=Path, default=Path("runs/llm_windows"), help="where each part's model and numbers go")
    parser.add_argument("--only", nargs="+", choices=(BEGINNING, *PARTS), default=PARTS, help="parts to play")
    parser.add_argument("--smoke", action="store_true", help="seconds, to see that it runs")
    options = vars(parser.parse_args())
    out, smoke, runs, only = (options.pop(name) for name in ("out", "smoke", "runs", "only"))
    config = Config(**options)
    if smoke:
        config = replace(
            config,
            units=20,
            exercises=64,
            exercise_units=12,
            episodes=12,
            short=24,
            short_units=10,
            updates=6,
            batch_size=8,
            hidden=32,
            layers=1,
            calibration=2,
            held_out=4,
            vocabulary=600,
        )
        runs = Path("runs/llm_windows-smoke")
        rmtree(runs, ignore_errors=True)
    result = compare(config, runs, only)
    if out is not None:
        out.write_text(json.dumps(result, indent=1) + "\n")
    for name in (part for part in PARTS if part in result):
        print(f"{name:>8}: ROUGE-L {result[name]['rouge_l']:.3f}, accuracy {result[name]['accuracy']:.1%}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
