"""The state machine: one environment's reset and step, and the loops over a batch.

Everything an environment does is compiled, written once; `gym.make` runs it for one row, `gym.make_vec` for N. A step is `act`
(`engine.transition`: what the action does, its scores), then `settle` (equation (1)), then `observe` (`engine.showing`: gate
and observation). With a PRM, utility or gate that is not compiled, Python stands between `act` and `observe` instead of
`settle`. The operations that they compose live with their concepts (`memory`, `prm.annotated`).

Letters: c CONFIG record, t Tables, m Memory, o Observation, r Result, i environment, k slot, j unit within a slot.
"""

from __future__ import annotations

import numpy as np

from reasongym.engine.addresses import arrays_of
from reasongym.engine.order import problem_at
from reasongym.engine.showing import (
    changes_all,
    clear_block,
    clear_row,
    observe,
    observe_change,
    open_answers,
    show_desk,
    write_tokens,
)
from reasongym.engine.spans import begins_word_at, score_span
from reasongym.engine.transition import act
from reasongym.jit import operation, popcount, rare_operation
from reasongym.memory.utility import OUTSIDE, compiled_value
from reasongym.memory.working_memory import clear, reinforce


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
        open_answers(c, m, o, i)
    show_desk(t, m, o, i)
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
