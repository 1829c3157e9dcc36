"""bAbI task 5: one giving act, asked about from five sides."""

from __future__ import annotations

import re

from reasongym.seeding import Draws
from reasongym.tasks.base import Draft, Event, Knobs, Query
from reasongym.tasks.worlds.grammar import NAME, THING
from reasongym.tasks.worlds.lexicon import entity_mask
from reasongym.tasks.worlds.moving import THINGS, Simulation, StoryWorld, choices, difficulties, simulate
from reasongym.types import Facts, Proof

GIVE_WEIGHT = 3.5
"""How much likelier than moving people are to give, where they can: measured on the published stories (3.4-3.7)."""

GIVERS = ("Mary", "Fred", "Bill", "Jeff")

_QUESTIONS = {
    "what_given": (re.compile(rf"What did {NAME} give to {NAME}\?"), "What did {} give to {}?"),
    "who_gave_to": (re.compile(rf"Who gave the {THING} to {NAME}\?"), "Who gave the {} to {}?"),
    "who_gave": (re.compile(rf"Who gave the {THING}\?"), "Who gave the {}?"),
    "whom_given": (re.compile(rf"Who did {NAME} give the {THING} to\?"), "Who did {} give the {} to?"),
    "who_received": (re.compile(rf"Who received the {THING}\?"), "Who received the {}?"),
}


class Giving(StoryWorld):
    """Task 5: "Who gave the football to Fred?", "What did Bill give to Fred?" and three more.

    Defaults: the last giving that fits the question is meant (20 of the 10,000 published questions mean an earlier
    one). Published questions are about the last giving of the story in 98% of the cases, the generated ones always.
    People are answers, so no difficulty renames them. `annotate` judges a giving by the state it leaves ("Fred has the
    football"): it may be superseded and still be what the question needs. Knobs: see `StoryWorld`; `things`.
    """

    task = 5
    name = "three-arg-relations"
    kinds = ("move", "give", "take", "drop")
    answers = choices((*THINGS, *GIVERS))
    settings = difficulties(126, 200, GIVERS, GIVERS, things=THINGS)
    unit_tokens = 6
    question_tokens = 7

    def parse_question(self, text: str) -> Query:
        for kind, (pattern, _) in _QUESTIONS.items():
            match = pattern.fullmatch(text)
            if match:
                return (kind, *match.groups())
        raise ValueError(f"not a question of bAbI task {self.task}: {text!r}")

    def question(self, query: Query) -> str:
        return _QUESTIONS[query[0]][1].format(*query[1:])

    def about(self, query: Query) -> tuple[int, str]:
        return entity_mask(*query[1:]), "thing" if query[0] == "what_given" else "person"

    def solve(self, facts: Facts, query: Query) -> Proof:
        kind, *names = query
        for i, event in reversed(facts):
            if event[0] == "give" and _asked(kind, event) == names:
                _, giver, thing, receiver = event
                answer = thing if kind == "what_given" else giver if kind in ("who_gave", "who_gave_to") else receiver
                return Proof(answer, (i,), (0,))
        return Proof(None)

    def prerequisites(self, support: Facts, query: Query) -> tuple[int, ...]:
        return (0,) * len(support)

    def draft(self, draws: Draws, knobs: Knobs) -> Draft:
        world, give = simulate(draws, knobs, _last_giving, GIVE_WEIGHT)
        kind = draws.pick(("what_given", "what_given", "who_gave_to", "who_gave", "whom_given", "who_received"))
        return Draft(tuple(world.events), (kind, *_asked(kind, world.events[give])))


def _asked(kind: str, event: Event) -> list[str]:
    """What a question of this kind says of a giving."""
    _, giver, thing, receiver = event
    if kind == "what_given":
        return [giver, receiver]
    if kind == "who_gave_to":
        return [thing, receiver]
    return [giver, thing] if kind == "whom_given" else [thing]


def _last_giving(world: Simulation, window: int) -> list[int]:
    events = world.events
    for i in range(len(events) - 1, max(-1, len(events) - 1 - window), -1):
        if events[i][0] == "give":
            return [i]
    return []


WORLDS = (Giving(),)
