"""Span answers, compiled: which tokens may be pointed at, and what the words pointed at score.

Letters as in `engine.kernel`; beside them: p position within a link of the chain (unit j = p // Lu, token a = p % Lu of it).
The words of a span are compared as hashes (`engine.pieces`). Nothing is allocated: `Result.found` and `Result.lengths` have
room for one span an environment.
"""

from __future__ import annotations

import numpy as np

from reasongym.engine.pieces import ARTICLE_HASHES, F1, FLAGS, GLUED, MOST_TOKENS, SYMBOL
from reasongym.jit import operation, rare_operation

A, AN, THE = (np.uint64(value) for value in ARTICLE_HASHES)


@operation
def begins_word_at(t, row, a):
    """Whether token a of unit `row` exists and begins a word."""
    return a < t.texts[row].length and t.tokens[t.texts[row].token + a].begins != 0


@rare_operation
def span_tokens(t, row, first, last, metric, out, i):
    """Writes the hashes of a span's tokens after normalisation to out[i]; returns how many (at most MOST_TOKENS).

    The span runs from token `first` to the end of the word that token `last` begins.
    """
    text = t.texts[row]
    stop = last + 1
    while stop < text.length and t.tokens[text.token + stop].begins == 0:
        stop += 1
    lo, hi = t.tokens[text.token + first].piece, t.tokens[text.token + stop].piece
    count = 0
    whole, run, power = np.uint64(0), np.uint64(0), np.uint64(1)  # the token so far; the letters at its end
    some, letters = False, False
    for p in range(lo, hi + 1):  # one more than there are pieces, to end the last token
        code, flags, last_one = 0, 0, p == hi
        if not last_one:
            code = t.pieces[text.piece + p]
            flags = code % FLAGS
        parted = last_one or (not flags & GLUED and p > lo)
        if letters and (parted or flags & SYMBOL):  # the letters end
            if metric == F1 and (run == A or run == AN or run == THE):  # noqa: SIM109  (numba): an article goes, and parts
                if some and count < MOST_TOKENS:
                    out[i, count] = whole
                    count += 1
                whole, some = np.uint64(0), False
            else:
                whole, some = whole * power + run, True
            run, power, letters = np.uint64(0), np.uint64(1), False
        if some and parted:
            if count < MOST_TOKENS:
                out[i, count] = whole
                count += 1
            whole, some = np.uint64(0), False
        if not last_one:
            word = t.words[code // FLAGS]
            if flags & SYMBOL:
                whole, some = whole * word.power + word.hash, True
            else:
                run, power, letters = run * word.power + word.hash, power * word.power, True
    return count


@rare_operation
def token_f1(found, i, count, wanted, first, number):
    """F1 of `count` tokens found[i] against `number` tokens of a reference, as multisets; 1 where both are empty."""
    if count == 0 or number == 0:
        return 1.0 if count == number else 0.0
    same = 0
    for a in range(number):  # a-th occurrence in the reference is matched if the span has at least as many
        rank, seen = 0, 0
        for b in range(a):
            rank += wanted[first + b] == wanted[first + a]
        for b in range(count):
            seen += found[i, b] == wanted[first + a]
        same += seen > rank
    return 2.0 * same / (count + number)


@rare_operation
def rouge_l(found, i, count, wanted, first, number, row):
    """F measure of the longest common subsequence of `count` tokens found[i] and a reference; 0 where one is empty."""
    if count == 0 or number == 0:
        return 0.0
    for b in range(number + 1):
        row[i, b] = 0
    for a in range(count):
        corner = np.int16(0)
        for b in range(number):
            above = row[i, b + 1]
            if found[i, a] == wanted[first + b]:
                row[i, b + 1] = corner + 1
            else:
                row[i, b + 1] = max(above, row[i, b])
            corner = above
    return 2.0 * row[i, number] / (count + number)


@rare_operation
def same_tokens(found, i, count, wanted, first, number):
    """Whether the tokens are those of the reference, in order."""
    if count != number:
        return False
    same = True
    for b in range(number):
        same &= found[i, b] == wanted[first + b]
    return same


@rare_operation
def score_span(c, t, r, i, problem, row, first, last):
    """(score, exact) of a span of unit `row` against the problem's references: the best of them; () reads as an empty one."""
    count = span_tokens(t, row, first, last, c.metric, r.found, i)
    if problem.num_references == 0:
        empty = count == 0 and c.metric == F1
        return (1.0 if empty else 0.0), empty
    best, exact = 0.0, False
    for b in range(problem.num_references):
        reference = t.references[problem.references + b]
        if c.metric == F1:
            score = token_f1(r.found, i, count, t.wanted, reference.first, reference.number)
        else:
            score = rouge_l(r.found, i, count, t.wanted, reference.first, reference.number, r.lengths)
        best = max(best, score)
        exact |= same_tokens(r.found, i, count, t.wanted, reference.first, reference.number)
    return best, exact


@operation
def unit_in_link(t, m, i, p, width):
    """Row of the unit that position p of the last link lies in, -1 where there is none."""
    state = m.state[i]
    if state.chain_length == 0:
        return -1
    unit = m.chain[i, state.chain_length - 1, p // width]
    return t.units[t.problems[state.row].first_unit + unit].sentence if unit >= 0 else -1


@rare_operation
def start_illegal(t, m, i, p, width):
    """Why an answer may not start at position p, as an index into INVALID_REASONS; 0 = it may."""
    if m.state[i].chain_length == 0:
        return 11
    row = unit_in_link(t, m, i, p, width)
    return 0 if row >= 0 and begins_word_at(t, row, p % width) else 12


@rare_operation
def end_illegal(c, t, m, i, p, width):
    """Why an answer may not end with the word at position p."""
    start = m.state[i].span_start
    if start < 0:
        return 13
    if p < start or p // width != start // width or p - start > c.max_length:
        return 14
    row = unit_in_link(t, m, i, p, width)
    return 0 if row >= 0 and begins_word_at(t, row, p % width) else 12


@rare_operation
def show_starts(t, m, o, i):
    """Opens the tokens of the last link at which an answer may start; closes all others."""
    width, first = o.unit.shape[1], 1 + 3 * m.slots.shape[1]
    positions = m.held.shape[2] * width
    for p in range(positions):
        row = unit_in_link(t, m, i, p, width)
        o.action_mask[i, first + p] = row >= 0 and begins_word_at(t, row, p % width)


@rare_operation
def show_ends(c, t, m, o, i):
    """After START only the ENDs are open: of the same unit, not before it, within the greatest length."""
    width, first = o.unit.shape[1], 1 + 3 * m.slots.shape[1]
    positions, start = m.held.shape[2] * width, m.state[i].span_start
    for a in range(o.action_mask.shape[1]):
        o.action_mask[i, a] = 0
    row = unit_in_link(t, m, i, start, width)
    last = min(start + c.max_length + 1, (start // width + 1) * width)
    for p in range(start, last):
        o.action_mask[i, first + positions + p] = begins_word_at(t, row, p % width)
    o.span_start[i, 0] = 1.0
    o.span_start[i, 1] = (start + 1) / positions
