"""The expert: the best action, read from support and gold. An upper bound for agents, and the teacher of cloned ones.

While reading, it keeps each needed unit according to a plan (which units share a slot); then it recalls slots in the order
that earns most, and answers. It works from any state, so it can correct another policy's episodes. With `reason_when="any"` and
less memory than support, recalling and overwriting while reading could earn more; there it is a lower bound, and so it is where
an unneeded unit would link the support to the question (in no world).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from reasongym.engine.batch import Batch
from reasongym.engine.gold import best_span
from reasongym.prm.annotated import DEFAULT_BETA, NOTHING_NEW

Group = tuple[int, ...]

MOST_PLANS = 4_000
"""Partitions tried before the best so far is taken."""
MOST_ORDERED = 6
"""Contents up to whose number all orders of recall are tried."""
HOLDING = 0.3
"""m times what holding a supporting fact at the end earns (utility `coverage`, default weight)."""
EVERYTHING = HOLDING + DEFAULT_BETA["goal"] + DEFAULT_BETA["logic"]
"""What memory and chain can earn at most."""


class Fact(NamedTuple):
    """A needed unit: where it is first read, which supporting facts it is (bits), and its entities."""

    unit: int
    bits: int
    entities: int


class Content(NamedTuple):
    """What a slot would bring to the chain: the supporting facts that each of its units is, and all their entities."""

    bits: tuple[int, ...]
    entities: int


def expert_action(batch: Batch, i: int) -> int:
    """The best action of environment `i` of a batch.

    Raises:
        ValueError: support or gold of its problem are unknown (or the environment was made to read no annotation).
    """
    t, state, k = batch.table.tables, batch.memory.state[i], batch.shapes.slots
    problem = t.problems[state["row"]]
    known = problem["num_references"] if batch.shapes.span else problem["gold"]
    if problem["num_support"] < 0 or known < 0:
        raise ValueError(
            "expert_action() needs support and gold answers: this problem has none, or neither the PRM nor the utility of "
            "this environment reads annotation, so that none was loaded (pass prm='annotated')"
        )
    mask = batch.observation.action_mask[i]
    support = t.support[problem["support"] : problem["support"] + problem["num_support"]]
    needs = tuple(support["prerequisites"].tolist())
    if state["cursor"] < state["num_units"]:
        first = int(problem["first_unit"])
        facts = _facts(support["same_as"].tolist(), t.units["entities"][first : first + int(state["num_units"])])
        unit = int(t.units["same_as"][first + int(state["cursor"])])
        return _read(batch, i, unit, facts, needs, int(problem["question_entities"]), mask)
    if batch.shapes.span:
        return _point(batch, i, needs, mask)
    best = _best_recall(batch, i, needs, mask)
    return best if best is not None else 1 + 3 * k + int(problem["gold"])


def _point(batch: Batch, i: int, needs: tuple[int, ...], mask: np.ndarray) -> int:
    """The best action of a span task once the text is over: what holds the best span is recalled last, then pointed at."""
    t, state, shapes = batch.table.tables, batch.memory.state[i], batch.shapes
    first, length = 1 + 3 * shapes.slots, int(state["chain_length"])
    abstain = first + 2 * shapes.positions
    ends = first + shapes.positions
    if state["span_start"] >= 0:  # it may have been another's START: then the best END left, at worst the nearest
        _, start, end = best_span(batch, i, batch.memory.chain[i, length - 1])
        wanted = ends + end if start == state["span_start"] else -1
        return wanted if wanted >= 0 and mask[wanted] else ends + int(mask[ends:abstain].argmax())
    if t.problems[state["row"]]["num_references"] == 0:
        return abstain
    held = batch.memory.held["unit"][i]
    noted = batch.memory.slots["noted"][i]  # own words cannot be pointed at
    places = np.arange(shapes.units_per_slot)
    spans = {slot: best_span(batch, i, np.where(places < noted[slot], -1, units)) for slot, units in enumerate(held)}
    answer = max(spans, key=lambda slot: (spans[slot][0], -slot))
    best = _best_recall(batch, i, needs, mask, last=answer if spans[answer][0] > 0 else None)
    if best is not None:
        return best
    score, start, _ = best_span(batch, i, batch.memory.chain[i, length - 1]) if length else (0.0, 0, 0)
    if score <= 0:
        return abstain
    return first + start


def _facts(same_as: list[int], entities: np.ndarray) -> tuple[Fact, ...]:
    """The needed units in reading order."""
    bits: dict[int, int] = {}
    for b, unit in enumerate(same_as):
        bits[unit] = bits.get(unit, 0) | 1 << b
    return tuple(Fact(unit, bits[unit], int(entities[unit])) for unit in sorted(bits))


def _read(
    batch: Batch, i: int, unit: int, facts: tuple[Fact, ...], needs: tuple[int, ...], linked: int, mask: np.ndarray
) -> int:
    bits = {fact.unit: fact.bits for fact in facts}
    state, held, shapes = batch.memory.state[i], batch.memory.held[i], batch.shapes
    k = shapes.slots
    if k == 0 or not bits.get(unit, 0) & ~int(state["holding"]):
        return 0
    groups = plan(facts, needs, linked, k, shapes.units_per_slot, shapes.chain_length)
    group = next((g for g in groups if unit in g), None)
    if group is None:
        return 0
    earlier = 0
    for other in group[: group.index(unit)]:
        earlier |= bits[other]
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


def _best_recall(batch: Batch, i: int, needs: tuple[int, ...], mask: np.ndarray, last: int | None = None) -> int | None:
    """The RECALL to begin with in the order that earns most; None when none earns anything. Slot `last` comes last."""
    t, state, held, k = batch.table.tables, batch.memory.state[i], batch.memory.held[i], batch.shapes.slots
    first, recalled = int(t.problems[state["row"]]["first_unit"]), int(state["recalled"])
    slots, contents = [], []
    for slot in range(int(state["occupied"])):
        bits = tuple(int(b) for b in held["needed"][slot])
        if mask[1 + 2 * k + slot] and any(b & ~recalled for b in bits):
            present = held["unit"][slot] >= 0
            units = held["unit"][slot][present].tolist()
            entities = int(np.bitwise_or.reduce(t.units["entities"][[first + u for u in units]]))
            slots.append(1 + 2 * k + slot)
            contents.append(Content(tuple(held["needed"][slot][present].tolist()), entities))
    links = batch.shapes.chain_length - int(state["chain_length"])
    final = 1 + 2 * k + last if last is not None else -1
    if final in slots and len(slots) > 1 and links > 1:
        contents.pop(slots.index(final))
        slots.remove(final)
        links -= 1
        if best_order(tuple(contents), recalled, int(state["linked"]), needs, links)[1] < 0:
            return final
    best = best_order(tuple(contents), recalled, int(state["linked"]), needs, links)[1]
    return None if best < 0 else slots[best]


def best_order(contents: tuple[Content, ...], chain: int, linked: int, needs: tuple[int, ...], links: int) -> tuple[float, int]:
    """(m times the most that recalling some of the contents earns, which of them comes first; -1 for none).

    All orders are tried up to six contents; beyond, those whose prerequisites are in the chain come first.
    """
    known: dict[tuple[int, int, int], tuple[float, int]] = {}
    full = (1 << len(needs)) - 1

    def search(rest: int, chain: int, linked: int, links: int) -> tuple[float, int]:
        found = known.get((rest, linked, links))
        if found is not None:
            return found
        most, best = (len(needs) * DEFAULT_BETA["logic"] if full and chain == full else 0.0), -1
        left = [i for i in range(len(contents)) if rest >> i & 1] if links else []
        if len(left) > MOST_ORDERED:
            left = [max(left, key=lambda i: (not _early(contents[i].bits, chain, needs), gain(i, chain, linked)))]
        for i in left:
            after = chain
            for bits in contents[i].bits:
                after |= bits
            value = gain(i, chain, linked) + search(rest & ~(1 << i), after, linked | contents[i].entities, links - 1)[0]
            if value > most + 1e-9:
                most, best = value, i
        known[rest, linked, links] = most, best
        return most, best

    def gain(i: int, chain: int, linked: int) -> float:
        unlinked = 0.0 if contents[i].entities & linked else DEFAULT_BETA["coherence"]
        return worth(contents[i].bits, chain, needs) - unlinked

    return search((1 << len(contents)) - 1, chain, linked, links)


def _early(content: tuple[int, ...], chain: int, needs: tuple[int, ...]) -> bool:
    """Whether a fact of the content comes before one of its prerequisites."""
    for bits in content:
        for b, need in enumerate(needs):
            if bits >> b & 1 and need & ~chain:
                return True
        chain |= bits
    return False


def worth(content: tuple[int, ...], chain: int, needs: tuple[int, ...]) -> float:
    """m times what recalling a slot earns (goal and logic, default weights), given the facts in the chain."""
    new, early = 0, _early(content, chain, needs)
    for bits in content:
        new |= bits & ~chain
    return DEFAULT_BETA["goal"] * (new.bit_count() or NOTHING_NEW) - (DEFAULT_BETA["logic"] if early else 0.0)


@lru_cache(maxsize=65_536)
def plan(facts: tuple[Fact, ...], needs: tuple[int, ...], linked: int, slots: int, width: int, links: int) -> tuple[Group, ...]:
    """Which needed units share a slot: groups of at most `width` units in reading order, at most `slots` groups.

    One unit a slot where slots and chain allow it; else the partition that earns most, by exhaustive search (at most 4,000
    partitions; of more than six facts that do not all fit, those that others presuppose are kept first).
    """
    by_unit = {fact.unit: fact for fact in facts}
    alone = tuple((fact.unit,) for fact in facts)
    if len(facts) <= min(slots, links) and _value(alone, by_unit, needs, linked, links) > len(needs) * EVERYTHING - 1e-9:
        return alone
    spare = max(len(facts) - slots * width, 0)
    if len(facts) > MOST_ORDERED:
        facts, spare = _kept(facts, needs, slots * width), 0
    best: tuple[Group, ...] = ()
    most, tried = -np.inf, 0
    stack: list[tuple[int, int, tuple[Group, ...]]] = [(0, spare, ())]
    while stack and tried < MOST_PLANS:
        position, spare, groups = stack.pop()
        if position == len(facts):
            tried += 1
            value = _value(groups, by_unit, needs, linked, links)
            if value > most + 1e-9:
                best, most = groups, value
            continue
        unit = facts[position].unit
        if spare:
            stack.append((position + 1, spare - 1, groups))
        for g, group in enumerate(groups):
            if len(group) < width:
                stack.append((position + 1, spare, (*groups[:g], (*group, unit), *groups[g + 1 :])))
        if len(groups) < slots:
            stack.append((position + 1, spare, (*groups, (unit,))))
    return best


def _kept(facts: tuple[Fact, ...], needs: tuple[int, ...], capacity: int) -> tuple[Fact, ...]:
    """The facts that fit: what others presuppose first."""
    if len(facts) <= capacity:
        return facts
    known, order = 0, []
    rest = list(facts)
    while rest:
        ready = next((fact for fact in rest if not _early((fact.bits,), known | fact.bits, needs)), rest[0])
        rest.remove(ready)
        order.append(ready)
        known |= ready.bits
    return tuple(sorted(order[:capacity]))


def _value(groups: tuple[Group, ...], by_unit: dict[int, Fact], needs: tuple[int, ...], linked: int, links: int) -> float:
    """m times what holding the groups, and then recalling them, earns."""
    contents, held = [], 0
    for group in groups:
        entities = 0
        for unit in group:
            held |= by_unit[unit].bits
            entities |= by_unit[unit].entities
        contents.append(Content(tuple(by_unit[unit].bits for unit in group), entities))
    return HOLDING * held.bit_count() + best_order(tuple(contents), 0, linked, needs, links)[0]
