"""Plants an error of a named class into an expert's episode, by playing another action in the real environment.

| class | the step that is wrong |
| --- | --- |
| stale fact | recalls a unit that a later one has made untrue, about what is asked for |
| irrelevant fact | recalls a unit that nobody needs, if there is one without a link to question and support |
| missing prerequisite | recalls a needed unit before what it presupposes |
| contradiction | with the proof in the chain, answers otherwise |
| premature answer | answers, right or wrong, although memory holds needed units that the chain does not |
| redundant step | recalls what has been recalled (a no-op), or reads on when nothing is left to read |
| unsupported answer | answers, right or wrong, although a needed unit was passed over, so that nothing holds it |

Everything before the error is the expert's, but for some unneeded units in memory (in sound episodes as well), and everything
after it is the expert's again. The error's index is known, because it was made there: `error_step`, causally the earliest
one. Of an unsupported answer `missed_step` is where the unit was passed over: by hindsight the error is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reasongym.audit.policies import Situation
from reasongym.errors import unknown
from reasongym.seeding import rng

ERROR_CLASSES = (
    "stale fact",
    "irrelevant fact",
    "missing prerequisite",
    "contradiction",
    "premature answer",
    "redundant step",
    "unsupported answer",
)


_ANYTHING = np.zeros(1, np.int64)


@dataclass
class Plan:
    """What is planned for an episode, and what came of it."""

    kind: str
    strike: int  # recalls after which the error is made
    lures: set[int] = field(default_factory=set)  # unneeded units that are kept
    bait: int = -1  # the one that is recalled
    passed_over: int = -1  # the needed unit that is not kept
    error_step: int = -1
    missed_step: int = -1
    recalls: int = 0


class Planter:
    """A policy for `collect`: the expert, with at most one planted error an episode.

    Args:
        classes: of errors that are planted, each equally likely; of those that a problem has no room for (no two needed units
            that presuppose one another, say), another is planted instead.
        rate: share of the episodes that are to have an error.
        lures: chance of each of up to three unneeded units to be kept as well.
        seed: what is planted is a pure function of (seed, problem).
    """

    def __init__(self, classes: Sequence[str] = ERROR_CLASSES, *, rate: float = 0.5, lures: float = 0.5, seed: int = 0) -> None:
        for name in classes:
            if name not in ERROR_CLASSES:
                raise unknown("error class", name, ERROR_CLASSES)
        if not classes:
            raise ValueError(f"classes must name at least one of {', '.join(ERROR_CLASSES)}")
        for name, value in (("rate", rate), ("lures", lures)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {value!r}")
        self.classes, self.rate, self.lures, self.seed = tuple(classes), rate, lures, seed
        self._plans: dict[int, Plan] = {}
        self._rngs: dict[int, np.random.Generator] = {}

    def __call__(self, s: Situation) -> np.ndarray:
        """(N,) actions.

        Raises:
            ValueError: answers are spans, or support is unknown.
        """
        if s.env.batch.shapes.span:
            raise ValueError("errors are planted where answers are chosen from a list; this environment's are spans")
        actions = s.env.expert_action()
        for row in range(len(actions)):
            if s.step[row] == 0:
                self._rngs[row] = rng(self.seed, int(s.problem[row]))
                self._plans[row] = self._plan(s.env.batch, row, self._rngs[row])
            actions[row] = self._act(s, row, int(actions[row]))
        return actions

    def meta(self, row: int) -> dict[str, Any]:
        """What was planted in the episode of environment `row`: `error_class` ("none" for a sound one), `error_step` (-1)."""
        plan = self._plans[row]
        if plan.error_step < 0:
            return {"error_class": "none", "error_step": -1}
        found: dict[str, Any] = {"error_class": plan.kind, "error_step": plan.error_step}
        return found | ({"missed_step": plan.missed_step} if plan.kind == "unsupported answer" else {})

    def _plan(self, batch: Any, row: int, draw: np.random.Generator) -> Plan:
        facts = _Facts(batch, row)
        plan = Plan("none", int(draw.integers(0, facts.m + 1)))
        others = draw.permutation(np.flatnonzero(~facts.needed))[:3].tolist()
        plan.lures = {unit for unit in others if draw.random() < self.lures}
        if draw.random() >= self.rate:
            return plan
        for kind in draw.permutation(self.classes).tolist():
            candidates = {
                "stale fact": facts.stale,
                "irrelevant fact": facts.irrelevant,
                "missing prerequisite": facts.dependent,
                "unsupported answer": facts.last,
            }.get(kind, _ANYTHING)
            if not len(candidates):
                continue
            plan.kind = kind
            if kind in ("stale fact", "irrelevant fact"):
                plan.bait = int(draw.choice(candidates))
                plan.lures.add(plan.bait)
            elif kind == "unsupported answer":
                plan.passed_over = int(draw.choice(candidates))
            return plan
        return plan

    def _act(self, s: Situation, row: int, expert: int) -> int:
        batch, plan, slots = s.env.batch, self._plans[row], s.slots
        state, step = batch.memory.state[row], int(s.step[row])
        if state["cursor"] < state["num_units"]:
            return self._read(batch, row, plan, expert, step, s.mask[row])
        if plan.kind != "none" and plan.error_step < 0:
            wrong = self._strike(batch, row, plan, expert, s.mask[row])
            if wrong is not None:
                plan.error_step = step
                return wrong
        plan.recalls += 2 * slots < expert <= 3 * slots
        return expert

    def _read(self, batch: Any, row: int, plan: Plan, expert: int, step: int, mask: np.ndarray) -> int:
        unit, slots = int(batch.memory.state[row]["cursor"]), batch.shapes.slots
        facts = _Facts(batch, row)
        if plan.passed_over >= 0 and facts.same_as[unit] == plan.passed_over:
            plan.missed_step = step if plan.missed_step < 0 else plan.missed_step
            return 0
        occupied = int(batch.memory.state[row]["occupied"])
        to_come = int(facts.needed[unit:].sum())
        if expert == 0 and unit in plan.lures and occupied + to_come < slots and mask[1 + occupied]:
            return 1 + occupied
        return expert

    def _strike(self, batch: Any, row: int, plan: Plan, expert: int, mask: np.ndarray) -> int | None:
        """The wrong action, or None where the time has not come."""
        slots, draw = batch.shapes.slots, self._rngs[row]
        answering, held = expert > 3 * slots, batch.memory.held[row]
        due = answering or plan.recalls >= plan.strike
        if plan.kind in ("stale fact", "irrelevant fact"):
            at = np.flatnonzero((held["unit"] == plan.bait).any(1))
            legal = [2 * slots + 1 + slot for slot in at.tolist() if mask[2 * slots + 1 + slot]]
            return legal[0] if due and legal else None
        if plan.kind == "missing prerequisite":
            return _early(batch, row, mask)
        if plan.kind == "redundant step":
            again = np.flatnonzero(batch.memory.slots[row]["recalls"] > 0)
            if not due or not len(again):
                return None
            return int(2 * slots + 1 + draw.choice(again)) if draw.random() < 0.7 else 0
        proved = _Facts(batch, row).proved
        if plan.kind == "contradiction":
            return _answer(batch, row, draw, right=False) if answering and proved else None
        if plan.kind == "premature answer" and (answering or not due):
            return None
        if plan.kind == "unsupported answer" and (not answering or proved):
            return None
        return _answer(batch, row, draw, right=draw.random() < 0.5)


class _Facts:
    """What annotation says of the problem that environment `row` plays, in unit indices."""

    def __init__(self, batch: Any, row: int) -> None:
        t, state = batch.table.tables, batch.memory.state[row]
        problem = t.problems[state["row"]]
        first, self.m = int(problem["first_unit"]), int(problem["num_support"])
        if self.m < 0:
            raise ValueError("errors are planted by support, which this problem's is unknown: play a source with annotation")
        units = t.units[first : first + int(state["num_units"])]
        support = t.support[int(problem["support"]) : int(problem["support"]) + self.m]
        self.same_as = units["same_as"]
        self.needed = np.isin(self.same_as, support["same_as"])
        superseded = (units["superseded_by"] >= 0) & (units["superseded_by"] < len(units))
        of_support = np.bitwise_or.reduce(units["entities"][self.needed], initial=np.uint64(0))
        asked = (units["entities"] & problem["question_entities"]) > 0
        linked = asked | ((units["entities"] & of_support) > 0)
        stale = ~self.needed & superseded
        self.stale = np.flatnonzero(stale & asked) if (stale & asked).any() else np.flatnonzero(stale & linked)
        apart = ~self.needed & ~linked
        self.irrelevant = np.flatnonzero(apart if apart.any() else ~self.needed & ~superseded)
        bits = np.arange(self.m)
        self.dependent = bits[(support["prerequisites"] & ~(1 << bits)) != 0]
        presupposed = np.bitwise_or.reduce(support["prerequisites"] & ~(1 << bits), initial=0)
        self.last = np.unique(support["same_as"][(presupposed >> bits) & 1 == 0])
        self.proved = int(state["recalled"]) == (1 << self.m) - 1


def _early(batch: Any, row: int, mask: np.ndarray) -> int | None:
    """A RECALL of a needed unit whose prerequisite is not in the chain."""
    t, state, slots = batch.table.tables, batch.memory.state[row], batch.shapes.slots
    problem = t.problems[state["row"]]
    needs = t.support["prerequisites"][int(problem["support"]) : int(problem["support"]) + int(problem["num_support"])]
    for slot in range(int(state["occupied"])):
        chain = int(state["recalled"])
        for bits in batch.memory.held[row]["needed"][slot].tolist():
            if mask[2 * slots + 1 + slot] and any(bits >> b & 1 and int(need) & ~chain & ~bits for b, need in enumerate(needs)):
                return 2 * slots + 1 + slot
            chain |= bits
    return None


def _answer(batch: Any, row: int, draw: np.random.Generator, *, right: bool) -> int:
    """The right ANSWER, or a wrong one of the kind asked for."""
    t, state = batch.table.tables, batch.memory.state[row]
    problem, first = t.problems[state["row"]], 1 + 3 * batch.shapes.slots
    if right:
        return first + int(problem["gold"])
    fitting = np.flatnonzero(t.choice_kinds & problem["answer_kinds"])
    return first + int(draw.choice(fitting[fitting != problem["gold"]]))
