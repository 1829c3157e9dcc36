"""`ConditionedScorer`: one small network, trained from scratch, that scores a step on any criterion given in words.

It reads the prompt, the μ steps before, and the step as hashed words; each word carries where it stands and where else it
occurs (in the step, in the prompt, in earlier steps), which is what most judgements of a step turn on. A transformer encoder
reads a context once, whatever the number of criteria; a criterion is the vector that the embedder gives its wording, so
wordings never seen in training have a place. The criterion queries the context (cross-attention), and the two together give
the probability p that the step meets it; the score is 2p − 1.

A word that training has not shown has no meaning: it is read as a word left out, of which training shows many, so what is
left of it is where it stands and where else it occurs. That is what lets a scorer of one domain read another.

Axes: B contexts, W words of the longest, n scored pairs, d width, e dimensions of the embedder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from reasongym.errors import DataError, PRMError
from reasongym.prm.natural import stem
from reasongym.prm.tree.context import Context
from reasongym.prm.tree.embedding import Embedder, embedded
from reasongym.seeding import hash64, rng

if TYPE_CHECKING:
    import torch

_WORD = re.compile(r"[^\W_]+|[^\w\s]")
PROMPT, STEP, FIRST_EARLIER = 1, 2, 3
"""Segments of a context; an earlier step's is counted from the latest. 0 is beyond the end."""
PLACES = 64
"""Places within a segment that are told apart; the last stands for all beyond."""


