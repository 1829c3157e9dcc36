"""The expert: the best action, read from support and gold. An upper bound for agents, and the teacher of cloned ones.

While reading, it keeps each needed unit according to a plan (which units share a slot); then it recalls slots in the order
that earns most, and answers. It works from any state, so it can correct another policy's episodes. With `reason_when="any"` and
less memory than support, recalling and overwriting while reading could earn more; there it is a lower bound.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from reasongym.engine.batch import Batch
from reasongym.prm.annotated import DEFAULT_BETA, NOTHING_NEW

Group = tuple[int, ...]
Fact = tuple[int, int]
"""(unit index where the fact is first read, bits of the supporting facts it is)."""

MOST_PLANS = 4_000
"""Partitions tried before the best so far is taken."""


def expert_action(batch: Batch, i: int) -> int:
    """The best action of environment `i` of a batch.

    Raises:
        ValueError: support or gold of its problem are unknown (or the environment was made to read no annotation).
    """
    t, state, k = batch.table.tables, batch.memory.state[i], batch.shapes.slots
    problem = t.problems[state["row"]]
    if problem["num_support"] < 0 or problem["gold"] < 0:
        raise ValueError(
            "expert_action() needs support and gold answers: this problem has none, or neither the PRM nor the utility of "
            "this environment reads annotation, so that none was loaded (pass prm='annotated')"
        )
    mask = batch.observation.action_mask[i]
    support = t.support[problem["support"] : problem["support"] + problem["num_support"]]
    facts = _facts(support["same_as"].tolist())
    if state["cursor"] < state["num_units"]:
        first = int(problem["first_unit"])
        unit = int(t.units["same_as"][first + state["cursor"]])
        return _read(batch, i, unit, facts, _needs(support), mask)
    best = _best_recall(batch, i, int(problem["num_support"]), _needs(support), mask)
    return best if best is not None else 1 + 3 * k + int(problem["gold"])


def _facts(same_as: list[int]) -> tuple[Fact, ...]:
    """The needed units in reading order, with their bits."""
    bits: dict[int, int] = {}
    for b, unit in enumerate(same_as):
        bits[unit] = bits.get(unit, 0) | 1 << b
    return tuple(sorted(bits.items()))


def _needs(support: np.ndarray) -> tuple[int, ...]:
    return tuple(support["prerequisites"].tolist())


def _read(batch: Batch, i: int, unit: int, facts: tuple[Fact, ...], needs: tuple[int, ...], mask: np.ndarray) -> int:
    bits = dict(facts).get(unit, 0)
    state, held, shapes = batch.memory.state[i], batch.memory.held[i], batch.shapes
    k = shapes.slots
    if k == 0 or not bits & ~int(state["holding"]):
        return 0
    groups = plan(facts, needs, k, shapes.units_per_slot, shapes.chain_length)
    group = next((g for g in groups if unit in g), None)
    if group is None:
        return 0
    earlier = 0
    for other in group[: group.index(unit)]:
        earlier |= dict(facts)[other]
    occupied = int(state["occupied"])
    for slot in range(occupied):  # beside the units of its group
        room = batch.memory.slots[i, slot]["held"] < shapes.units_per_slot
        if earlier & int(held["needed"][slot, 0]) and room and mask[1 + k + slot]:
            return 1 + k + slot
    useless = [slot for slot in range(occupied) if not held["needed"][slot].any()]
    for slot in ([occupied] if occupied < k else []) + useless:
        if mask[1 + slot]:
            return 1 + slot
    return 0


def _best_recall(batch: Batch, i: int, m: int, needs: tuple[int, ...], mask: np.ndarray) -> int | None:
    """The RECALL that earns most now; None when none earns anything."""
    t, state, held, k = batch.table.tables, batch.memory.state[i], batch.memory.held[i], batch.shapes.slots
    first, best, most = int(t.problems[state["row"]]["first_unit"]), None, 0.0
    for slot in range(int(state["occupied"])):
        if not mask[1 + 2 * k + slot]:
            continue
        units = [u for u in held["unit"][slot].tolist() if u >= 0]
        entities = int(np.bitwise_or.reduce(t.units["entities"][[first + u for u in units]]))
        value = worth([int(b) for b in held["needed"][slot, : len(units)]], int(state["recalled"]), needs, m)
        value -= 0.0 if entities & int(state["linked"]) else DEFAULT_BETA["coherence"]
        if value > most:
            best, most = 1 + 2 * k + slot, value
    return best


def worth(content: list[int], chain: int, needs: tuple[int, ...], m: int) -> float:
    """m times what recalling a slot earns (goal and logic, default weights), given the facts in the chain."""
    new = early = 0
    for bits in content:
        for b in range(m):
            if bits >> b & 1:
                early |= needs[b] & ~chain
        new |= bits & ~chain
        chain |= bits
    return DEFAULT_BETA["goal"] * (new.bit_count() or NOTHING_NEW) - (DEFAULT_BETA["logic"] if early else 0.0)


@lru_cache(maxsize=65_536)
def plan(facts: tuple[Fact, ...], needs: tuple[int, ...], slots: int, width: int, links: int) -> tuple[Group, ...]:
    """Which needed units share a slot: groups of at most `width` units in reading order, at most `slots` groups.

    One unit a slot where slots and chain allow it; else the partition whose recalls earn most, by exhaustive search
    (at most 4,000 partitions), with facts that other facts presuppose kept first where not all fit.
    """
    if len(facts) <= min(slots, links):
        return tuple((unit,) for unit, _ in facts)
    kept = _kept(facts, needs, slots * width)
    best: tuple[Group, ...] = ()
    most, tried = -np.inf, 0
    stack: list[tuple[int, tuple[Group, ...]]] = [(0, ())]
    while stack and tried < MOST_PLANS:
        position, groups = stack.pop()
        if position == len(kept):
            tried += 1
            value = _value(groups, dict(facts), needs, links)
            if value > most:
                best, most = groups, value
            continue
        unit = kept[position][0]
        for g, group in enumerate(groups):
            if len(group) < width:
                stack.append((position + 1, (*groups[:g], (*group, unit), *groups[g + 1 :])))
        if len(groups) < slots:
            stack.append((position + 1, (*groups, (unit,))))
    return best


def _kept(facts: tuple[Fact, ...], needs: tuple[int, ...], capacity: int) -> tuple[Fact, ...]:
    """The facts that fit: what others presuppose first."""
    if len(facts) <= capacity:
        return facts
    known, order = 0, []
    rest = list(facts)
    while rest:
        ready = next((f for f in rest if not _missing(f[1], needs, known)), rest[0])
        rest.remove(ready)
        order.append(ready)
        known |= ready[1]
    return tuple(sorted(order[:capacity]))


def _missing(bits: int, needs: tuple[int, ...], known: int) -> int:
    missing = 0
    for b, need in enumerate(needs):
        if bits >> b & 1:
            missing |= need & ~(known | bits)
    return missing


def _value(groups: tuple[Group, ...], bits: dict[int, int], needs: tuple[int, ...], links: int) -> float:
    """What recalling the groups earns, best first."""
    m, chain, total = len(needs), 0, 0.0
    rest = [[bits[unit] for unit in group] for group in groups]
    for _ in range(min(links, len(rest))):
        best = max(rest, key=lambda content: worth(content, chain, needs, m))
        gain = worth(best, chain, needs, m)
        if gain <= 0:
            break
        total += gain
        for fact in best:
            chain |= fact
        rest.remove(best)
    complete = chain == (1 << m) - 1
    return total + (m * DEFAULT_BETA["logic"] if complete else 0.0)
