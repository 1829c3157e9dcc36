"""What a network is that answers after reading, and how one is fitted on answers alone.

Axes: B problems, M units, C choices.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.baselines.supervised_memory.stories import Lesson, Stories
from agents.budget import Budget
from reasongym.errors import unknown
from reasongym.seeding import rng

OPTIMIZERS: dict[str, Any] = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop}
WATCHED = 0.1
"""Share of the training problems that is not trained on: the parameters that answer most of them are kept."""


class Read(NamedTuple):
    """What a network made of B stories.

    Attributes:
        logits: (B, C) of the answers.
        relevance: (B, M) in (0, 1), how much each unit mattered; None where a network cannot tell.
    """

    logits: Tensor
    relevance: Tensor | None = None


@dataclass(frozen=True)
class Training:
    """How a network is trained; each network's own is what its paper says.

    Attributes:
        optimizer: "adam", "sgd" or "rmsprop".
        learning_rate: at the beginning.
        halve_every: epochs after which the rate is halved; 0 never.
        epochs: at most.
        batch_size: problems.
        max_grad_norm: gradients are scaled down to it.
        summed: whether a step descends the sum of a batch's losses, not their mean (plain SGD's rate means another thing then).
        support_coef: weight of the support loss (cross-entropy of `relevance`, nats a unit); 0 reads no support.
        restarts: how often it may begin anew, from other weights, when its epochs are over and the budget is not. The training
            that answers most watched problems stays; one that answers them all is the last.
    """

    optimizer: str = "adam"
    learning_rate: float = 1e-3
    halve_every: int = 0
    epochs: int = 100
    batch_size: int = 32
    max_grad_norm: float = 40.0
    summed: bool = False
    support_coef: float = 0.0
    restarts: int = 0

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise unknown("optimizer", self.optimizer, OPTIMIZERS)
        for name in ("learning_rate", "epochs", "batch_size", "max_grad_norm"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}")
        for name in ("support_coef", "halve_every", "restarts"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)!r}")


class AnswerNetwork(Protocol):
    """A network, made as `Network(vocabulary_size, num_choices, **options)`, that reads whole texts, and then the question.

    Attributes:
        defaults: how its paper trains it.
    """

    defaults: Training

    def __call__(self, stories: Stories) -> Read:
        """Reads B stories."""
        ...

    def begin_epoch(self, epoch: int) -> None:
        """Told before each epoch (from 0)."""
        ...


class Fitted(NamedTuple):
    """What fitting reached: share of the watched problems answered right, epochs begun, problems read (with repetition)."""

    watched: float
    epochs: int
    problems: int


def fit(network: Any, lesson: Lesson, training: Training, budget: Budget, seed: int = 0) -> Fitted:
    """Trains a network on answers until epochs or budget are over; the parameters that answered most watched problems stay.

    A problem of n units counts as n + 1 frames: so many steps an agent takes that reads it and answers.

    Args:
        network: an `AnswerNetwork`.
        lesson: training problems, at least two.
        training: how.
        budget: spent an update at a time.
        seed: of order and split.

    Raises:
        ValueError: fewer than two problems, or a support loss for a network that does not say what mattered.
    """
    count = len(lesson.answers)
    if count < 2:
        raise ValueError(f"fitting needs at least two problems, one of them to watch, got {count}")
    device = lesson.answers.device
    order = torch.as_tensor(rng(seed, 11).permutation(count), device=device)
    watched, rows = order.split([max(1, int(WATCHED * count)), count - max(1, int(WATCHED * count))])
    settings = {"momentum": 0.9} if training.optimizer == "rmsprop" else {}
    optimizer = OPTIMIZERS[training.optimizer](network.parameters(), lr=training.learning_rate, **settings)
    generator = torch.Generator().manual_seed(seed)
    frames = (lesson.stories.lengths + 1).cpu()
    best, kept, read, epoch = -1.0, copy.deepcopy(network.state_dict()), 0, 0
    while epoch < training.epochs and not budget.over:
        network.begin_epoch(epoch)
        network.train()
        if training.halve_every:
            for group in optimizer.param_groups:
                group["lr"] = training.learning_rate * 0.5 ** (epoch // training.halve_every)
        for part in rows[torch.randperm(len(rows), generator=generator).to(device)].split(training.batch_size):
            optimizer.zero_grad()
            loss = loss_of(network, lesson.take(part), training.support_coef)
            (loss * len(part) if training.summed else loss).backward()
            nn.utils.clip_grad_norm_(network.parameters(), training.max_grad_norm)
            optimizer.step()
            read += len(part)
            if not budget.spend(int(frames[part.cpu()].sum())):
                break
        epoch += 1
        share = accuracy(network, lesson, watched)
        if share >= best:
            best, kept = share, copy.deepcopy(network.state_dict())
    network.load_state_dict(kept)
    network.eval()
    return Fitted(best, epoch, read)


def loss_of(network: Any, lesson: Lesson, support_coef: float) -> Tensor:
    """Mean cross-entropy (nats) of the answers, plus `support_coef` times that of what mattered.

    Raises:
        ValueError: a support loss for a network that does not say what mattered.
    """
    found = network(lesson.stories)
    loss = F.cross_entropy(found.logits, lesson.answers)
    if not support_coef:
        return loss
    if found.relevance is None:
        raise ValueError(f"{type(network).__name__} does not say which units mattered: it takes no support loss")
    counts = (lesson.stories.units > 0) & lesson.support_known[:, None]
    relevance = found.relevance.clamp(1e-6, 1 - 1e-6)
    each = F.binary_cross_entropy(relevance, lesson.support.float(), reduction="none")
    return loss + support_coef * (each * counts).sum() / counts.sum().clamp(min=1)


def accuracy(network: Any, lesson: Lesson, rows: Tensor) -> float:
    """Share of the problems `rows` answered right."""
    network.eval()
    right = 0
    with torch.no_grad():
        for part in rows.split(256):
            batch = lesson.take(part)
            right += int((network(batch.stories).logits.argmax(1) == batch.answers).sum())
    return right / len(rows)


def position_encoding(length: int, size: int) -> Tensor:
    """(length, size): 1 - j/J - (k/d)(1 - 2j/J) for word j of J and dimension k of d (MemN2N, section 4.1).

    J is the greatest length here, as in the released code, not each sentence's own.
    """
    j = torch.arange(1, length + 1)[:, None] / length
    k = torch.arange(1, size + 1)[None] / size
    return 1 - j - k * (1 - 2 * j)


def gaussian(network: nn.Module, std: float = 0.1) -> None:
    """Every matrix of a network from N(0, std), rows of padding zero."""
    for module in network.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=std)
            if module.padding_idx is not None:
                module.weight.data[module.padding_idx] = 0
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=std)


def last_units(units: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The last `most` units of each text: (B, M) -> (B, m) rows aligned at the end, 0 before, and how late (B, m): 1 = last."""
    B, M = units.shape
    m = min(M, most)
    length = (units > 0).sum(1, keepdim=True)
    back = torch.arange(m, 0, -1, device=units.device)[None].expand(B, m)
    place = (length - back).clamp(min=0)
    there = back <= length
    return units.gather(1, place) * there, back * there
