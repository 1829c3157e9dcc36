"""The learned PRM of a row: trained within the run, from as many labelled episodes as its plan says, in the run's own budget.

The episodes are of the setting's training problems: the expert's with a planted error or none, the expert's with random
actions between, and nearly random ones. Their labels are `annotated`'s criteria, read here and nowhere else: what makes the
rewards afterwards reads no annotation. A tenth of the episodes is kept for calibration; it counts as labelled, too.

Everything that is imported of the learned PRM is imported here, when it is needed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from agents.benchmark.ledger import STEP_BITS
from reasongym.audit.collect import collect
from reasongym.audit.corruption import ERROR_CLASSES, RECALL_CLASSES, Planter
from reasongym.audit.play import make
from reasongym.audit.policies import Policy, wandering
from reasongym.errors import unknown
from reasongym.prm.annotated import AnnotatedPRM
from reasongym.prm.keeping import KeepingPRM
from reasongym.seeding import rng

MIXTURE = {"planted": 0.6, "half good": 0.25, "random": 0.15}
"""Shares of the labelled episodes."""
REWARD_ONLY = ("prm", "beta", "utility", "utility_weight")
"""Keywords that change rewards alone: the labelled episodes are played without them."""


@dataclass(frozen=True)
class Plan:
    """How a learned PRM is made.

    Attributes:
        episodes: labelled ones, L in all.
        updates: batches of training.
        batch_steps: steps of a batch.
        learning_rate: at its peak.
        width, layers, channels: of the network.
        label_error: chance that a label is given without looking: that of the same criterion in a step drawn at random.
        folder: of a learned PRM that is there already; nothing is trained then, and what it cost where a run made it is paid
            again. One that was made otherwise says nothing of its cost, and is free.
    """

    episodes: int = 1_000
    updates: int = 800
    batch_steps: int = 160
    learning_rate: float = 2e-3
    width: int = 64
    layers: int = 2
    channels: int = 16
    label_error: float = 0.0
    folder: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.label_error <= 1:
            raise ValueError(f"label_error must lie in [0, 1], got {self.label_error!r}")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Plan:
        """The plan that a row's `reward_model` stands for.

        Raises:
            UnknownNameError: a field that there is not.
        """
        for name in values:
            if name not in (known := [f.name for f in fields(cls)]):
                raise unknown("field of a reward model", name, known)
        return cls(**values)


class Made(NamedTuple):
    """A learned PRM and what it cost.

    Attributes:
        prm: for `prm=`.
        seconds: CPU seconds of labelled episodes and training.
        ledger: labelled_episodes, label_bits, expert_shown.
        frames: steps of the labelled episodes.
        supervision: in words.
    """

    prm: Any
    seconds: float
    ledger: dict[str, float]
    supervision: str
    frames: int = 0


def make_reward_model(
    plan: Plan, env_id: str, keywords: Mapping[str, Any], folder: Path, seed: int = 0, device: str = "cpu"
) -> Made:
    """Trains a PRM as planned and keeps it in `folder`, or loads the one that the plan names.

    Args:
        plan: how.
        env_id, keywords: the setting whose training problems are labelled.
        folder: where it is written.
        seed: of episodes and weights.
        device: where it is trained and scores.
    """
    from reasongym.prm.learned import LearnedPRM

    if plan.folder:
        prm = LearnedPRM.from_pretrained(plan.folder, device=device)
        told = f"process rewards of a learned PRM ({prm.meta.get('supervision', 'labels not told')})"
        cost = prm.meta.get("cost", {})
        return Made(prm, cost.get("seconds", 0.0), cost.get("ledger", {}), told, cost.get("frames", 0))
    started = time.process_time()
    records = careless(labelled(plan.episodes, env_id, keywords, seed), plan.label_error, seed)
    prm = _fitted(plan, records, seed, device)
    frames = sum(len(record.steps) for record in records)
    ledger = {
        "labelled_episodes": float(len(records)),
        "label_bits": STEP_BITS * sum(int((~np.isnan(record.labels)).sum()) for record in records),
        "expert_shown": float(frames),  # the expert, with errors planted or drawn, plays the labelled episodes
    }
    told = f"process rewards learned from {len(records):,} labelled episodes"
    if plan.label_error:
        told += f", {plan.label_error:.0%} of the labels careless"
    made = Made(prm, time.process_time() - started, ledger, told, frames)
    prm.meta = {"supervision": "step labels from annotation", "episodes": plan.episodes, "env": env_id, **ledger}
    prm.meta["cost"] = {"seconds": made.seconds, "ledger": ledger, "frames": frames}  # what a run pays that begins with it
    prm.save_pretrained(folder)
    return made


def careless(records: list[Any], share: float, seed: int = 0) -> list[Any]:
    """The records with this share of labels given without looking: each is that of the same criterion in a step drawn at
    random, which may be the right one."""
    if not share:
        return records
    draw, known = rng(seed, 13), np.concatenate([record.labels for record in records])
    out = []
    for record in records:
        labels = record.labels.copy()
        wrong = draw.random(labels.shape) < share
        others = known[draw.integers(0, len(known), labels.shape), np.arange(labels.shape[1])]
        out.append(replace(record, labels=np.where(wrong & ~np.isnan(labels), others, labels).astype(np.float32)))
    return out


def _fitted(plan: Plan, records: list[Any], seed: int, device: str) -> Any:
    """A `LearnedPRM` trained on nine tenths of the records and calibrated on the others."""
    from reasongym.prm.learned import FitSettings, Fitting, LearnedPRM, Shape, StepNetwork, vocabulary_of

    held = records[::10]
    kept = [record for i, record in enumerate(records) if i % 10]
    words = vocabulary_of(text for record in kept for text in (record.prompt, *record.steps))
    shape = Shape(width=plan.width, layers=plan.layers, channels=plan.channels, hidden=2 * plan.width)
    settings = FitSettings(plan.updates, plan.batch_steps, plan.learning_rate, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = StepNetwork(words, len(records[0].criteria), shape).to(device)
        fitting = Fitting(backbone.network, kept, backbone.reader, settings, device=device)
        while fitting.updates < plan.updates:
            fitting.update()
        prm = LearnedPRM(backbone, records[0].criteria)
        prm.calibrate(held)
    return prm


def labelled(episodes: int, env_id: str, keywords: Mapping[str, Any], seed: int = 0) -> list[Any]:
    """Records of so many training episodes of different problems where there are enough, with the labels of
    `annotated` and `keeping`."""
    if episodes < 20:
        raise ValueError(f"a reward model needs at least 20 labelled episodes, got {episodes}")
    own = {name: value for name, value in keywords.items() if name not in REWARD_ONLY}
    spans, there = _spans_and_problems(env_id, own)
    planter = Planter(RECALL_CLASSES if spans else ERROR_CLASSES, rate=0.6, seed=seed)
    policies: dict[str, Policy] = {"planted": planter, "half good": wandering(0.3), "random": wandering(0.8)}
    order = rng(seed, 12).choice(there, min(there, episodes), replace=False)
    out: list[Any] = []
    for name, policy in policies.items():
        count = episodes - len(out) if name == "random" else round(MIXTURE[name] * episodes)
        problems = np.resize(order, len(out) + count)[len(out) :]
        out += collect(env_id, policy, problems, labels=[AnnotatedPRM(), KeepingPRM()], seed=seed, split="train", **own)
    return out


def _spans_and_problems(env_id: str, keywords: Mapping[str, Any]) -> tuple[bool, int]:
    """Whether answers are spans, and how many training problems there are (2**31 of an endless source)."""
    env = make(env_id, 1, split="train", **keywords)
    try:
        return env.batch.shapes.span, env.batch.source.num_problems or 2**31
    finally:
        env.close()
