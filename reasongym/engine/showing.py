"""The observation, compiled: what an environment writes of its state into the arrays that agents see.

Letters as in `engine.kernel`.
"""

from __future__ import annotations

import numpy as np

from reasongym.jit import operation
from reasongym.memory.gates import OPEN, SALIENCE, salience_gate
from reasongym.prm.base import RECALL, UPDATE


@operation
def clear_row(array, i):
    """Zeroes array[i], (n, a)."""
    for a in range(array.shape[1]):
        array[i, a] = 0


@operation
def clear_block(array, i):
    """Zeroes array[i], (n, a, b)."""
    for a in range(array.shape[1]):
        for b in range(array.shape[2]):
            array[i, a, b] = 0


@operation
def write_tokens(out, start, table, row):
    """Copies a row of a token table to out[start : start + width]."""
    for a in range(table.shape[1]):
        out[start + a] = table[row, a]


@operation
def open_answers(c, m, o, i):
    """All choices, or (spans) the one that asks for no link of the chain: ABSTAIN."""
    end = o.action_mask.shape[1]
    for a in range(end - 1 if c.span else 1 + 3 * m.slots.shape[1], end):
        o.action_mask[i, a] = 1


@operation
def show_desk(t, m, o, i):
    state = m.state[i]
    if state.cursor < state.num_units:
        unit = t.units[t.problems[state.row].first_unit + state.cursor]
        write_tokens(o.unit[i], 0, t.unit_tokens, unit.sentence)
    else:
        clear_row(o.unit, i)


@operation
def show_slot(c, t, m, o, i, k):
    state, held = m.state[i], m.held[i]
    first, width = t.problems[state.row].first_unit, o.unit.shape[1]
    for j in range(held.shape[1]):
        unit = held[k, j].unit
        o.memory_positions[i, k, j] = (unit + 1) / state.num_units if unit >= 0 else 0.0
        if not c.view_recalled:
            if unit >= 0:
                write_tokens(o.memory[i, k], j * width, t.unit_tokens, t.units[first + unit].sentence)
            else:
                for a in range(j * width, (j + 1) * width):
                    o.memory[i, k, a] = 0


@operation
def show_link(t, m, o, i, k):
    state, held = m.state[i], m.held[i]
    first, width, h = t.problems[state.row].first_unit, o.unit.shape[1], state.chain_length - 1
    for j in range(held.shape[1]):
        unit = held[k, j].unit
        if unit >= 0:
            write_tokens(o.chain[i, h], j * width, t.unit_tokens, t.units[first + unit].sentence)
            o.chain_positions[i, h, j] = (unit + 1) / state.num_units


@operation
def observe(c, m, o, i):
    """Writes what follows from the state: slot features, progress, and the mask of legal actions."""
    state, slots = m.state[i], m.slots[i]
    if c.gate == SALIENCE:
        salience_gate(state, slots)
    for k in range(state.occupied):
        _observe_slot(c, m, o, i, k)
    _observe_progress(m, o, i)


@operation
def changes_all(c, m, i, kind):
    """Whether a step may have changed every slot's legality: always with a gate; else as the text ends or the chain is full."""
    state = m.state[i]
    if c.gate != OPEN:
        return True
    if kind == RECALL:
        return state.chain_length == m.chain.shape[1]
    return kind <= UPDATE and state.cursor == state.num_units


@operation
def observe_change(c, m, o, i):
    """`observe` for a step that left the other slots' legality alone: ages, saliences, and the slot touched."""
    state, slots, features = m.state[i], m.slots[i], o.memory_features[i]
    units = np.float32(max(state.num_units, 1))
    for k in range(state.occupied):
        features[k, 1] = np.float32(state.cursor - slots[k].stored_at) / units
        features[k, 2] = slots[k].salience
    if state.touched >= 0:
        _observe_slot(c, m, o, i, state.touched)
    _observe_progress(m, o, i)


@operation
def _observe_slot(c, m, o, i, k):
    """Features and legality of one occupied slot."""
    state, slot, row, mask = m.state[i], m.slots[i, k], o.memory_features[i, k], o.action_mask[i]
    num_slots, width, links = m.slots.shape[1], m.held.shape[2], m.chain.shape[1]
    reading = state.cursor < state.num_units
    reasoning = c.reason_any or not reading
    row[0] = 1.0
    row[1] = np.float32(state.cursor - slot.stored_at) / np.float32(max(state.num_units, 1))
    row[2] = slot.salience
    row[3] = min(slot.recalls / links, 1.0) if links > 0 else 0.0
    row[4] = slot.store
    row[5] = slot.update
    row[6] = slot.recall
    if state.span_start >= 0:
        return
    mask[1 + k] = reading and slot.store
    mask[1 + num_slots + k] = reading and slot.update and (slot.held < width or slot.store)
    mask[1 + 2 * num_slots + k] = reasoning and slot.recall and slot.fresh and state.chain_length < links


@operation
def _observe_progress(m, o, i):
    """Progress, and legality of what concerns no occupied slot."""
    state, num_slots, progress = m.state[i], m.slots.shape[1], o.progress[i]
    reading = state.cursor < state.num_units
    if state.span_start < 0:
        o.action_mask[i, 0] = reading
        if state.occupied < num_slots:
            o.action_mask[i, 1 + state.occupied] = reading
    progress[0] = state.cursor / state.num_units if state.num_units > 0 else 1.0
    progress[1] = 1.0 - state.steps / state.max_steps
    progress[2] = reading
    progress[3] = state.occupied == num_slots
