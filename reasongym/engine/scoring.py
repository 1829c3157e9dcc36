"""A step's part that is not compiled: PRM objects, observers, utilities and gates that are Python, called once for all N.

Axes as in `prm.base`. Rows that were reset instead of stepped are left out of every call.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reasongym.engine.layout import Memory, Observation, Result, Tables
from reasongym.engine.notes import Notes, StepTexts, own_rows, own_text_keys, written_rows
from reasongym.engine.settings import Settings
from reasongym.engine.solved import ASKED, Solved
from reasongym.engine.table import ProblemTable
from reasongym.memory.gates import Gate
from reasongym.memory.utility import OUTSIDE, utility_code
from reasongym.prm.base import ANSWER, Annotation, ProcessRewardModel, StepBatch, carry_size, checked_scores
from reasongym.types import MAX_SUPPORT, MemoryView

CACHE_LIMIT = 200_000
"""Most scores that a cache keeps; the oldest half is dropped when it is full."""


class Before(NamedTuple):
    """What a step changes, as it was before."""

    units: np.ndarray
    needed: np.ndarray
    recalled: np.ndarray
    linked: np.ndarray
    cursor: np.ndarray
    noted: np.ndarray
    words: tuple[np.ndarray, np.ndarray] | None  # what own words say, and where they were written


class Model:
    """A PRM with what the engine keeps for it: its carry, and a cache of scores by version and visible content."""

    def __init__(self, prm: ProcessRewardModel, n: int) -> None:
        self.prm = prm
        size = carry_size(prm)
        self.carry = np.zeros((n, size)) if size else None
        self._version = prm.version
        self._cache: dict[bytes, np.ndarray] | None = {} if getattr(prm, "cacheable", not size) else None

    def score(self, steps: StepBatch, rows: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """(values, weights) of the steps, which are those of the environments `rows`."""
        if self.carry is not None:
            carry = self.carry[rows]
            carry[first] = 0
            object.__setattr__(steps, "carry", carry)
            result = checked_scores(self.prm, self.prm.score(steps), len(steps))
            self.carry[rows] = carry
            return result
        if self._cache is None:
            return checked_scores(self.prm, self.prm.score(steps), len(steps))
        return self._cached(steps, self._cache)

    def forget(self) -> None:
        """Empties the cache: texts have other numbers now."""
        if self._cache is not None:
            self._cache.clear()

    def _cached(self, steps: StepBatch, cache: dict[bytes, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        if self.prm.version != self._version:
            self._version = self.prm.version
            cache.clear()
        keys = content_keys(steps, with_problem=self.prm.needs_annotation)
        missing = [i for i, key in enumerate(keys) if key not in cache]
        if missing:
            values, weights = checked_scores(self.prm, self.prm.score(steps.select(np.array(missing))), len(missing))
            weights = np.ones_like(values) if weights is None else weights
            if len(cache) + len(missing) > CACHE_LIMIT:
                for key in list(cache)[: CACHE_LIMIT // 2]:
                    if key not in keys:
                        del cache[key]
            for i, value, weight in zip(missing, values, weights, strict=True):
                cache[keys[i]] = np.stack([value, weight])
        both = np.stack([cache[key] for key in keys])
        return both[:, 0], both[:, 1]


def content_keys(steps: StepBatch, *, with_problem: bool) -> list[bytes]:
    """For each step the bytes of all that a PRM is shown of it; the problem itself where it needs annotation."""
    n = len(steps)
    texts = [steps.desk, steps.memory_before, steps.memory_after, steps.chain]
    texts += [] if steps.written is None else [steps.written]
    columns = [np.concatenate([np.asarray(column, np.int32).reshape(n, -1) for column in texts], axis=1)]
    said = [b""] * n
    if steps.own_words:
        columns[0], said = own_text_keys(steps, columns[0])
    columns += [steps.kind, steps.slot, steps.choice, steps.illegal, steps.question, steps.units_read, steps.num_units]
    columns += [steps.positions_before, steps.positions_after, steps.chain_positions, steps.chain_length, steps.terminated]
    columns += [] if steps.span is None else [steps.span]
    block = np.concatenate([np.asarray(column, np.int32).reshape(n, -1) for column in columns], axis=1)
    if with_problem:
        block = np.concatenate([block, steps.problem.astype(np.int64).reshape(n, 1).view(np.int32)], axis=1)
    data, width = block.tobytes(), block.shape[1] * 4
    return [data[i * width : (i + 1) * width] + said[i] for i in range(n)]


class Scorer:
    """Scores the steps of a batch in Python, between the kernels `act_rows` and `observe_rows`.

    Attributes:
        last: the steps that were scored last, and whose they are; None before the first.
    """

    def __init__(self, settings: Settings, table: ProblemTable, n: int) -> None:
        self._table = table
        self.notes: Notes | None = None
        self.last: tuple[StepBatch, np.ndarray] | None = None
        self.models = [Model(settings.model, n)]
        if settings.observer_model is not None:
            self.models.append(Model(settings.observer_model, n))
        self._generation = table.generation
        self._compiled_utility = utility_code(settings.utility) != OUTSIDE
        self._solved: Solved | None = None
        if isinstance(settings.utility, str) and settings.utility in ASKED:
            self._solved = Solved(settings.utility, table.source)
        self._shows_annotation = settings.model.needs_annotation and not settings.compiled_prm
        self.weigh(settings)

    def weigh(self, settings: Settings, asked: bool = True) -> None:
        """Pays what these settings say, the batch's but for β and the utility's weight; `asked`: whether the PRM is, too."""
        self._settings, self._asked = settings, asked
        self._betas = np.array([settings.weights[c] for c in settings.criteria])

    def before(self, m: Memory) -> Before:
        """Copies what the step will change."""
        s = m.state
        return Before(
            m.held["unit"].copy(),
            m.held["needed"].copy(),
            s["recalled"].copy(),
            s["linked"].copy(),
            s["cursor"].copy(),
            m.slots["noted"].copy(),
            None if self.notes is None else (self.notes.slots.copy(), self.notes.slots_at.copy()),
        )

    def after(self, t: Tables, m: Memory, o: Observation, r: Result, before: Before) -> None:
        """Fills scores, terms and rewards, and what the observer's scores move."""
        rows = np.flatnonzero(r.outcome["is_reset"] == 0)
        if not len(rows):
            return
        if self._table.generation != self._generation:
            self._generation = self._table.generation
            for model in self.models:
                model.forget()
        steps = self._steps(t, m, r, before, rows)
        self.last = (steps, rows)
        first = r.outcome["first"][rows].astype(bool)
        self._reward(t, m, r, steps, rows, first)
        if len(self.models) > 1:
            self._observe(m, o, steps, rows, first)
        if isinstance(self._settings.gate, Gate):
            self._close(t, m, rows)

    def _reward(self, t: Tables, m: Memory, r: Result, steps: StepBatch, rows: np.ndarray, first: np.ndarray) -> None:
        """Equation (1): R = sum_i beta_i PRM_i + gamma g."""
        k = len(self._settings.model.criteria)
        weights = None
        if not self._settings.compiled_prm and not self._asked:
            r.scores[rows, :k] = np.nan
        elif not self._settings.compiled_prm:
            shown = steps if self._settings.model.needs_annotation else _plain(steps)
            values, weights = self.models[0].score(shown, rows, first)
            r.scores[rows, :k] = values
        scores = np.nan_to_num(r.scores[rows].astype(np.float64))
        terms = self._betas * scores
        if weights is not None:
            terms[:, :k] *= weights
        r.terms[rows, :-1] = terms.astype(np.float32)
        if self._compiled_utility:
            g = r.terms[rows, -1].astype(np.float64)
        else:
            g = self._utility(t, m, rows, first)
        r.terms[rows, -1] = np.nan_to_num(self._settings.utility_weight * g).astype(np.float32)
        total = np.zeros(len(rows))
        for column in r.terms[rows].T:
            total += column
        r.reward[rows] = total

    def _observe(self, m: Memory, o: Observation, steps: StepBatch, rows: np.ndarray, first: np.ndarray) -> None:
        values, _ = self.models[1].score(_plain(steps), rows, first)
        scored = ~np.isnan(values)
        o.scores[rows] = np.where(scored, values, 0)
        o.scored[rows] = scored
        count = scored.sum(1)
        mean = np.where(scored, values, 0).sum(1) / np.maximum(count, 1)
        slot = m.state["touched"][rows]
        touched = slot >= 0
        here, slot = rows[touched], slot[touched]
        moved = m.slots["salience"][here, slot] + np.float32(self._settings.salience_rate) * mean[touched].astype(np.float32)
        m.slots["salience"][here, slot] = np.clip(moved, 0, 1)

    def _close(self, t: Tables, m: Memory, rows: np.ndarray) -> None:
        masks = np.asarray(self._settings.gate.masks(self._view(t, m, rows, with_support=False)))
        expected = (len(rows), 3, m.slots.shape[1])
        if masks.shape != expected or masks.dtype != bool:
            raise ValueError(
                f"gate.masks returned {masks.dtype} of shape {masks.shape}, expected bool of shape {expected}: "
                "(environments, store / update / recall, slots)"
            )
        for column, name in enumerate(("store", "update", "recall")):
            m.slots[name][rows] = masks[:, column]

    def _utility(self, t: Tables, m: Memory, rows: np.ndarray, first: np.ndarray) -> np.ndarray:
        utility = self._settings.utility
        view = self._view(t, m, rows, with_support=getattr(utility, "needs_annotation", False))
        if self._solved is None:
            value = np.asarray(utility.value(view), np.float64)
            if value.shape != (len(rows),) or np.isinf(value).any():
                raise ValueError(f"utility.value returned {value!r}, expected {len(rows)} finite numbers (NaN: unscored)")
            return value
        level = np.array(
            [self._solved.level(*row) for row in zip(view.problem.tolist(), view.units, view.units_read.tolist(), strict=True)]
        )
        nothing = np.zeros(0, np.int32)
        m.state["level"][rows[first]] = [self._solved.level(problem, nothing, 0) for problem in view.problem[first].tolist()]
        change = level - m.state["level"][rows]
        m.state["level"][rows] = level
        return change

    def _view(self, t: Tables, m: Memory, rows: np.ndarray, *, with_support: bool) -> MemoryView:
        state, slots = m.state[rows], m.slots[rows]
        units = np.maximum(m.held["unit"][rows], -1)
        m_support = t.problems["num_support"][state["row"]]
        return MemoryView(
            units=units,
            sentences=_sentences(t, state["row"], units),
            salience=slots["salience"],
            recalls=slots["recalls"],
            stored_at=slots["stored_at"],
            units_read=state["cursor"],
            num_units=state["num_units"],
            chain_length=state["chain_length"],
            problem=state["problem"],
            _support=(m_support, state["holding"]) if with_support else None,
        )

    def _steps(self, t: Tables, m: Memory, r: Result, before: Before, rows: np.ndarray) -> StepBatch:
        state, out = m.state[rows], r.outcome[rows]
        row, cursor = state["row"], before.cursor[rows]
        hidden = (self._settings.question_at == "end") & (cursor < state["num_units"])
        units = [before.units[rows], m.held["unit"][rows], m.chain[rows].astype(np.int32)]
        shown, places = [_sentences(t, row, held) for held in units], [held.astype(np.int16) for held in units]
        said = StepTexts(self._table.sentences.texts, t.unit_tokens, self._table.source)
        written = None if self.notes is None else self._own_words(said, self.notes, m, r, before, rows, shown, places)
        sentences, tokens, own_words = said.tables()
        return StepBatch(
            sentences=sentences,
            sentence_tokens=tokens,
            own_words=own_words,
            memory_before=shown[0],
            memory_after=shown[1],
            chain=shown[2],
            positions_before=places[0],
            positions_after=places[1],
            chain_positions=places[2],
            written=written,
            questions=self._table.questions.texts,
            choices=self._table.source.choices,
            question_tokens=t.question_tokens,
            kind=out["kind"],
            slot=out["slot"],
            choice=out["answer"],
            span=np.stack([np.where(out["unit"] < 0, -1, out[name]) for name in ("unit", "start", "end")], 1).astype(np.int32),
            span_text=self._table.text_between,
            illegal=out["invalid"] > 0,
            question=np.where(hidden, -1, t.problems["question"][row]),
            desk=_sentences(t, row, out["desk"].astype(np.int32)),
            units_read=state["cursor"],
            num_units=state["num_units"],
            chain_length=state["chain_length"],
            terminated=out["terminated"].astype(bool),
            problem=state["problem"],
            _annotation=self._annotation(t, m, r, before, rows) if self._shows_annotation else None,
        )

    def _own_words(
        self, said: StepTexts, notes: Notes, m: Memory, r: Result, before: Before, rows: np.ndarray,
        shown: list[np.ndarray], places: list[np.ndarray],
    ) -> np.ndarray:  # fmt: skip
        """Puts own words into memory and chain; returns the rows of what replies say instead of an action or a choice."""
        words, at = before.words or (notes.slots, notes.slots_at)
        said.put(shown[0], places[0], before.noted[rows], words[rows], at[rows])
        said.put(shown[1], places[1], m.slots["noted"][rows], notes.slots[rows], notes.slots_at[rows])
        said.put(shown[2], places[2], own_rows(m.chain[rows]), notes.links[rows], notes.links_at[rows])
        choices = len(self._table.source.choices) or 2 * m.held.shape[2] * self._table.sentences.tokens.shape[1] + 1
        return written_rows(said, r.outcome[rows], choices, ANSWER, notes.reply[rows])

    def _annotation(self, t: Tables, m: Memory, r: Result, before: Before, rows: np.ndarray) -> Annotation:
        state, out = m.state[rows], r.outcome[rows]
        problems = t.problems[state["row"]]
        count = problems["num_support"]
        prerequisites = np.zeros((len(rows), MAX_SUPPORT), np.int32)
        for b in range(max(count.max(initial=0), 0)):
            has = count > b
            prerequisites[has, b] = t.support["prerequisites"][problems["support"][has] + b]
        old = before.units[rows]
        where = problems["first_unit"][:, None, None] + np.maximum(old, 0)
        superseded_by = t.units["superseded_by"][where]
        desk = t.units["same_as"][problems["first_unit"] + np.maximum(out["desk"], 0)]
        needed_desk = np.zeros(len(rows), np.int32)
        for b in range(max(count.max(initial=0), 0)):
            at = problems["support"] + np.where(count > b, b, 0)
            needed_desk |= ((count > b) & (out["desk"] >= 0) & (t.support["same_as"][at] == desk)).astype(np.int32) << b
        return Annotation(
            gold=problems["gold"],
            right=out["success"].astype(bool),
            answer_kinds=problems["answer_kinds"],
            choice_kinds=t.choice_kinds,
            num_support=count,
            prerequisites=prerequisites,
            units_before=np.maximum(old, -1),
            needed_before=before.needed[rows],
            needed_after=m.held["needed"][rows],
            superseded=(old >= 0) & (superseded_by >= 0) & (superseded_by < before.cursor[rows][:, None, None]),
            recalled_before=before.recalled[rows],
            recalled_after=state["recalled"],
            entities=np.where(old >= 0, t.units["entities"][where], np.uint64(0)),
            linked_before=before.linked[rows],
            needed_desk=needed_desk,
        )


def _plain(steps: StepBatch) -> StepBatch:
    """The same steps for a PRM that may not see annotation."""
    if steps._annotation is None and steps.carry is None:
        return steps
    columns = {name: value for name, value in vars(steps).items() if name not in ("_annotation", "carry")}
    return StepBatch(**columns)


def _sentences(t: Tables, row: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Rows of the sentence table of unit indices (n, ...), -1 where there is none."""
    first = t.problems["first_unit"][row].reshape(-1, *[1] * (units.ndim - 1))
    return np.where(units >= 0, t.units["sentence"][first + np.maximum(units, 0)], -1).astype(np.int32)
