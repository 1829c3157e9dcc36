"""The state machine once more, in plain Python on `Problem` objects: what the compiled engine is held against.

Written from the rules (action table, reward table, working memory, observation), not from the engine, and meant to be read
beside them. One object is one episode. Salience is kept in float32, as the observation shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from reasongym.types import Problem, Story

NEXT, STORE, UPDATE, RECALL, ANSWER = "next", "store", "update", "recall", "answer"
HALF = np.float32(0.5)
BETA = {"logic": 0.2, "coherence": 0.1, "goal": 0.3, "outcome": 1.0, "validity": 0.05}


class ListedSource:
    """A source that is a list of problems, with the words and choices of another one."""

    def __init__(self, like, problems, *, choices=None, choice_kinds=None):
        self.name, self.fingerprint, self.split = "listed", "listed", "train"
        self.vocabulary, self.kinds, self.entities = like.vocabulary, like.kinds, like.entities
        self.choices = choices or like.choices
        self.choice_kinds = choice_kinds or like.choice_kinds
        self.unit_tokens, self.question_tokens, self.max_units = like.unit_tokens, like.question_tokens, like.max_units
        self.problems, self.num_problems = list(problems), len(problems)
        self.tokenize = like.tokenize

    def problem(self, index):
        return self.problems[index]

    def choice_of(self, answer):
        return self.choices.index(answer)


def tiny(
    units, question, support, prerequisites=None, *, answer="office", entities=None, asked=1, superseded=None, same_as=None
):
    """A hand-made problem of bAbI words. `entities` and `asked` are bit masks; all units share bit 0 by default."""
    n = len(units)
    story = Story(
        tuple(units),
        tuple(superseded or [-1] * n),
        tuple([1] * n if entities is None else entities),
        tuple(same_as or range(n)),
    )
    needs = (0,) * len(support or ()) if prerequisites is None else prerequisites
    kept = None if support is None else tuple(support)
    return Problem("tiny", 1, story, n, question, asked, "place", (answer,), kept, tuple(needs))


class SealedProblem:
    """A problem whose gold answers and support must not be read."""

    def __init__(self, problem):
        self._problem = problem

    def __getattr__(self, name):
        if name in ("answers", "support", "prerequisites"):
            raise AssertionError(f"{name} was read, although this run is unannotated")
        return getattr(self._problem, name)


def other_labels(problem, choices):
    """The same story and question with another gold answer and other support."""
    support = tuple(u for u in range(problem.num_units) if u not in problem.support)[: max(1, len(problem.support))]
    gold = next(c for c in choices if c not in problem.answers)
    return replace(problem, answers=(gold,), support=support, prerequisites=(0,) * len(support))


@dataclass
class Slot:
    units: list[int]
    salience: np.float32 = HALF
    recalls: int = 0
    recalled: set[int] = field(default_factory=set)
    stored_at: int = 0
    fresh: bool = True
    store: bool = True
    update: bool = True
    recall: bool = True


class Reference:
    """One episode of `problem`; the keywords are the environment's. `observer(kind, k, units_read)` gives scores."""

    def __init__(
        self, source, problem, *, memory_slots=10, units_per_slot=2, chain_length=10, question_at="start", reason_when="end",
        memory_view="full", gate="open", utility="coverage", utility_weight=0.3, salience_rate=0.2, max_steps=None, beta=None,
        observer=None, observer_criteria=4,
    ):  # fmt: skip
        self.source, self.problem, self.observer, self.observer_criteria = source, problem, observer, observer_criteria
        self.k, self.width, self.links = memory_slots, units_per_slot, chain_length
        self.question_at, self.reason_when, self.memory_view = question_at, reason_when, memory_view
        self.gate, self.utility, self.utility_weight, self.rate = gate, utility, utility_weight, salience_rate
        self.beta = BETA | dict(beta or {})
        self.n = problem.num_units
        self.max_steps = max_steps or 4 * (self.n + self.k) + self.links
        self.slots: list[Slot] = []
        self.chain: list[list[int]] = []
        self.read = self.steps = 0
        self.ended = self.success = self.out_of_steps = False
        self.captured: set[int] = set()
        self.level = 0.0
        self.seen_scores = (np.zeros(observer_criteria, np.float32), np.zeros(observer_criteria, np.int8))

    # -- actions --------------------------------------------------------------------------------------------------------

    @property
    def reading(self):
        return self.read < self.n

    def decode(self, action):
        """(kind, slot or choice)."""
        if action == 0:
            return NEXT, None
        group, k = divmod(action - 1, self.k) if self.k and action <= 3 * self.k else (3, action - 1 - 3 * self.k)
        return (STORE, UPDATE, RECALL, ANSWER)[group], k

    def is_legal(self, action):
        kind, k = self.decode(action)
        if kind == NEXT:
            return self.reading
        if kind == STORE:
            return self.reading and (k == len(self.slots) or (k < len(self.slots) and self.slots[k].store))
        if kind == UPDATE:
            if not self.reading or k >= len(self.slots) or not self.slots[k].update:
                return False
            return len(self.slots[k].units) < self.width or self.slots[k].store
        if self.reading and self.reason_when == "end":
            return False
        if kind == RECALL:
            room = len(self.chain) < self.links
            return k < len(self.slots) and self.slots[k].recall and self.slots[k].fresh and room
        return True

    def legal(self):
        return np.array([self.is_legal(a) for a in range(1 + 3 * self.k + len(self.source.choices))])

    # -- facts ----------------------------------------------------------------------------------------------------------

    def facts(self, unit):
        """Positions in the support of the facts that this unit is (itself, or a repeat of one)."""
        same, support = self.problem.story.same_as, self.problem.support or ()
        return {b for b, needed in enumerate(support) if same[needed] == same[unit]}

    def held_facts(self):
        return {b for slot in self.slots for unit in slot.units for b in self.facts(unit)}

    def chain_facts(self):
        return {b for link in self.chain for unit in link for b in self.facts(unit)}

    def linked(self):
        mask = self.problem.question_entities
        for link in self.chain:
            for unit in link:
                mask |= self.problem.story.entities[unit]
        return mask

    # -- a step ---------------------------------------------------------------------------------------------------------

    def step(self, action):
        """(scores by criterion, terms by criterion and "memory"); NaN is unscored."""
        kind, k = self.decode(action)
        legal = self.is_legal(action)
        desk = self.read if self.reading else -1
        known = self.problem.support is not None
        scores = {"logic": 0.0, "coherence": 0.0, "goal": 0.0, "outcome": 0.0, "validity": 0.0 if legal else -1.0}
        self.steps += 1
        touched = None
        if legal and kind == RECALL:
            scores.update(self._score_recall(self.slots[k].units))
            self.chain.append(list(self.slots[k].units))
            slot, touched = self.slots[k], k
            slot.recalls, slot.fresh, slot.recalled = slot.recalls + 1, False, set(slot.units)
            slot.salience = np.float32(slot.salience + np.float32(self.rate) * (np.float32(1) - slot.salience))
        elif legal and kind == ANSWER:
            scores.update(self._score_answer(k))
            self.ended, self.success = True, scores["outcome"] == 1
        elif legal:
            if kind == STORE:
                self.slots[k : k + 1] = [Slot([desk])]
                touched = k
            elif kind == UPDATE:
                slot, touched = self.slots[k], k
                slot.units = [*slot.units, desk][-self.width :]
                slot.fresh = True
            if touched is not None:
                self.slots[touched].stored_at = self.read + 1
                self.captured |= self.held_facts()
            self.read += 1
        if not self.ended and self.steps >= self.max_steps:
            self.ended = self.out_of_steps = True
        if not known:
            scores["logic"] = scores["goal"] = np.nan
        terms = {c: 0.0 if np.isnan(s) else self.beta[c] * s for c, s in scores.items()}
        g = self._utility()
        terms["memory"] = 0.0 if np.isnan(g) else self.utility_weight * g
        self._move_salience(touched, kind, k, legal)
        self._close_slots()
        return scores, terms

    def _score_recall(self, units):
        story, support = self.problem.story, self.problem.support
        m = max(len(support or ()), 1)
        chain, new, early = self.chain_facts(), set(), False
        for unit in units:
            for b in self.facts(unit):
                needs = {a for a in range(len(support)) if self.problem.prerequisites[b] >> a & 1}
                early = early or not needs <= chain
            new |= self.facts(unit) - chain
            chain |= self.facts(unit)
        brought = any(self.facts(unit) for unit in units)
        stale = all(0 <= story.superseded_by[unit] < self.read for unit in units)
        entities = 0
        for unit in units:
            entities |= story.entities[unit]
        goal = 0.0 if not support else (len(new) / m if new else -0.5 / m)
        return {
            "logic": -1 / m if early or (stale and not brought) else 0.0,
            "coherence": 0.0 if entities & self.linked() else -1 / m,
            "goal": goal,
        }

    def _score_answer(self, choice):
        right = bool(self.problem.answers) and choice == self.source.choice_of(self.problem.answers[0])
        support = self.problem.support
        proved = bool(support) and len(self.chain_facts()) == len(support)
        fits = self.source.choice_kinds[choice] >> self.source.kinds.index(self.problem.answer_kind) & 1
        return {
            "logic": (1.0 if right else -1.0) if proved else 0.0,
            "coherence": 0.0 if fits else -1.0,
            "outcome": 1.0 if right else 0.0,
        }

    def _utility(self):
        if self.utility == "none":
            return 0.0
        if self.utility == "use":
            held = [(slot, unit) for slot in self.slots for unit in slot.units]
            before, self.level = self.level, sum(unit in slot.recalled for slot, unit in held) / len(held) if held else 0.0
            return self.level - before
        if self.problem.support is None:
            return np.nan
        if not self.problem.support:
            return 0.0
        before, self.level = self.level, len(self.held_facts()) / len(self.problem.support)
        if self.utility == "balance":
            lost = {b for unit in range(self.read) for b in self.facts(unit)} - self.held_facts()
            self.level -= len(lost) / len(self.problem.support)
        return self.level if self.utility == "level" else self.level - before

    # -- salience and the gate ------------------------------------------------------------------------------------------

    def _move_salience(self, touched, kind, k, legal):
        for i, slot in enumerate(self.slots):
            if i != touched:
                slot.salience = np.float32(slot.salience * np.float32(1 - self.rate / 10))
        if self.observer is None:
            return
        values = np.asarray(self.observer(kind, k, self.read, legal), np.float32)
        scored = ~np.isnan(values)
        self.seen_scores = (np.where(scored, values, 0), scored.astype(np.int8))
        if touched is not None and scored.any():
            slot = self.slots[touched]
            moved = slot.salience + np.float32(self.rate) * np.float32(values[scored].mean())
            slot.salience = np.float32(min(max(moved, 0), 1))

    def _close_slots(self):
        if self.gate != "salience" or not self.slots:
            return
        free = self.k - len(self.slots)
        x = (self.n - self.read) / (free + 1)
        p = x / (1 + x)
        for slot in self.slots:
            slot.store = float(slot.salience) < 0.6 + 0.35 * p
            slot.recall = float(slot.salience) >= 0.15 * (1 - p)
        if not free and not any(slot.store for slot in self.slots):
            min(self.slots, key=lambda slot: slot.salience).store = True
        if not any(slot.recall for slot in self.slots):
            max(self.slots, key=lambda slot: slot.salience).recall = True

    # -- what is seen ---------------------------------------------------------------------------------------------------

    def observation(self, unit_tokens, question_tokens):
        """The observation, key by key, tokens included."""
        shown = self.question_at == "start" or not self.reading
        units = self.problem.story.units
        content = [[] if self.memory_view == "recalled" else slot.units for slot in self.slots]
        features = np.zeros((self.k, 7), np.float32)
        for k, slot in enumerate(self.slots):
            age = (self.read - slot.stored_at) / self.n
            used = min(slot.recalls / self.links, 1) if self.links else 0
            features[k] = (1, age, slot.salience, used, slot.store, slot.update, slot.recall)
        full = len(self.slots) == self.k
        share = self.read / self.n if self.n else 1
        return {
            "question": self._tokens([self.problem.question] if shown else [], 1, question_tokens),
            "unit": self._tokens([units[self.read]] if self.reading else [], 1, unit_tokens),
            "memory": np.stack([self._tokens([units[u] for u in c], self.width, unit_tokens) for c in self._padded(content)])
            if self.k else np.zeros((0, self.width * unit_tokens)),
            "memory_positions": self._positions([slot.units for slot in self.slots], self.k),
            "memory_features": features,
            "chain": np.stack([self._tokens([units[u] for u in c], self.width, unit_tokens)
                               for c in self._padded(self.chain, self.links)])
            if self.links else np.zeros((0, self.width * unit_tokens)),
            "chain_positions": self._positions(self.chain, self.links),
            "scores": self.seen_scores[0],
            "scored": self.seen_scores[1],
            "progress": np.array([share, 1 - self.steps / self.max_steps, self.reading, full], np.float32),
            "action_mask": self.legal().astype(np.int8),
        }  # fmt: skip

    def _padded(self, contents, size=None):
        size = self.k if size is None else size
        return [*contents, *([] for _ in range(size - len(contents)))]

    def _tokens(self, texts, count, width):
        out = np.zeros(count * width, np.int64)
        for j, text in enumerate(texts):
            ids = self.source.tokenize(text)
            out[j * width : j * width + len(ids)] = ids
        return out

    def _positions(self, contents, size):
        out = np.zeros((size, self.width), np.float32)
        for k, units in enumerate(contents):
            out[k, : len(units)] = [(unit + 1) / self.n for unit in units]
        return out

    def rates(self):
        """The metrics of the memory at the end; NaN where undefined."""
        m = len(self.problem.support or ())
        held, recalled = self.held_facts(), self.chain_facts()

        def share(part, whole):
            return len(part) / whole if whole else np.nan

        if not m:
            return dict.fromkeys(("capture", "retention", "retrieval", "use", "evidence_recall"), np.nan)
        return {
            "capture": share(self.captured, m),
            "retention": share(held, len(self.captured)),
            "retrieval": share(recalled & held, len(held)),
            "use": float(self.success) if len(recalled) == m else np.nan,
            "evidence_recall": share(recalled, m),
        }