@dataclass(frozen=True)
class ConditionedSettings:
    """Of network and training.

    Attributes:
        width: d.
        layers, heads: of the encoder.
        buckets: places that words are hashed to.
        mu: most earlier steps that are read; more are left out from the front.
        prompt_words, earlier_words, step_words: most words of each part. A longer one keeps both ends, and is counted in
            `ConditionedScorer.windowed`.
        dropout: share of activations left out in training.
        word_dropout: share of words whose identity is left out in training, so that relations count more than names.
        learning_rate, epochs, batch_size: AdamW (weight decay 0.01), in pairs; the rate falls linearly to 0.
        positive_weight: how much a pair that is met counts, one that is not counting 1; None: what balances the two.
    """

    width: int = 64
    layers: int = 2
    heads: int = 4
    buckets: int = 4096
    mu: int = 2
    prompt_words: int = 48
    earlier_words: int = 40
    step_words: int = 56
    dropout: float = 0.1
    word_dropout: float = 0.3
    learning_rate: float = 1e-3
    epochs: int = 6
    batch_size: int = 128
    positive_weight: float | None = None

    def __post_init__(self) -> None:
        for name in (
            "width",
            "layers",
            "heads",
            "buckets",
            "prompt_words",
            "earlier_words",
            "step_words",
            "epochs",
            "batch_size",
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if self.mu < 0 or self.width % self.heads or not 0 <= self.dropout < 1 or not 0 <= self.word_dropout < 1:
            raise ValueError(f"mu must be 0 or more, heads divide width, dropouts lie in [0, 1); got {self}")


class Example(NamedTuple):
    """A pair to train on: the label in [-1, 1] says how far the step meets the criterion."""

    context: Context
    criterion: str
    label: float


class ConditionedScorer:
    """See the module's docstring.

    Args:
        embedder: of criteria; saved models name its id and refuse another.
        settings: of network and training.
        seed: of the first weights and of training.
    """

    def __init__(self, embedder: Embedder, settings: ConditionedSettings | None = None, *, seed: int = 0) -> None:
        import torch

        from reasongym.prm.tree.conditioned_network import Network

        self.settings, self.embedder, self.seed = settings or ConditionedSettings(), embedder, seed
        self._criteria: dict[str, np.ndarray] = {}
        self.windowed = 0
        size = embedded(embedder, ["a criterion"]).shape[1]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network = Network(self.settings, size)
        self._trained_on = 0

    @property
    def version(self) -> str:
        """Changes with every bit of the weights."""
        digest = hashlib.blake2b(json.dumps([asdict(self.settings), self.embedder.id]).encode(), digest_size=8)
        for name, weights in self.network.state_dict().items():
            digest.update(name.encode() + weights.detach().cpu().contiguous().numpy().tobytes())
        return f"conditioned-1:{digest.hexdigest()}"

    def score(self, contexts: Sequence[Context], criteria: Sequence[str]) -> np.ndarray:
        """(n,) float32 in [-1, 1]: context i on criterion i. Equal contexts are read once."""
        import torch

        if len(contexts) != len(criteria):
            raise ValueError(f"one criterion a context: got {len(contexts)} contexts and {len(criteria)} criteria")
        out = np.zeros(len(contexts), np.float32)
        place: dict[Context, list[int]] = {}
        for i, context in enumerate(contexts):
            place.setdefault(context, []).append(i)
        order = sorted(place, key=lambda context: sum(map(len, (context.prompt, *context.earlier, context.step))))
        self.network.eval()
        with torch.inference_mode():
            for start in range(0, len(order), self.settings.batch_size):
                batch = order[start : start + self.settings.batch_size]
                rows = [(b, i) for b, context in enumerate(batch) for i in place[context]]
                logits = self._logits(batch, [b for b, _ in rows], [criteria[i] for _, i in rows])
                out[[i for _, i in rows]] = torch.tanh(logits / 2).numpy()  # 2σ(x) − 1
        return out

    def fit(self, examples: Sequence[Example]) -> list[float]:
        """Trains on examples; may be called again to go on.

        Returns:
            The mean loss (nats a pair) of each epoch.

        Raises:
            ValueError: no examples, or a label outside [-1, 1] (unscored ones are left out by the caller).
        """
        import torch

        labels = np.array([example.label for example in examples], dtype=np.float32)
        if not len(labels) or not ((labels >= -1) & (labels <= 1)).all():
            raise ValueError("training takes at least one example, with labels in [-1, 1]; leave out what is unscored")
        s = self.settings
        unmet = float((labels < 0).sum())
        balance = unmet / max(1.0, len(labels) - unmet) if s.positive_weight is None else s.positive_weight
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=s.learning_rate, weight_decay=0.01)
        batches = -(-len(examples) // s.batch_size)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=s.epochs * batches)
        self._learn_words(examples)
        losses = []
        with torch.random.fork_rng():
            torch.manual_seed(self.seed + 1_000_003 * self._trained_on)
            for epoch in range(s.epochs):
                self.network.train()
                order = self._shuffled(examples, rng(self.seed, self._trained_on, epoch))
                total = 0.0
                for start in range(0, len(order), s.batch_size):
                    rows = order[start : start + s.batch_size]
                    target = torch.from_numpy((labels[rows] + 1) / 2)
                    weight = torch.from_numpy(np.where(labels[rows] < 0, 1, balance).astype(np.float32))
                    loss = self._loss([examples[i] for i in rows], target, weight)
                    optimizer.zero_grad()
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
                    optimizer.step()
                    schedule.step()
                    total += float(loss.detach()) * len(rows)
                losses.append(total / len(order))
        self._trained_on += 1
        return losses

    def save(self, folder: str | os.PathLike) -> None:
        """Writes settings, the embedder's id and the weights."""
        import torch

        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        content = {
            "settings": asdict(self.settings),
            "embedder": self.embedder.id,
            "seed": self.seed,
            "rounds": self._trained_on,
        }
        (path / "config.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        torch.save(self.network.state_dict(), path / "weights.pt")

    @classmethod
    def load(cls, folder: str | os.PathLike, embedder: Embedder) -> ConditionedScorer:
        """Reads what `save` wrote.

        Raises:
            DataError: the folder holds no scorer.
            PRMError: the embedder is another one.
        """
        import torch

        path = Path(folder)
        if not (path / "config.json").is_file() or not (path / "weights.pt").is_file():
            raise DataError(f"no conditioned scorer at {path}: expected config.json and weights.pt")
        content = json.loads((path / "config.json").read_text(encoding="utf-8"))
        if content["embedder"] != embedder.id:
            raise PRMError(f"this scorer reads criteria by the embedder {content['embedder']!r}, but {embedder.id!r} was given")
        scorer = cls(embedder, ConditionedSettings(**content["settings"]), seed=content["seed"])
        scorer.network.load_state_dict(torch.load(path / "weights.pt", weights_only=True))
        scorer._trained_on = content["rounds"]
        return scorer

    def _learn_words(self, examples: Sequence[Example]) -> None:
        """Words of the examples are known from now on; before the first training all pass for known."""
        if not self._trained_on:
            self.network.known[:] = False
        for context in dict.fromkeys(example.context for example in examples):
            self.network.known[_words(context, self.settings)[0][:, 0]] = True

    def _shuffled(self, examples: Sequence[Example], draw: np.random.Generator) -> np.ndarray:
        """A random order in which batches hold contexts of like length."""
        length = np.array([len(e.context.step) + sum(map(len, e.context.earlier)) for e in examples], dtype=float)
        order = np.argsort(length * draw.uniform(0.8, 1.25, len(length)), kind="stable")
        size = self.settings.batch_size
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        return np.concatenate([batches[i] for i in draw.permutation(len(batches))])

    def _loss(self, examples: Sequence[Example], target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        import torch

        place: dict[Context, int] = {}
        rows = [place.setdefault(example.context, len(place)) for example in examples]
        logits = self._logits(list(place), rows, [example.criterion for example in examples])
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, target, weight=weight)

    def _logits(self, contexts: Sequence[Context], rows: Sequence[int], criteria: Sequence[str]) -> torch.Tensor:
        """(n,) logits of the contexts `rows` on the criteria."""
        import torch

        new = [text for text in dict.fromkeys(criteria) if text not in self._criteria]
        self._criteria.update(zip(new, embedded(self.embedder, new).astype(np.float32), strict=True))
        vectors = torch.from_numpy(np.stack([self._criteria[text] for text in criteria]))
        return self.network(torch.from_numpy(self._read(contexts)), torch.tensor(rows), vectors)

    def _read(self, contexts: Sequence[Context]) -> np.ndarray:
        """(B, W, 4) int64: word, segment, place in the segment, marks of where else it occurs; 0 beyond the end."""
        read = [_words(context, self.settings) for context in contexts]
        self.windowed += sum(cut for _, cut in read)
        out = np.zeros((len(read), max(len(words) for words, _ in read), 4), np.int64)
        for b, (words, _) in enumerate(read):
            out[b, : len(words)] = words
        return out


@lru_cache(maxsize=1 << 15)
def _words(context: Context, s: ConditionedSettings) -> tuple[np.ndarray, int]:
    """(W, 4) numbers of a context's words (see `_read`), and how many parts were longer than their window."""
    earlier = context.earlier[len(context.earlier) - min(s.mu, len(context.earlier)) :]
    parts = [(STEP, context.step, s.step_words), (PROMPT, context.prompt, s.prompt_words)]
    parts += [(FIRST_EARLIER + age, text, s.earlier_words) for age, text in enumerate(reversed(earlier))]
    split = [(segment, _split(text), most) for segment, text, most in parts]
    seen = [set(split[0][1]), set(split[1][1]), {word for _, words, _ in split[2:] for word in words}]
    rows, cut = [], 0
    for segment, words, most in split:
        if len(words) > most:
            words, cut = words[: most - most // 2] + words[len(words) - most // 2 :], cut + 1
        for i, word in enumerate(words):
            marks = sum((word in others) << bit for bit, others in enumerate(seen))
            rows.append((1 + hash64(word) % (s.buckets - 1), segment, min(i, PLACES - 1), marks))
    return np.array(rows or [(0, STEP, 0, 0)], np.int64), cut


def _split(text: str) -> tuple[str, ...]:
    return tuple(stem(word.lower()) for word in _WORD.findall(text))


def examples_of(
    contexts: Sequence[Context],
    criteria: Sequence[str],
    labels: np.ndarray,
    wordings: Mapping[str, Sequence[str]],
    *,
    seed: int = 0,
) -> list[Example]:
    """Examples from labelled steps: for every scored label, one wording of its criterion, drawn at random.

    Args:
        contexts: T of them.
        criteria: k names.
        labels: (T, k) in [-1, 1], NaN = unscored.
        wordings: by name; a name without wordings is left out.
    """
    draw = rng(seed)
    out = []
    for t, k in np.argwhere(~np.isnan(labels)).tolist():
        texts = wordings.get(criteria[k], ())
        if texts:
            out.append(Example(contexts[t], texts[int(draw.integers(len(texts)))], float(labels[t, k])))
    return out
