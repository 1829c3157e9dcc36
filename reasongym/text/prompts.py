"""The system text: the rules, and one worked episode that the expert plays on a generated training problem.

The worked problem is never one of a published file: bAbI's is a procedural training problem of the id's own tasks, and ids
whose answers are spans show a procedural passage (tales would fill the prompt).
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from reasongym.engine.batch import Batch
from reasongym.engine.expert import expert_action
from reasongym.engine.settings import Settings
from reasongym.tasks import babi
from reasongym.tasks.prose.source import passages
from reasongym.text.interface import Interface
from reasongym.types import ProblemSource

INSTRUCTIONS = ("full", "none")
TRIED = 20
"""Problems among which the shortest is shown."""
SPARE = 2
"""Units that the shown problem should have beside its support."""
SHOWN_SETTINGS = ("memory_slots", "units_per_slot", "chain_length", "question_at", "reason_when", "memory_view")
"""Settings that the worked episode takes over; the others are the default ones."""
THOUGHTS = {
    "next": "This does not help with the question.",
    "store": "This may be needed.",
    "update": "This belongs with what the slot holds.",
    "recall": "I need this for the answer.",
    "answer": "Now the answer follows.",
    "abstain": "The text does not say.",
}


def system_text(batch: Batch, history: int) -> str:
    """Rules and worked episode for an environment whose observations repeat `history` earlier turns."""
    worked = _episode(batch.source, batch.settings)
    return "\n\n".join([rules(batch, history), *([worked] if worked else [])])


def rules(batch: Batch, history: int) -> str:
    """What can be done, and what for."""
    settings, shapes = batch.settings, batch.shapes
    k, width, links = shapes.slots, shapes.units_per_slot, shapes.chain_length
    when = "once the text is over" if settings.reason_when == "end" else "at any time"
    kept = "not kept" if not history else f"kept for {history} turn{'s' if history > 1 else ''}"
    asked = "from the start" if settings.question_at == "start" else "when the text is over"
    lines = [
        "You read a text one sentence at a time and answer a question about it. No sentence is shown twice: what you will "
        f"need has to be kept in memory. The question is shown {asked}.",
        "Each turn you are shown the situation. Think if you like, then give one command on the last line of your reply. "
        f"Your thoughts are {kept}: what you write down in memory is all you will see again.",
        "Commands:",
        "- next: put the sentence on the desk aside and read on.",
    ]
    if k:
        lines += [
            f"- store K: write the sentence on the desk into memory slot K (1 to {k}) instead of what it holds, and read on. "
            "Empty slots are filled in order.",
            f"- store K: WORDS: the same with words of your own instead of the sentence, at most {width * shapes.unit_tokens} "
            "tokens. They count as evidence only if they state facts you have read.",
            f"- update K: add the sentence on the desk to slot K, which holds at most {width}; the oldest drops out. Read on.",
        ]
        hidden = " What slots hold is visible in the chain only." if settings.memory_view == "recalled" else ""
        lines.append(f"- recall K: {when}, copy slot K to the end of the chain of reasoning, which has {links} links.{hidden}")
    if shapes.span:
        lines += [
            f"- answer WORDS: {when}, answer in the words of the text, as briefly as possible; this ends the episode.",
            "- answer none: the text does not answer the question.",
            "- start P, then end P: the same as an answer, by the positions of words in the link recalled last.",
        ]
    else:
        lines.append(f"- answer X: {when}, answer with one of the choices; this ends the episode.")
    lines.append(
        "You are rewarded for the right answer, for keeping and recalling the evidence for it in the order of reasoning, and "
        "you lose a little for recalling what does not bear on it and for commands that are not possible. Each turn names "
        "the commands that are."
    )
    if not shapes.span:
        lines.append("Choices: " + " | ".join(batch.source.choices))
    return "\n".join(lines)


def _episode(source: ProblemSource, settings: Settings) -> str:
    """The worked episode in words; "" for a source of closed answers that is none of the suite's own, and for spans where the
    package that natural text needs is missing."""
    chosen = tuple(getattr(settings, name) for name in SHOWN_SETTINGS)
    if hasattr(source, "worlds"):
        return _worked(tuple(source.tasks), chosen)  # type: ignore[attr-defined]
    return _worked((), chosen) if not source.choices and find_spec("tokenizers") else ""


@lru_cache(maxsize=256)
def _worked(tasks: tuple[int, ...], chosen: tuple[Any, ...]) -> str:
    """Of bAbI tasks; none: of a passage."""
    count = TRIED * max(len(tasks), 1)
    source: Any = babi.load(tasks, num_problems=count) if tasks else passages(num_problems=count)
    problems = [source.problem(i) for i in range(TRIED)]
    spare = [problem.num_units - len(problem.support or ()) for problem in problems]
    fits = [bool(problem.answers) and room >= SPARE for problem, room in zip(problems, spare, strict=True)]
    best = min(range(TRIED), key=lambda i: (not fits[i], problems[i].num_units))
    settings = Settings(**dict(zip(SHOWN_SETTINGS, chosen, strict=True)))
    batch = Batch(source, settings, 1)
    interface, one = Interface(batch), np.ones(1, bool)
    batch.seed(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64))
    batch.reset(one, np.array([best]))
    parts = ["A worked episode:"]
    while not batch.memory.state["ended"][0]:
        command = _in_words(batch, interface.commands.of(expert_action(batch, 0)))
        thought = THOUGHTS.get(command.split()[0], "")
        reply = f"{thought}\n{command}" if thought else command
        parts += [f"[situation]\n{interface.observe()[0]}", f"[reply]\n{reply}"]
        batch.step(interface.read([reply]))
    return "\n\n".join(parts)


def _in_words(batch: Batch, command: str) -> str:
    """The command; an answer that would be pointed at is written."""
    if not command.startswith("start "):
        return command
    state = batch.get_state()
    batch.step(np.array([expert_action(batch, 0)]))
    batch.step(np.array([expert_action(batch, 0)]))
    unit, start, end = (int(batch.result.outcome[0][name]) for name in ("unit", "start", "end"))
    batch.set_state(state)
    return f"answer {batch.table.text_between(unit, start, end).strip(' ,.;:')}"
