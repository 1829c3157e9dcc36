"""The state machine: one environment's reset, step and observation, and the loops over a batch.

Everything an environment does is here, written once; `gym.make` runs it for one row, `gym.make_vec` for N. The compiled
operations it composes live with their concepts (`memory`, `prm.annotated`). A step is `act` (transition, scores), then
`settle` (equation (1), salience, gate), then `observe`. With a PRM, utility or gate that is not compiled, Python stands
between `act` and `observe` instead of `settle`.

Letters: c CONFIG record, t Tables, m Memory, o Observation, r Result, i environment, k slot, j unit within a slot.
"""

from __future__ import annotations

import numpy as np

from reasongym.engine.addresses import arrays_of
from reasongym.engine.layout import NO_COMMAND, TOO_LONG
from reasongym.engine.order import problem_at
from reasongym.engine.spans import begins_word_at, end_illegal, score_span, show_ends, show_starts, start_illegal, unit_in_link
from reasongym.jit import operation, popcount, rare_operation
from reasongym.memory.gates import salience_gate
from reasongym.memory.utility import OUTSIDE, compiled_value
from reasongym.memory.working_memory import clear, decay, recall, reinforce, store, store_words, update
from reasongym.prm.annotated import entities_of, needed_by, score_answer, score_recall
from reasongym.prm.base import ANSWER, NEXT, RECALL, START, STORE, UPDATE

OPEN_GATE, SALIENCE_GATE = 0, 1


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


@rare_operation
def reset_one(c, t, m, o, r, i):
    """Begins the episode of environment i: the problem `next_problem`, an empty memory, a cleared observation."""
    state = m.state[i]
    state.problem = state.next_problem
    state.row = t.row_of[state.problem] if t.row_of.shape[0] > 0 else i
    problem = t.problems[state.row]
    state.steps = 0
    state.cursor = 0
    state.num_units = problem.num_units
    state.max_steps = c.max_steps if c.max_steps > 0 else 4 * (problem.num_units + m.slots.shape[1]) + m.chain.shape[1]
    state.ended = 0
    state.span_start = -1
    state.words = 0
    state.episode_return = 0.0
    state.level = 0.0
    state.linked = problem.question_entities if c.annotated else np.uint64(0)
    clear(state, m.slots[i], m.held[i], m.chain[i])
    r.outcome[i].is_reset = 1
    r.outcome[i].gold = problem.gold if c.reads_gold else -1
    _clear_result(r, i)
    clear_block(o.memory, i)
    clear_block(o.memory_positions, i)
    clear_block(o.memory_features, i)
    clear_block(o.chain, i)
    clear_block(o.chain_positions, i)
    clear_row(o.scores, i)
    clear_row(o.scored, i)
    clear_row(o.question, i)
    clear_row(o.action_mask, i)
    clear_row(o.span_start, i)
    if not c.question_at_end or problem.num_units == 0:
        write_tokens(o.question[i], 0, t.question_tokens, problem.question)
    if c.reason_any or problem.num_units == 0:
        _open_answers(c, m, o, i)
    _show_desk(t, m, o, i)
    observe(c, m, o, i)


@operation
def _clear_result(r, i):
    out = r.outcome[i]
    out.terminated = 0
    out.success = 0
    out.out_of_steps = 0
    out.invalid = 0
    out.kind = -1
    out.slot = -1
    out.answer = -1
    out.unit = -1
    out.score = 0.0
    r.reward[i] = 0.0
    clear_row(r.scores, i)
    clear_row(r.terms, i)


@operation
def _open_answers(c, m, o, i):
    """All choices, or (spans) the one that asks for no link of the chain: ABSTAIN."""
    end = o.action_mask.shape[1]
    for a in range(end - 1 if c.span else 1 + 3 * m.slots.shape[1], end):
        o.action_mask[i, a] = 1


