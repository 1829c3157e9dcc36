"""Finding questions that a story does not answer although it seems to, each with the wrong answer that suggests itself.

After the kinds of Rajpurkar, Jia, Liang, "Know What You Don't Know" (2018, arXiv 1806.03822): another entity, a condition that
is false, a relation that is never told.
"""

from __future__ import annotations

from reasongym.tasks.base import Event, Query
from reasongym.tasks.prose.asking import TRIES, Asked, Asker, Key, named
from reasongym.tasks.prose.frames import ENTITY_SLOTS


def unanswerable(asker: Asker, hops: int, key: Key) -> Asked | None:
    """A question of so many hops for this key without an answer, or None where none was found."""
    kind, slot, given = key
    grammar, draws = asker.grammar, asker.draws
    told = [unit for unit, event in asker.facts if event[0] == kind or (grammar.written(event) or ("",))[0] == kind]
    for _ in range(TRIES):
        if told:
            unit = draws.pick(told)
            found = _premise(asker, key, unit) if len(given) > 1 and draws.chance(0.7) else _swap(asker, key, unit)
        else:
            found = _absent(asker, key)
        if found is None:
            continue
        first, unit, shown, form = found
        query = asker.extended(first, set(), hops)
        if query is None or not _leads(asker, query, first):
            continue
        plausible = asker.events[unit][shown + 1]
        if grammar.solve(asker.facts, query).answer is None and not named(query, plausible):
            return Asked(query, unit, shown, form, grammar.frames[kind].topics[slot])
    return None


Found = tuple[Query, int, int, str]
"""A query of one hop; the event and slot of the wrong answer; the form."""


def _leads(asker: Asker, query: Query, first: Query) -> bool:
    """Whether the phrases in front lead to what the last hop was about."""
    if len(query) == 1:
        return True
    meant = next(value for (_, value), (_, hidden) in zip(first[0][2], query[-1][2], strict=True) if hidden is None)
    return asker.grammar.solve(asker.facts, query[:-1]).answer == meant


def _shown(asker: Asker, key: Key, event: Event) -> int:
    """The slot of an event that answers a key."""
    state = asker.grammar.frames[event[0]].state
    return key[1] if event[0] == key[0] or state is None else state.value


def _swap(asker: Asker, key: Key, unit: int) -> Found | None:
    """The same relation of another entity of the same type, of which it is not told."""
    event, types = asker.events[unit], asker.grammar.frames[key[0]].types
    ((kind, slot, givens),) = asker.query(key, unit)
    at = next(n for n, (i, _) in enumerate(givens) if types[i] in ENTITY_SLOTS)
    others = [value for value in _known(asker, types[givens[at][0]]) if value not in event]
    if not others:
        return None
    other = asker.draws.pick(others)
    query = ((kind, slot, tuple((i, other if n == at else value) for n, (i, value) in enumerate(givens))),)
    return query, unit, _shown(asker, key, event), "swap"


def _premise(asker: Asker, key: Key, unit: int) -> Found | None:
    """One condition too many, which is false of the event."""
    kind, slot, given = key
    event, types = asker.events[unit], asker.grammar.frames[kind].types
    changed = given[-1]
    values = [value for value in _known(asker, types[changed]) if value != event[changed + 1]]
    if types[slot] == types[changed]:
        values = [event[slot + 1]]  # what came after the last
    if not values:
        return None
    value = asker.draws.pick(values)
    query = ((kind, slot, tuple((i, value if i == changed else event[i + 1]) for i in given)),)
    same = [n for n, other in asker.facts if other[:2] == event[:2]]
    return query, same[0] if value == event[slot + 1] else unit, _other_slot(slot, changed, value, event), "premise"


def _other_slot(slot: int, changed: int, value: str, event: Event) -> int:
    """Where the wrong answer stands: asked who came after the last, the one before suggests itself."""
    return changed if value == event[slot + 1] else slot


def _absent(asker: Asker, key: Key) -> Found | None:
    """A relation that the story does not tell, of an entity for which it tells a value of the same type."""
    kind, slot, given = key
    frames = asker.grammar.frames
    wanted = frames[kind].types
    about = next(i for i in given if wanted[i] in ENTITY_SLOTS)
    options = [
        (unit, at, shown)
        for unit, event in asker.facts
        for at, one in enumerate(frames[event[0]].types)
        if one == wanted[about]
        for shown, other in enumerate(frames[event[0]].types)
        if other == wanted[slot] and shown != at
    ]
    if not options:
        return None
    unit, at, shown = asker.draws.pick(options)
    values = {about: asker.events[unit][at + 1]}
    for i in given:
        if i != about:
            known = _known(asker, wanted[i])
            if not known:
                return None
            values[i] = asker.draws.pick(known)
    return ((kind, slot, tuple((i, values[i]) for i in given)),), unit, shown, "absent"


def _known(asker: Asker, slot_type: str) -> list[str]:
    """The values of a type of slot in the story, in order of appearance."""
    frames = asker.grammar.frames
    found = (
        value
        for event in asker.events
        for value, one in zip(event[1:], frames[event[0]].types, strict=True)
        if one == slot_type
    )
    return list(dict.fromkeys(found))
