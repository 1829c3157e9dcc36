"""Trains a `StepTransformer` or a `StepLM` on step records: cross-entropy of each scored label, as a probability, with the head
of its criterion.

A label y in [-1, 1] is the probability (y + 1) / 2; unscored labels add nothing. Later, 2 p - 1 is the expected label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reasongym.prm.learned.step_encoder import WordRows, forget_words
from reasongym.prm.learned.step_lm import StepLM
from reasongym.prm.learned.step_transformer import StepTransformer
from reasongym.prm.learned.words import WordReader
from reasongym.prm.records import StepRecord


@dataclass(frozen=True)
class FitSettings:
    """How a network is trained.

    Attributes:
        updates: number of batches.
        batch_steps: steps of a batch, padding included (long episodes come in small batches).
        learning_rate: peak of a rise over the first twentieth and a cosine fall to a hundredth.
        weight_decay: AdamW's.
        forget_names, forget_words: see `forget_words`; a `StepLM` forgets nothing.
        clip: norm that gradients are cut to.
        seed: of order and augmentation.
        batch_tokens: of a batch for a `StepLM`, instead of `batch_steps`.
    """

    updates: int = 2_000
    batch_steps: int = 640
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    forget_names: float = 1.0
    forget_words: float = 0.15
    clip: float = 1.0
    seed: int = 0
    batch_tokens: int = 4_096


def batches(lengths: Sequence[int], most: int, generator: np.random.Generator, blur: float = 1.5) -> Iterator[list[int]]:
    """Indices of records of about the same length, without end: each record once before any comes again.

    Args:
        lengths: of the records, in steps or tokens.
        most: of a batch, padding included, unless one record has more.
        generator: of the order.
        blur: lengths that differ by less than twice this may change places.
    """
    while True:
        order = np.argsort(lengths + generator.uniform(-blur, blur, len(lengths)), kind="stable")
        found: list[list[int]] = []
        start = 0
        while start < len(order):
            longest, end = 0, start
            while end < len(order):
                longest = max(longest, int(lengths[order[end]]))
                if end > start and (end + 1 - start) * longest > most:
                    break
                end += 1
            found.append(order[start:end].tolist())
            start = end
        for i in generator.permutation(len(found)).tolist():
            yield found[i]


def padded(records: Sequence[StepRecord], reader: WordReader, device: Any) -> tuple[WordRows, Tensor, list[str]]:
    """Words (B, T, W), lengths (B,) and all B T texts of some records, prompts first; padding is ""."""
    lengths = [len(record.steps) + 1 for record in records]
    T = max(lengths)
    texts = [
        text for record, n in zip(records, lengths, strict=True) for text in (record.prompt, *record.steps, *[""] * (T - n))
    ]
    rows = WordRows.of(reader(texts), (len(records), T), device)
    return rows, torch.tensor(lengths, device=device), texts


def targets_of(records: Sequence[StepRecord], T: int, k: int) -> np.ndarray:
    """(B, T, k) float32 labels, NaN where unscored, at prompts, and in the padding."""
    out = np.full((len(records), T, k), np.nan, np.float32)
    for i, record in enumerate(records):
        out[i, 1 : len(record.steps) + 1] = record.labels
    return out


class Fitting:
    """A training that can be saved between two updates and resumed to the same weights.

    Args:
        network: trained in place.
        records: with the same criteria.
        reader: of their words; None for a `StepLM`, which has a tokenizer.
        settings: see there.
        device, bf16: where, and whether activations are bfloat16.

    Raises:
        ValueError: no records, or records of different criteria.
        WindowError: a record is longer than a `StepLM` can read; said before anything is trained.
        TypeError: a `StepTransformer` without a reader.
    """

    def __init__(
        self, network: StepTransformer | StepLM, records: Sequence[StepRecord], reader: WordReader | None,
        settings: FitSettings, *, device: str = "cpu", bf16: bool = False,
    ) -> None:  # fmt: skip
        if not records or len({record.criteria for record in records}) != 1:
            raise ValueError(f"fit needs records with the same criteria, got {sorted({r.criteria for r in records})}")
        self.network, self.records, self.reader, self.settings = network, records, reader, settings
        self.device, self.bf16, self.updates = device, bf16, 0
        self._lot = torch.Generator().manual_seed(settings.seed)
        order = np.random.default_rng(settings.seed)
        if isinstance(network, StepLM):
            tokens = [network.length(record) for record in records]
            self._batches = batches(tokens, settings.batch_tokens, order, blur=32)
        elif reader is None:
            raise TypeError("a StepTransformer reads words: give the reader of its StepNetwork (StepNetwork.reader)")
        else:
            self._batches = batches([len(record.steps) + 1 for record in records], settings.batch_steps, order)
        self._optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, settings.learning_rate, settings.updates + 1, pct_start=0.05, div_factor=20, final_div_factor=5
        )

    def update(self) -> float:
        """One batch; its loss, in nats a label."""
        some = [self.records[i] for i in next(self._batches)]
        self.network.train()
        logits, labels = self._told(some) if isinstance(self.network, StepLM) else self._worded(some)
        known = ~labels.isnan()
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float()[known], (labels[known] + 1) / 2)
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        self._optimizer.step()
        self._schedule.step()
        self.updates += 1
        return float(loss.detach())

    def _worded(self, some: Sequence[StepRecord]) -> tuple[Tensor, Tensor]:
        """(B, T, k) logits and labels of a batch for a `StepTransformer`."""
        assert isinstance(self.reader, WordReader)
        rows, lengths, texts = padded(some, self.reader, "cpu")
        rows = forget_words(rows, self._lot, self.settings.forget_names, self.settings.forget_words)
        rows = WordRows(*(part.to(self.device) for part in rows))
        labels = torch.from_numpy(targets_of(some, rows.number.shape[1], len(some[0].criteria))).to(self.device)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.bf16):
            return self.network(rows, lengths.to(self.device), texts), labels

    def _told(self, some: Sequence[StepRecord]) -> tuple[Tensor, Tensor]:
        """(N, k) logits and labels of all steps of a batch for a `StepLM`."""
        labels = torch.from_numpy(np.concatenate([record.labels for record in some])).to(self.device)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.bf16):
            return torch.cat(self.network([(record.prompt, *record.steps) for record in some])), labels

    def state(self) -> dict[str, Any]:
        """Everything that changes."""
        parts: dict[str, Any] = {"network": self.network, "optimizer": self._optimizer, "schedule": self._schedule}
        found: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
        return {**found, "lot": self._lot.get_state(), "updates": self.updates}

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from `state()` of a training with the same arguments."""
        parts: dict[str, Any] = {"network": self.network, "optimizer": self._optimizer, "schedule": self._schedule}
        for name, part in parts.items():
            part.load_state_dict(state[name])
        self._lot.set_state(state["lot"])
        while self.updates < state["updates"]:
            next(self._batches)
            self.updates += 1


def fit(
    network: StepTransformer | StepLM,
    records: Sequence[StepRecord],
    reader: WordReader | None,
    settings: FitSettings,
    **more: Any,
) -> Iterator[tuple[int, float]]:
    """Trains in place for `settings.updates`; yields (updates so far, loss) after each. Arguments as of `Fitting`."""
    fitting = Fitting(network, records, reader, settings, **more)
    while fitting.updates < settings.updates:
        loss = fitting.update()
        yield fitting.updates, loss