@operation
def _show_desk(t, m, o, i):
    state = m.state[i]
    if state.cursor < state.num_units:
        unit = t.units[t.problems[state.row].first_unit + state.cursor]
        write_tokens(o.unit[i], 0, t.unit_tokens, unit.sentence)
    else:
        clear_row(o.unit, i)


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
        _show_link(t, m, o, i, k)
        if c.span:
            show_starts(t, m, o, i)
    elif kind == START:
        state.span_start = choice
        show_ends(c, t, m, o, i)
        if c.compiled_prm and problem.num_support < 0:
            scores[0] = np.nan
            scores[2] = np.nan
    elif kind == ANSWER:
        if choice == choices:
            if c.span and c.reads_gold:
                out.score = state.written
                out.success = state.written_right
        elif c.span:
            _pointed(c, t, m, r, i, choice - positions, o.unit.shape[1])
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
    if kind != NEXT:
        unit = t.units[problem.first_unit + state.cursor]
        needed = needed_by(t.support, problem, unit.same_as) if c.annotated else np.int32(0)
        if kind == STORE and state.words > 0:
            _recover(c, t, m, r, i, k)
            store_words(state, slots, held, k, state.words)
        elif kind == STORE:
            store(state, slots, held, k, state.cursor, needed)
        else:
            update(state, slots, held, k, state.cursor, needed)
        _show_slot(c, t, m, o, i, k)
    state.cursor += 1
    _show_desk(t, m, o, i)
    if state.cursor == state.num_units:
        if c.question_at_end:
            write_tokens(o.question[i], 0, t.question_tokens, problem.question)
        _open_answers(c, m, o, i)


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


@operation
def _show_slot(c, t, m, o, i, k):
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
def _show_link(t, m, o, i, k):
    state, held = m.state[i], m.held[i]
    first, width, h = t.problems[state.row].first_unit, o.unit.shape[1], state.chain_length - 1
    for j in range(held.shape[1]):
        unit = held[k, j].unit
        if unit >= 0:
            write_tokens(o.chain[i, h], j * width, t.unit_tokens, t.units[first + unit].sentence)
            o.chain_positions[i, h, j] = (unit + 1) / state.num_units


@operation
def settle(c, t, m, o, r, i):
    """Equation (1) for compiled parts: utility, weighted terms, reward; then the gate."""
    state = m.state[i]
    scores, terms = r.scores[i], r.terms[i]
    total = 0.0
    for j in range(scores.shape[0]):
        term = np.float32(c.beta[j] * scores[j]) if scores[j] == scores[j] else np.float32(0)
        terms[j] = term
        total += term
    g = np.float32(compiled_value(c.utility, state, m.slots[i], t.problems[state.row].num_support))
    term = np.float32(c.utility_weight * g) if g == g else np.float32(0)
    terms[-1] = term
    r.reward[i] = total + term


@operation
def conclude(c, t, m, r, i):
    """Books the step: the episode's return and length, and its end when it is one."""
    state, out = m.state[i], r.outcome[i]
    state.episode_return += r.reward[i]
    out.length = state.steps
    out.episode_return = state.episode_return
    if out.terminated:
        end_episode(c, t, m, r, i)


@rare_operation
def end_episode(c, t, m, r, i):
    """Books the end of an episode: the memory's rates, and the next problem."""
    state, out = m.state[i], r.outcome[i]
    problem = t.problems[state.row]
    n = problem.num_support if c.annotated else -1
    captured, holding, recalled = popcount(state.captured), popcount(state.holding), popcount(state.recalled)
    out.proved = n > 0 and recalled == n
    out.capture = captured / n if n > 0 else np.nan
    out.retention = holding / captured if n > 0 and captured > 0 else np.nan
    out.retrieval = popcount(state.recalled & state.holding) / holding if n > 0 and holding > 0 else np.nan
    out.use = out.success if out.proved else np.nan
    out.evidence_recall = recalled / n if n > 0 else np.nan
    state.ended = 1
    state.episode += 1
    state.next_problem = problem_at(state.seed, state.stream, state.episode, c.num_problems)


@operation
def observe(c, m, o, i):
    """Writes what follows from the state: slot features, progress, and the mask of legal actions."""
    state, slots = m.state[i], m.slots[i]
    if c.gate == SALIENCE_GATE:
        salience_gate(state, slots)
    for k in range(state.occupied):
        _observe_slot(c, m, o, i, k)
    _observe_progress(m, o, i)


