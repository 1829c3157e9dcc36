"""N environments as one object: reset, step, state in and out. `gym.make` wraps a batch of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from reasongym.engine.addresses import AddressTable
from reasongym.engine.compiled import kernels
from reasongym.engine.layout import OUTCOME, WORDS, Arena, Result, Shapes, Tables
from reasongym.engine.notes import Notes
from reasongym.engine.pieces import MOST_TOKENS
from reasongym.engine.scoring import Scorer
from reasongym.engine.settings import Settings
from reasongym.engine.table import ProblemTable
from reasongym.seeding import rng
from reasongym.types import ProblemSource

REPORTED = ("outcome", "scores", "terms", "reward")
"""What of a `Result` outlives the step."""


class Watcher(Protocol):
    """What a batch calls around every step, before the step has changed anything and when it is done."""

    def before(self) -> None: ...

    def after(self) -> None: ...


class Batch:
    """The engine's state for `n` environments on one source.

    Args:
        source: where problems come from.
        settings: what the environments are.
        n: how many.
        threads: worker threads that share the rows of a vector step.
        table: a complete table of the same source and settings, to be shared.

    Attributes:
        arena: the observation buffers.
        result: outcome, scores, terms and rewards of the last step.
        autoreset: whether a step resets environments whose episode ended in the step before.
        notes: what agents have written in their own words; None where they act by numbers alone.
        watcher: is called around every step; None.
    """

    def __init__(
        self, source: ProblemSource, settings: Settings, n: int, threads: int = 1, *, table: ProblemTable | None = None
    ) -> None:
        self.source, self.settings, self.n, self.threads = source, settings, n, threads
        unit_tokens, question_tokens = _widths(source, settings)
        self.table = table or ProblemTable(
            source, unit_tokens, question_tokens, n, annotated=settings.annotated, reads_gold=settings.reads_gold
        )
        self.shapes = Shapes(
            settings.memory_slots,
            settings.units_per_slot,
            settings.chain_length,
            unit_tokens,
            question_tokens,
            len(source.choices),
            settings.observer_criteria,
            self.table.dtype.str,
            self.table.spans is not None,
        )
        if self.table.spans is not None and settings.memory_slots == 0:
            raise ValueError(
                f"{source.name} has span answers, which point into recalled slots: memory_slots must be at least 1"
            )
        self.config = settings.config(source.num_problems, self.table.spans)
        self.process_weight = 1.0
        self.memory = self.shapes.new_memory(n)
        self.memory.state["stream"] = np.arange(n)
        self.arena = Arena(self.shapes, n)
        self.observation = self.arena.observation()
        k = len(settings.criteria)
        room = n if self.shapes.span else 0
        self.result = Result(
            outcome=np.zeros(n, OUTCOME),
            scores=np.zeros((n, k), np.float32),
            terms=np.zeros((n, k + 1), np.float32),
            reward=np.zeros(n),
            found=np.zeros((room, MOST_TOKENS), np.uint64),
            lengths=np.zeros((room, MOST_TOKENS + 1), np.int16),
            noted=np.full((n, settings.units_per_slot), WORDS, np.int32),
        )
        self.notes: Notes | None = None
        self.watcher: Watcher | None = None
        self.scorer = None if settings.compiled else Scorer(settings, self.table, n)
        self._actions = np.zeros(n, np.int64)
        self._linked: Tables | None = None
        self._pool: tuple[int, ThreadPoolExecutor] | None = None
        self.autoreset = True
        self._reseeded = True
        self._unfetched = False

    @property
    def num_actions(self) -> int:
        """Actions that a step takes: those of the space, and with own words a written answer and a reply without command."""
        return self.shapes.actions + (0 if self.notes is None else 2)

    def take_words(self) -> Notes:
        """Lets agents write in their own words from now on."""
        if self.notes is None:
            self.notes = Notes(self.n, self.shapes.slots, self.shapes.chain_length)
            if self.scorer is not None:
                self.scorer.notes = self.notes
        return self.notes

    @property
    def addresses(self) -> tuple[np.ndarray, np.ndarray]:
        """What kernels are handed: where the arrays lie, and the tokens' type."""
        tables = self.table.tables
        if self._linked is not tables:
            self._linked = tables
            arrays = (self.config, tables, self.memory, self.observation, self.result)
            self._addresses = AddressTable(self.shapes, *arrays, self.table.dtype)
        return self._addresses.table, self._addresses.token

    def weigh_process(self, weight: float) -> None:
        """From the next step on, process rewards and utility are paid `weight` times what the settings say.

        Outcomes and validity keep their weights. At 0 a PRM outside the kernels is not asked: reset before it is to be asked
        again.

        Raises:
            ValueError: the weight is negative or no finite number.
        """
        if not 0 <= weight < np.inf:
            raise ValueError(f"the weight of process rewards must be at least 0 and finite, got {weight!r}")
        self.process_weight, now = weight, self.settings.weighed(weight)
        self.config[...] = now.config(self.source.num_problems, self.table.spans)
        if self.scorer is not None:
            self.scorer.weigh(now, asked=weight > 0)

    def seed(self, rows: np.ndarray, seeds: np.ndarray, streams: np.ndarray) -> None:
        """Makes the next reset of `rows` begin episode 0 of (seed, environment index)."""
        state = self.memory.state
        keys = {int(seed): int(rng(int(seed)).integers(2**63)) for seed in np.unique(seeds)}
        state["seed"][rows] = [keys[int(seed)] for seed in seeds]
        state["stream"][rows] = streams
        state["episode"][rows] = 0
        state["ended"][rows] = 1
        self._reseeded = True

    def reset(self, mask: np.ndarray, problems: np.ndarray | None = None, episode: int | None = None) -> None:
        """Begins the next episode of every environment in `mask` (N,) bool; an unfinished one is given up.

        Args:
            mask: which environments.
            problems: (N,) problem indices to play instead of the order's; -1 leaves it to the order.
            episode: number of the episode in the order of problems, instead of the next.
        """
        state, k = self.memory.state, kernels()
        unfinished = mask & (state["ended"] == 0)
        if episode is not None or self._reseeded or unfinished.any():
            state["episode"][unfinished] += 1
            if episode is not None:
                state["episode"][mask] = episode
            k.order_rows(*self.addresses, mask, 0, self.n)
            self._reseeded = False
        if problems is not None:
            chosen = mask & (problems >= 0)
            state["next_problem"][chosen] = problems[chosen]
        if not self.table.complete:
            self._fetch(np.flatnonzero(mask))
        k.reset_rows(*self.addresses, mask, 0, self.n)

    def step(self, actions: np.ndarray) -> int:
        """One action (N,) each; an environment whose episode has ended is reset instead. Returns how many ended."""
        k = kernels()
        if self.watcher is not None:
            self.watcher.before()
        if self._unfetched:  # only now: until here the rows of an endless source hold the problems that have ended
            self._fetch(np.flatnonzero(self.memory.state["ended"]))
            self._unfetched = False
        if self.scorer is None:
            ended = self._spread(k.step_rows, actions)
            if self.notes is not None:
                self.notes.after(self.memory, self.result)
        else:
            before = self.scorer.before(self.memory)
            self._spread(k.act_rows, actions)
            if self.notes is not None:
                self.notes.after(self.memory, self.result)
            self.scorer.after(self.table.tables, self.memory, self.observation, self.result, before)
            ended = self._spread(k.observe_rows)
        if ended and self.autoreset and not self.table.complete:
            self._unfetched = True
        if self.watcher is not None:
            self.watcher.after()
        return ended

    def best_spans(self, row: int, units: np.ndarray) -> np.ndarray:
        """For each of some units (n,), rows of the table of units: (n, 3) score, first and last token of the span of it that
        scores best as an answer to the problem in `row`."""
        found = np.full((len(units), 3), -1.0)
        kernels().best_span_rows(*self.addresses, row, units.astype(np.int64), found, 0, len(units))
        return found

    def cut(self, mask: np.ndarray) -> None:
        """Ends the episodes in `mask` (N,) bool from outside (truncation)."""
        kernels().cut_rows(*self.addresses, mask, 0, self.n)
        self._unfetched = self._unfetched or (self.autoreset and not self.table.complete)

    def feedback(self, amount: np.ndarray) -> None:
        """Moves the salience of the slots touched last by `amount` (N,), and shows it in the observation."""
        kernels().feedback_rows(*self.addresses, amount.astype(np.float64), 0, self.n)

    def checked(self, actions: Any) -> np.ndarray:
        """The actions as (N,) int64.

        Raises:
            ValueError: another shape, or an action outside the space.
            TypeError: not whole numbers.
        """
        given = np.asarray(actions)
        if given.dtype.kind not in "iu":
            raise TypeError(f"actions must be whole numbers, got {given.dtype} ({actions!r})")
        if given.shape != (self.n,):
            raise ValueError(f"expected {self.n} actions, one an environment, got shape {given.shape}")
        np.copyto(self._actions, given, casting="unsafe")
        low, high = self._actions.min(), self._actions.max()
        if low < 0 or high >= self.num_actions:
            bad = low if low < 0 else high
            raise ValueError(f"action {bad} is outside Discrete({self.shapes.actions})")
        return self._actions

    def get_state(self) -> dict[str, Any]:
        """Everything that changes, copied: `set_state` of it resumes exactly here."""
        out: dict[str, Any] = {name: array.copy() for name, array in self.memory._asdict().items()}
        out["arena"] = self.arena.bytes.copy()
        out["result"] = {name: getattr(self.result, name).copy() for name in REPORTED}
        out["carry"] = [] if self.scorer is None else [None if x.carry is None else x.carry.copy() for x in self.scorer.models]
        out["notes"] = None if self.notes is None else self.notes.get_state()
        return out

    def set_state(self, state: dict[str, Any]) -> None:
        """Resumes from `get_state` of a batch of the same shape.

        Raises:
            ValueError: the state is of another number of environments, K, H, or text.
        """
        if state["arena"].shape != self.arena.bytes.shape or state["slots"].shape != self.memory.slots.shape:
            raise ValueError(
                f"this state has {state['arena'].nbytes} observation bytes and slots {state['slots'].shape}; this environment "
                f"has {self.arena.bytes.nbytes} and {self.memory.slots.shape}: it is of other shapes or another number"
            )
        for name, array in self.memory._asdict().items():
            array[...] = state[name]
        for name in REPORTED:
            getattr(self.result, name)[...] = state["result"][name]
        self.arena.bytes[...] = state["arena"]
        for model, carry in zip([] if self.scorer is None else self.scorer.models, state["carry"], strict=True):
            if carry is not None:
                model.carry = carry.copy()
        if state.get("notes") is not None:
            self.take_words().set_state(state["notes"])
        self._reseeded = self._unfetched = True
        self._restore_rows()

    def _restore_rows(self) -> None:
        """Makes the table hold the problems being played (another process may have filled its own differently)."""
        state = self.memory.state
        if self.table.endless:
            for row in range(self.n):
                self.table.place(row, state["problem"][row])
            return
        self.table.ensure(state["problem"])
        state["row"] = self.table.tables.row_of[state["problem"]]

    def _fetch(self, rows: np.ndarray) -> None:
        """Makes the table hold the next problems of `rows`."""
        following = self.memory.state["next_problem"]
        if self.table.endless:
            for row in rows:
                self.table.place(row, following[row])
        elif not self.table.complete:
            if self.table.crowded:
                state = self.memory.state
                self.table.start_over(state["problem"])
                state["row"] = self.table.tables.row_of[state["problem"]]
            self.table.ensure(following[rows])

    def _spread(self, kernel: Callable[..., int | None], *arguments: Any) -> int:
        """Runs a kernel over all rows, in `threads` parts."""
        arguments = (*self.addresses, *arguments)
        if self.threads == 1 or self.n < 2 * self.threads:
            return kernel(*arguments, 0, self.n) or 0
        if self._pool is None or self._pool[0] != os.getpid():  # threads do not survive a fork
            self._pool = (os.getpid(), ThreadPoolExecutor(self.threads, thread_name_prefix="reasongym"))
        bounds = np.linspace(0, self.n, self.threads + 1).astype(int).tolist()
        (low, high), *rest = pairwise(bounds)
        parts = [self._pool[1].submit(kernel, *arguments, *part) for part in rest]
        ended = kernel(*arguments, low, high) or 0  # one part is this thread's own
        return ended + sum(part.result() or 0 for part in parts)

    def __getstate__(self) -> dict[str, Any]:
        arguments = {"source": self.source, "settings": self.settings, "n": self.n, "threads": self.threads}
        own = {"autoreset": self.autoreset, "process_weight": self.process_weight}
        return {"arguments": arguments, "state": self.get_state(), **own}

    def __setstate__(self, pickled: dict[str, Any]) -> None:
        Batch.__init__(self, **pickled["arguments"])
        self.autoreset = pickled["autoreset"]
        self.weigh_process(pickled["process_weight"])
        self.set_state(pickled["state"])

    def __deepcopy__(self, memo: dict[int, Any]) -> Batch:
        """Another batch in the same state. Source, settings and a complete table never change, so they are shared."""
        copy = Batch(self.source, self.settings, self.n, self.threads, table=self.table if self.table.complete else None)
        copy.autoreset = self.autoreset
        copy.weigh_process(self.process_weight)
        copy.set_state(self.get_state())
        return copy


def _widths(source: ProblemSource, settings: Settings) -> tuple[int, int]:
    """(Lu, Lq): as asked for, else what the source's texts need.

    Raises:
        ValueError: less was asked for than the source's texts need.
    """
    widths = []
    for name, what in (("unit_tokens", "units"), ("question_tokens", "questions")):
        needed, given = getattr(source, name), getattr(settings, name)
        if given is not None and given < needed:
            raise ValueError(f"{source.name} has {what} of {needed} tokens, but {name}={given}; pass {name}={needed} or more")
        widths.append(given or needed)
    return widths[0], widths[1]
