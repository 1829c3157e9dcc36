"""The transition, compiled: what an action means, whether it is legal, what it does, and what the annotated PRM scores it.

Letters as in `engine.kernel`.
"""

from __future__ import annotations

import numpy as np

from reasongym.engine.layout import NO_COMMAND, TOO_LONG
from reasongym.engine.showing import clear_row, open_answers, show_desk, show_link, show_slot, write_tokens
from reasongym.engine.spans import end_illegal, score_span, show_ends, show_starts, start_illegal, unit_in_link
from reasongym.jit import operation, rare_operation
from reasongym.memory.utility import BALANCE
from reasongym.memory.working_memory import decay, recall, store, store_words, update
from reasongym.prm.annotated import entities_of, needed_by, score_answer, score_recall
from reasongym.prm.base import ANSWER, NEXT, RECALL, START, STORE, UPDATE


@operation
def decode(action, slots, starts):
    """(kind, slot, choice) of an action; -1 where there is none. The first `starts` choices start a span."""
    if action == 0:
        return NEXT, -1, -1
    if action <= slots:
        return STORE, action - 1, -1
    if action <= 2 * slots:
        return UPDATE, action - 1 - slots, -1
    if action <= 3 * slots:
        return RECALL, action - 1 - 2 * slots, -1
    choice = action - 1 - 3 * slots
    return (START if choice < starts else ANSWER), -1, choice


@operation
def reason_illegal(c, state, slots, width, links, kind, k):
    """Why an action is illegal, as an index into INVALID_REASONS; 0 = legal (what a span points at is looked at elsewhere)."""
    reading = state.cursor < state.num_units
    if state.span_start >= 0 and kind != ANSWER:
        return 10
    if kind <= UPDATE:
        if not reading:
            return 1
        if kind == STORE and k != state.occupied:
            return 3 if k > state.occupied else (0 if slots[k].store else 4)
        if kind == UPDATE:
            if k >= state.occupied:
                return 5
            if not slots[k].update:
                return 4
            return 0 if slots[k].held < width or slots[k].store else 6
        return 0
    if reading and not c.reason_any:
        return 2
    if kind == RECALL:
        if k >= state.occupied:
            return 7
        if not slots[k].fresh:
            return 8
        if state.chain_length >= links:
            return 9
        return 0 if slots[k].recall else 4
    return 0


@operation
def act(c, t, m, o, r, i, action):
    """Applies an action to environment i: the transition, its scores, and how the episode ended, if it did."""
    state, slots, held, chain = m.state[i], m.slots[i], m.held[i], m.chain[i]
    problem, out = t.problems[state.row], r.outcome[i]
    positions = held.shape[1] * o.unit.shape[1]
    kind, k, choice = decode(action, slots.shape[0], positions if c.span else 0)
    choices = o.action_mask.shape[1] - 1 - 3 * slots.shape[0]  # the next one is a written answer, one more is no command
    out.is_reset = 0
    out.first = state.steps == 0
    out.problem = state.problem
    out.row = state.row
    out.kind = kind
    out.slot = k
    out.answer = choice
    out.terminated = 0
    out.success = 0
    out.out_of_steps = 0
    out.score = 0.0
    out.unit = -1
    out.desk = state.cursor if state.cursor < state.num_units else -1
    scores = r.scores[i]
    clear_row(r.scores, i)
    state.steps += 1
    state.touched = -1
    out.invalid = reason_illegal(c, state, slots, held.shape[1], chain.shape[0], kind, k)
    if c.span and out.invalid == 0 and kind >= ANSWER:
        out.invalid = _span_illegal(c, t, m, i, choice, positions, o.unit.shape[1])
    if choice > choices:
        out.invalid = NO_COMMAND
        out.answer = -1
    elif out.invalid == 0 and kind == STORE and state.words < 0:
        out.invalid = TOO_LONG
    if out.invalid > 0:
        scores[-1] = -1.0
        if c.compiled_prm and problem.num_support < 0:
            scores[0] = np.nan
            scores[2] = np.nan
    elif kind == RECALL:
        if c.compiled_prm:
            score_recall(scores, state, held[k], t.units, t.support, problem)
        if c.annotated:
            state.linked |= entities_of(held[k], t.units, problem)
        recall(state, slots, held, chain, k, c.salience_rate)
        show_link(t, m, o, i, k)
        if c.span:
            show_starts(t, m, o, i)
    elif kind == START:
        state.span_start = choice
        show_ends(c, t, m, o, i)
        if c.compiled_prm and problem.num_support < 0:
            scores[0] = np.nan
            scores[2] = np.nan
    elif kind == ANSWER:
        _answer(c, t, m, r, i, choice, choices, positions, o.unit.shape[1])
    else:
        _read(c, t, m, o, r, i, kind, k)
        if c.compiled_prm and problem.num_support < 0:
            scores[0] = np.nan
            scores[2] = np.nan
    if out.terminated == 0 and state.steps >= state.max_steps:
        out.terminated = 1
        out.out_of_steps = 1
    state.words = 0
    decay(state, slots, c.salience_rate)


