"""Trains a `StepTransformer` on step records: cross-entropy of each scored label, as a probability, with the head of its criterion.

A label y in [-1, 1] is the probability (y + 1) / 2; unscored labels add nothing. Later, 2 p - 1 is the expected label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from reasongym.prm.records import StepRecord
from reasongym.prm.step_encoder import WordRows, forget_words
from reasongym.prm.step_transformer import StepTransformer
from reasongym.prm.words import WordReader


@dataclass(frozen=True)
class FitSettings:
    """How a network is trained.

    Attributes:
        updates: number of batches.
        batch_steps: steps of a batch, padding included (long episodes come in small batches).
        learning_rate: peak of a rise over the first twentieth and a cosine fall to a hundredth.
        weight_decay: AdamW's.
        forget_names, forget_words: see `forget_words`.
        clip: norm that gradients are cut to.
        seed: of order and augmentation.
    """

    updates: int = 2_000
    batch_steps: int = 640
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    forget_names: float = 1.0
    forget_words: float = 0.15
    clip: float = 1.0
    seed: int = 0


def batches(records: Sequence[StepRecord], most_steps: int, generator: np.random.Generator) -> Iterator[list[int]]:
    """Indices of records of about the same length, without end: each record once before any comes again."""
    lengths = np.array([len(record.steps) + 1 for record in records])
    while True:
        order = np.argsort(lengths + generator.uniform(-1.5, 1.5, len(lengths)), kind="stable")
        found: list[list[int]] = []
        start = 0
        while start < len(order):
            longest, end = 0, start
            while end < len(order):
                longest = max(longest, int(lengths[order[end]]))
                if end > start and (end + 1 - start) * longest > most_steps:
                    break
                end += 1
            found.append(order[start:end].tolist())
            start = end
        for i in generator.permutation(len(found)).tolist():
            yield found[i]


def padded(records: Sequence[StepRecord], reader: WordReader, device: object) -> tuple[WordRows, Tensor, list[str]]:
    """Words (B, T, W), lengths (B,) and all B T texts of some records, prompts first; padding is ""."""
    lengths = [len(record.steps) + 1 for record in records]
    T = max(lengths)
    texts = [text for record, n in zip(records, lengths, strict=True) for text in (record.prompt, *record.steps, *[""] * (T - n))]
    rows = WordRows.of(reader(texts), (len(records), T), device)
    return rows, torch.tensor(lengths, device=device), texts  # type: ignore[call-overload]


def targets_of(records: Sequence[StepRecord], T: int, k: int) -> np.ndarray:
    """(B, T, k) float32 labels, NaN where unscored, at prompts, and in the padding."""
    out = np.full((len(records), T, k), np.nan, np.float32)
    for i, record in enumerate(records):
        out[i, 1 : len(record.steps) + 1] = record.labels
    return out


def fit(
    network: StepTransformer, records: Sequence[StepRecord], reader: WordReader, settings: FitSettings,
    *, device: object = "cpu", bf16: bool = False,
) -> Iterator[tuple[int, float]]:  # fmt: skip
    """Trains in place; yields (updates so far, loss) after each.

    Raises:
        ValueError: no records, or records of different criteria.
    """
    if not records or len({record.criteria for record in records}) != 1:
        raise ValueError(f"fit needs records with the same criteria, got {sorted({r.criteria for r in records})}")
    k, draw = len(records[0].criteria), np.random.default_rng(settings.seed)
    lot = torch.Generator().manual_seed(settings.seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, settings.updates + 1, pct_start=0.05, div_factor=20, final_div_factor=5
    )
    network.train()
    for update, chosen in enumerate(batches(records, settings.batch_steps, draw), 1):
        some = [records[i] for i in chosen]
        rows, lengths, texts = padded(some, reader, "cpu")
        rows = forget_words(rows, lot, settings.forget_names, settings.forget_words)
        rows = WordRows(*(part.to(device) for part in rows))  # type: ignore[call-overload]
        labels = torch.from_numpy(targets_of(some, rows.number.shape[1], k)).to(device)  # type: ignore[call-overload]
        with torch.autocast("cuda" if "cuda" in str(device) else "cpu", torch.bfloat16, enabled=bf16):
            logits = network(rows, lengths.to(device), texts)  # type: ignore[call-overload]
        known = ~labels.isnan()
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float()[known], (labels[known] + 1) / 2)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        optimizer.step()
        schedule.step()
        yield update, float(loss.detach())
        if update >= settings.updates:
            return
