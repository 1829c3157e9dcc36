"""A page for each family of ids: its class's docstring, its ids with their spaces and baselines, a picture, a problem."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable
from typing import Any, NamedTuple

import gymnasium as gym
from readme_tables import environments as tables
from readme_tables.markdown import table
from update_readme import RESULTS, contents

import reasongym  # noqa: F401 (registers the ids)
from reasongym.envs import ReasonGymEnv
from reasongym.registration import IDS, TEXT_IDS
from reasongym.text.env import ReasonGymTextEnv

HEADINGS = (
    "Description", "Action Space", "Observation Space", "Rewards", "Starting State", "Episode Termination", "Arguments",
    "Version History", "References",
)  # fmt: skip
SENTENCES = 12
"""Most sentences of a problem that are shown."""


class Family(NamedTuple):
    """Ids over one data set."""

    title: str
    picture: str
    shown: str
    """What the picture shows."""
    module: str
    """Its docstring says what the data set is."""


FAMILIES = {
    "babi": Family("bAbI", "episode", "The end of an episode on two-hop questions", "reasongym.tasks.babi"),
    "squad2": Family("SQuAD 2.0", "squad2", "The end of an episode on a passage", "reasongym.tasks.squad2"),
    "narrativeqa": Family("NarrativeQA", "narrativeqa", "The end of an episode on a tale", "reasongym.tasks.narrativeqa"),
    "fairytaleqa": Family("FairytaleQA", "fairytaleqa", "The end of an episode on a tale", "reasongym.tasks.fairytaleqa"),
}
"""By the name of the data set."""


def pages() -> dict[str, str]:
    """The page of each family, and one for all text ids."""
    report = contents(RESULTS / "audit.json")
    families: dict[str, list[str]] = {}
    for env_id, keywords in IDS.items():
        families.setdefault(str(keywords["dataset"]), []).append(env_id)
    found = {f"ids/{name}.md": family_page(name, ids, report) for name, ids in families.items()}
    return {**found, "ids/text.md": text_page()}


def family_page(name: str, ids: list[str], report: dict[str, Any]) -> str:
    """The page of a family: what is special about it between the headings that all environments share."""
    family = FAMILIES[name]
    made = {env_id: gym.make(env_id, split="validation").unwrapped for env_id in ids}
    parts = docstring(ReasonGymEnv)
    parts["Description"] += f"\n\n{about(family.module)}\n\n![{family.shown}](docs/images/{family.picture}.png)"
    parts["Description"] += "\n\nRead from published files: [docs/datasets.md](docs/datasets.md)."
    parts["Action Space"] += "\n\n" + spaces_table(made) + "\n\nEvery action: [docs/environments.md](docs/environments.md)."
    parts["Rewards"] += "\n\nEvery cell of the reward table, with worked examples: [docs/reward.md](docs/reward.md)."
    parts["Arguments"] += "\n\n[All keywords](README.md#keywords)"
    chosen = {"ids": {env_id: report["ids"][env_id] for env_id in ids}}
    tail = ["## Baselines", "Share of right answers (%) on held-out problems; what each is: [the ids](README.md#the-ids).",
            tables.ids(chosen), "## Problems", "Validation problem 0 of each id, made to order."]  # fmt: skip
    tail += [f"### {env_id}\n\n{problem(env)}" for env_id, env in made.items()]
    return joined(family.title, f'`gym.make("{ids[0]}")`' + ("" if len(ids) == 1 else f" … `{ids[-1]}`"), parts, tail)


def text_page() -> str:
    """The page of the ids in words."""
    rows = ["| id | in words |", "| --- | --- |"]
    rows += [f"| `{env_id}` | `{text_id}` |" for env_id, text_id in zip(IDS, TEXT_IDS, strict=True)]
    parts = docstring(ReasonGymTextEnv)
    parts["Description"] += "\n\nCommands, infos, an episode: [docs/text.md](docs/text.md)."
    parts["Arguments"] += "\n\n[All keywords](README.md#keywords)"
    tail = ["## Baselines", "Those of the id by number: the same problems, steps and rewards.", "\n".join(rows)]
    return joined("Every id in words", f'`gym.make("{next(iter(TEXT_IDS))}")`', parts, tail)


def joined(title: str, first: str, parts: dict[str, str], tail: Iterable[str]) -> str:
    body = [f"# {title}", first, *(f"## {heading}\n\n{text}" for heading, text in parts.items()), *tail]
    return "\n\n".join(body) + "\n"


def docstring(kind: type) -> dict[str, str]:
    """An environment's docstring by its headings.

    Raises:
        ValueError: it has not the nine standard headings, in their order.
    """
    found: dict[str, str] = {}
    for part in (inspect.getdoc(kind) or "").split("## ")[1:]:
        heading, _, text = part.partition("\n")
        found[heading.strip()] = text.strip()
    if tuple(found) != HEADINGS:
        told = f"has the headings {', '.join(found)}; expected {', '.join(HEADINGS)}"
        raise ValueError(f"the docstring of {kind.__name__} {told}")
    return found


def spaces_table(made: dict[str, Any]) -> str:
    """What an id's spaces are with the default keywords."""
    rows = []
    for env_id, env in made.items():
        source, shapes = env.source, env.batch.shapes
        answers = "a span, or none" if not source.choices else f"{len(source.choices)}"
        space = env.observation_space
        tokens = f"{space['question'].shape[0]}, {space['unit'].shape[0]}"
        counts = (shapes.actions, answers, source.max_units, tokens, f"{len(source.vocabulary):,}")
        rows.append((tables.short(env_id), *counts))
    head = ("id", "actions", "answers", "units, at most", "tokens of a question, a unit", "vocabulary")
    return table(head, rows, left=("id",))


def problem(env: Any) -> str:
    """A problem in words: text, question, answer, and what proves it."""
    found = env.source.problem(0)
    units = [f"{i + 1:3} {unit}" for i, unit in enumerate(found.story.units[: found.num_units])]
    more = [] if len(units) <= SENTENCES else [f"    … {len(units) - SENTENCES} more sentences"]
    support = "unknown" if found.support is None else ", ".join(str(i + 1) for i in found.support) or "none"
    answers = " / ".join(dict.fromkeys(found.answers)) or "(abstain)"
    told = [*units[:SENTENCES], *more, "", f"Question: {found.question}", f"Answer: {answers}", f"Support: {support}"]
    return "```text\n" + "\n".join(told) + "\n```"


def about(module: str) -> str:
    """A data set in the words of its module, with paths from the repository's root."""
    text = inspect.getdoc(importlib.import_module(module)) or ""
    return text.replace("`worlds/`", "`reasongym/tasks/worlds/`")
