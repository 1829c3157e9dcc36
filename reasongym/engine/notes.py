"""What agents write in their own words: texts that stand beside the arrays of a batch.

The kernels know how many places own words take and which facts were recovered from them; what they say is kept here, for
those who read it: the agent that is shown its memory, and PRMs that are objects. Axes as in `engine.layout`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reasongym.engine.layout import WORDS, Memory, Result
from reasongym.prm.base import RECALL, STORE, StepBatch
from reasongym.types import ProblemSource


class Notes:
    """The own words of `n` environments.

    Attributes:
        slots: (N, K) texts; meant for slots with `noted` > 0, out of date for all others.
        slots_at: (N, K) int16, the unit that was on the desk when they were written.
        links, links_at: (N, H) the same of links of the chain; meant for those that begin with WORDS.
        reply: (N,) what the step's reply says in words: own words of a STORE, a written answer, or a reply without command.
    """

    def __init__(self, n: int, slots: int, links: int) -> None:
        self.slots, self.links = np.full((n, slots), "", object), np.full((n, links), "", object)
        self.slots_at, self.links_at = np.zeros((n, slots), np.int16), np.zeros((n, links), np.int16)
        self.reply = np.full(n, "", object)

    def after(self, m: Memory, r: Result) -> None:
        """Takes over what a step has stored or recalled."""
        out = r.outcome
        done = (out["invalid"] == 0) & (out["is_reset"] == 0)
        for i in np.flatnonzero(done & ((out["kind"] == STORE) | (out["kind"] == RECALL))).tolist():
            k = int(out["slot"][i])
            if m.slots["noted"][i, k] == 0:
                continue
            if out["kind"][i] == STORE:
                self.slots[i, k], self.slots_at[i, k] = self.reply[i], m.slots["stored_at"][i, k] - 1
            else:
                link = int(m.state["chain_length"][i]) - 1
                self.links[i, link], self.links_at[i, link] = self.slots[i, k], self.slots_at[i, k]

    def get_state(self) -> dict[str, np.ndarray]:
        """A copy of everything."""
        return {name: array.copy() for name, array in vars(self).items()}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Takes over a state of the same shape."""
        for name, array in vars(self).items():
            array[...] = state[name]


class StepTexts:
    """The texts behind a batch of steps: the sentences of the problems, then own words as they come up.

    Args:
        sentences: the table of distinct sentences.
        tokens: (S, Lu) their token rows.
        source: for the tokens of own words; words outside its vocabulary are left out.
    """

    def __init__(self, sentences: Sequence[str], tokens: np.ndarray, source: ProblemSource) -> None:
        self._sentences, self._tokens, self._source = sentences, tokens, source
        self._own: dict[str, int] = {}

    def row(self, text: str) -> int:
        """Where own words stand."""
        return len(self._sentences) + self._own.setdefault(text, len(self._own))

    def put(self, rows: np.ndarray, positions: np.ndarray, noted: np.ndarray, texts: np.ndarray, at: np.ndarray) -> None:
        """Writes own words over the first `noted` (n, K) places of rows and positions (n, K, U): texts and `at` are (n, K)."""
        for i, k in zip(*np.nonzero(noted), strict=True):
            rows[i, k, : noted[i, k]] = positions[i, k, : noted[i, k]] = -1
            rows[i, k, 0], positions[i, k, 0] = self.row(texts[i, k]), at[i, k]

    def tables(self) -> tuple[Sequence[str], np.ndarray, int]:
        """(sentences, their token rows, how many of them are own words), as in a `StepBatch`."""
        if not self._own:
            return self._sentences, self._tokens, 0
        own = np.zeros((len(self._own), self._tokens.shape[1]), self._tokens.dtype)
        for row, text in zip(own, self._own, strict=True):
            ids = [number for word in text.split() for number in self._known(word)][: len(row)]
            row[: len(ids)] = ids
        tokens = np.concatenate([self._tokens[: len(self._sentences)], own])
        return [*self._sentences, *self._own], tokens, len(self._own)

    def _known(self, word: str) -> Sequence[int]:
        try:
            return self._source.tokenize(word)
        except ValueError:
            return ()


def own_rows(chain: np.ndarray) -> np.ndarray:
    """(n, H) how many places own words take in each link (n, H, U) of the chain."""
    found: np.ndarray = (chain == WORDS).sum(2)
    return found


def written_rows(texts: StepTexts, steps: np.ndarray, choice: int, answer: int, reply: np.ndarray) -> np.ndarray:
    """(n,) rows of what replies say where they name neither action nor choice, else -1.

    Args:
        texts: the table they are added to.
        steps: (n,) OUTCOME.
        choice: the choice that stands for a written answer.
        answer: kind of an ANSWER.
        reply: (n,) texts.
    """
    said = (steps["kind"] == answer) & ((steps["answer"] == choice) | (steps["answer"] < 0))
    return np.array([texts.row(text) if here else -1 for here, text in zip(said, reply, strict=True)], np.int32)


def own_text_keys(steps: StepBatch, texts: np.ndarray) -> tuple[np.ndarray, list[bytes]]:
    """Rows (n, c) of texts with own words as WORDS, and for each step what they say: a key that outlives the batch."""
    own = texts >= len(steps.sentences) - steps.own_words
    said = ["\0".join(steps.sentences[t] for t in row[here]).encode("utf-8", "surrogatepass") for row, here in zip(texts, own)]  # noqa: B905
    return np.where(own, WORDS, texts), said