@operation
def changes_all(c, m, i, kind):
    """Whether a step may have changed every slot's legality: always with a gate; else as the text ends or the chain is full."""
    state = m.state[i]
    if c.gate != OPEN_GATE:
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


def reset_rows(p, token, mask, lo, hi):
    """Begins an episode in every environment of [lo, hi) that `mask` names."""
    c, t, m, o, r = arrays_of(p, token)
    for i in range(lo, hi):
        if mask[i]:
            reset_one(c[0], t, m, o, r, i)


def step_rows(p, token, actions, lo, hi):
    """A whole step of the environments [lo, hi) with compiled parts only; returns how many episodes ended.

    An environment whose episode had ended is reset instead (next-step autoreset).
    """
    c, t, m, o, r = arrays_of(p, token)
    ended = 0
    for i in range(lo, hi):
        if m.state[i].ended:
            reset_one(c[0], t, m, o, r, i)
            continue
        act(c[0], t, m, o, r, i, actions[i])
        settle(c[0], t, m, o, r, i)
        conclude(c[0], t, m, r, i)
        if changes_all(c[0], m, i, r.outcome[i].kind):
            observe(c[0], m, o, i)
        else:
            observe_change(c[0], m, o, i)
        ended += r.outcome[i].terminated
    return ended


def act_rows(p, token, actions, lo, hi):
    """`act` for [lo, hi), and the compiled utility (raw, in the last column of `terms`)."""
    c, t, m, o, r = arrays_of(p, token)
    for i in range(lo, hi):
        if m.state[i].ended:
            reset_one(c[0], t, m, o, r, i)
            continue
        act(c[0], t, m, o, r, i, actions[i])
        if c[0].utility != OUTSIDE:
            num_support = t.problems[m.state[i].row].num_support if c[0].annotated else -1
            r.terms[i, -1] = compiled_value(c[0].utility, m.state[i], m.slots[i], num_support)


def observe_rows(p, token, lo, hi):
    """Closes a step that Python has scored; returns how many episodes ended."""
    c, t, m, o, r = arrays_of(p, token)
    ended = 0
    for i in range(lo, hi):
        if r.outcome[i].is_reset:
            continue
        conclude(c[0], t, m, r, i)
        observe(c[0], m, o, i)
        ended += r.outcome[i].terminated
    return ended


def feedback_rows(p, token, amount, lo, hi):
    """Moves the slots touched by the last step by `amount` (N,) of salience, and shows it."""
    c, t, m, o, r = arrays_of(p, token)
    for i in range(lo, hi):
        if not m.state[i].ended:
            reinforce(m.state[i], m.slots[i], amount[i])
            observe(c[0], m, o, i)


def cut_rows(p, token, mask, lo, hi):
    """Ends the episodes that `mask` names from outside."""
    c, t, m, o, r = arrays_of(p, token)
    for i in range(lo, hi):
        if mask[i]:
            end_episode(c[0], t, m, r, i)


def order_rows(p, token, mask, lo, hi):
    """Looks up the problem of each environment's current (seed, stream, episode)."""
    c, t, m, o, r = arrays_of(p, token)
    for i in range(lo, hi):
        if mask[i]:
            state = m.state[i]
            state.next_problem = problem_at(state.seed, state.stream, state.episode, c[0].num_problems)


def best_span_rows(p, token, row, units, found, lo, hi):
    """Writes each unit's best span as an answer to the problem in `row` to found[j]: score, first and last token."""
    c, t, m, o, r = arrays_of(p, token)
    problem = t.problems[row]
    for j in range(lo, hi):
        found[j, 0] = -1.0
        for first in range(t.texts[units[j]].length):
            if begins_word_at(t, units[j], first):
                for last in range(first, min(first + c[0].max_length + 1, t.texts[units[j]].length)):
                    if begins_word_at(t, units[j], last):
                        score, exact = score_span(c[0], t, r, 0, problem, units[j], first, last)
                        shorter = last - first < found[j, 2] - found[j, 1]
                        if score > found[j, 0] or (score == found[j, 0] and shorter):
                            found[j, 0] = score
                            found[j, 1] = first
                            found[j, 2] = last


ENTRY_POINTS = (reset_rows, step_rows, act_rows, observe_rows, feedback_rows, cut_rows, order_rows, best_span_rows)
