"""The working memory's operations, compiled: what STORE, UPDATE and RECALL do to one environment's slots and chain.

Letters: `state` one STATE record, `slots` (K,) SLOT, `held` (K, U) HELD, `chain` (H, U); see `engine.layout`. Legality has been
checked before. Salience (the memory's own estimate of a slot's worth) follows three movements: the observer's scores move the
touched slot, a recall raises it, and untouched slots decay.
"""

from __future__ import annotations

import numpy as np

from reasongym.jit import operation

INITIAL_SALIENCE = 0.5


@operation
def clear(state, slots, held, chain):
    """An empty memory and an empty chain."""
    for k in range(slots.shape[0]):
        slot = slots[k]
        slot.salience = 0.0
        slot.held = 0
        slot.stored_at = 0
        slot.recalls = 0
        slot.used = 0
        slot.noted = 0
        slot.fresh = 0
        slot.store = 1
        slot.update = 1
        slot.recall = 1
        for j in range(held.shape[1]):
            held[k, j].unit = -1
            held[k, j].needed = 0
    for h in range(chain.shape[0]):
        for j in range(chain.shape[1]):
            chain[h, j] = -1
    state.occupied = 0
    state.chain_length = 0
    state.touched = -1
    state.seen = 0
    state.captured = 0
    state.holding = 0
    state.recalled = 0


@operation
def store(state, slots, held, k, unit, needed):
    """Slot k holds `unit` and nothing else; it starts afresh (salience, recalls)."""
    slot = slots[k]
    if slot.held == 0:
        state.occupied += 1
    for j in range(1, held.shape[1]):
        held[k, j].unit = -1
        held[k, j].needed = 0
    held[k, 0].unit = unit
    held[k, 0].needed = needed
    _start_afresh(slot, 1, 0)
    _written(state, slot, k, held, needed)


@operation
def store_words(state, slots, held, k, places):
    """Slot k holds own words that take the first `places` of it, already filled with what was recovered, and nothing else."""
    slot = slots[k]
    if slot.held == 0:
        state.occupied += 1
    needed = np.int32(0)
    for j in range(held.shape[1]):
        if j >= places:
            held[k, j].unit = -1
            held[k, j].needed = 0
        needed |= held[k, j].needed
    _start_afresh(slot, places, places)
    _written(state, slot, k, held, needed)


@operation
def _start_afresh(slot, places, noted):
    slot.held = places
    slot.noted = noted
    slot.salience = INITIAL_SALIENCE
    slot.recalls = 0
    slot.used = 0


@operation
def update(state, slots, held, k, unit, needed):
    """Slot k also holds `unit`, last; its oldest unit drops out when it was full, or all own words at once."""
    slot, width = slots[k], held.shape[1]
    if slot.held == width:
        gone = max(slot.noted, 1)
        for j in range(gone, width):
            held[k, j - gone].unit = held[k, j].unit
            held[k, j - gone].needed = held[k, j].needed
        for j in range(width - gone, width):
            held[k, j].unit = -1
            held[k, j].needed = 0
        slot.used = max(slot.used - gone, 0)
        slot.held = width - gone + 1
        slot.noted = 0
    else:
        slot.held += 1
    held[k, slot.held - 1].unit = unit
    held[k, slot.held - 1].needed = needed
    _written(state, slot, k, held, needed)


@operation
def _written(state, slot, k, held, needed):
    slot.stored_at = state.cursor + 1  # the unit on the desk counts as read once it is stored
    slot.fresh = 1
    state.touched = k
    state.captured |= needed
    holding = np.int32(0)
    for a in range(state.occupied):
        for j in range(held.shape[1]):
            holding |= held[a, j].needed
    state.holding = holding


@operation
def recall(state, slots, held, chain, k, rate):
    """Slot k's content becomes the next link of the chain (own words as -2); being used raises its salience by rate (1 - s)."""
    slot = slots[k]
    for j in range(held.shape[1]):
        chain[state.chain_length, j] = held[k, j].unit if j >= slot.noted else -2
        state.recalled |= held[k, j].needed
    state.chain_length += 1
    slot.recalls += 1
    slot.used = slot.held
    slot.fresh = 0
    slot.salience += np.float32(rate) * (np.float32(1) - slot.salience)
    state.touched = k


@operation
def decay(state, slots, rate):
    """Slots that the step did not touch lose a tenth of `rate` of their salience."""
    keep = np.float32(1.0 - rate / 10.0)
    for k in range(state.occupied):
        if k != state.touched:
            slots[k].salience *= keep


@operation
def reinforce(state, slots, amount):
    """The touched slot's salience moves by `amount` (observer's scores, or the agent's feedback), clipped to [0, 1]."""
    if state.touched >= 0:
        slot = slots[state.touched]
        slot.salience = min(max(slot.salience + np.float32(amount), np.float32(0)), np.float32(1))