@operation
def _answer(c, t, m, r, i, choice, choices, positions, width):
    """Ends the episode with a choice, a span, or (`choice == choices`) the answer that was written."""
    state, out = m.state[i], r.outcome[i]
    problem, scores = t.problems[state.row], r.scores[i]
    if choice == choices:
        if c.span and c.reads_gold:
            out.score = state.written
            out.success = state.written_right
    elif c.span:
        _pointed(c, t, m, r, i, choice - positions, width)
    elif c.reads_gold and choice == problem.gold:
        out.success = 1
        out.score = 1.0
    if c.compiled_prm:
        fits = c.span != 0
        if not fits and choice < choices:
            fits = t.choice_kinds[choice] & problem.answer_kinds != 0
        score_answer(scores, state, out.success, fits, problem)
    out.terminated = 1
    scores[-2] = out.score


@rare_operation
def _span_illegal(c, t, m, i, choice, positions, width):
    """Why START, END or ABSTAIN is illegal."""
    if choice < positions:
        return start_illegal(t, m, i, choice, width)
    if choice < 2 * positions:
        return end_illegal(c, t, m, i, choice - positions, width)
    return 10 if m.state[i].span_start >= 0 else 0


@rare_operation
def _pointed(c, t, m, r, i, p, width):
    """Scores an answer that ends at position p of the last link; p past the last one is ABSTAIN, right where there is none."""
    state, out = m.state[i], r.outcome[i]
    problem, start = t.problems[state.row], state.span_start
    if start < 0:
        if c.reads_gold and problem.num_references == 0:
            out.success = 1
            out.score = 1.0
        return
    out.unit = unit_in_link(t, m, i, p, width)
    out.start = start % width
    out.end = p % width
    if c.reads_gold:
        score, exact = score_span(c, t, r, i, problem, out.unit, out.start, out.end)
        out.score = score
        out.success = exact if c.right_at >= 1.0 else score >= c.right_at


@operation
def _read(c, t, m, o, r, i, kind, k):
    """NEXT, STORE or UPDATE: the desk's unit (or own words instead) goes aside or into slot k, and the next one comes."""
    state, slots, held = m.state[i], m.slots[i], m.held[i]
    problem = t.problems[state.row]
    needed = np.int32(0)
    if c.annotated and (kind != NEXT or c.utility == BALANCE):
        needed = needed_by(t.support, problem, t.units[problem.first_unit + state.cursor].same_as)
        state.seen |= needed
    if kind != NEXT:
        if kind == STORE and state.words > 0:
            _recover(c, t, m, r, i, k)
            store_words(state, slots, held, k, state.words)
        elif kind == STORE:
            store(state, slots, held, k, state.cursor, needed)
        else:
            update(state, slots, held, k, state.cursor, needed)
        show_slot(c, t, m, o, i, k)
    state.cursor += 1
    show_desk(t, m, o, i)
    if state.cursor == state.num_units:
        if c.question_at_end:
            write_tokens(o.question[i], 0, t.question_tokens, problem.question)
        open_answers(c, m, o, i)


@operation
def _recover(c, t, m, r, i, k):
    """Fills the places that own words take in slot k with the units recovered from them."""
    state, held = m.state[i], m.held[i]
    problem = t.problems[state.row]
    for j in range(state.words):
        unit = r.noted[i, j]
        needed = np.int32(0)
        if unit >= 0 and c.annotated:
            needed = needed_by(t.support, problem, t.units[problem.first_unit + unit].same_as)
        held[k, j].unit = unit
        held[k, j].needed = needed
