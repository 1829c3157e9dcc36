"""What an environment is asked to be: the public keywords, checked, and the parts they name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from reasongym.engine.layout import CONFIG
from reasongym.engine.pieces import METRICS
from reasongym.errors import unknown
from reasongym.memory import gates, utility
from reasongym.memory.gates import gate_code
from reasongym.memory.utility import utility_code
from reasongym.prm.annotated import CRITERIA as ANNOTATED_CRITERIA
from reasongym.prm.annotated import AnnotatedPRM
from reasongym.prm.base import ENVIRONMENT_CRITERIA, ProcessRewardModel, check_prm, weights_of
from reasongym.prm.loading import load_prm
from reasongym.types import Spans

NO_OBSERVER_CRITERIA = 4
CHOICES = {"question_at": ("start", "end"), "reason_when": ("end", "any"), "memory_view": ("full", "recalled")}


@dataclass(frozen=True)
class Settings:
    """The keywords of an environment that do not choose its problems; see the environments' documentation."""

    memory_slots: int = 10
    units_per_slot: int = 2
    chain_length: int = 10
    question_at: str = "start"
    reason_when: str = "end"
    memory_view: str = "full"
    prm: str | os.PathLike[str] | ProcessRewardModel = "annotated"
    beta: Mapping[str, float] | None = None
    utility: Any = "coverage"
    utility_weight: float = 0.3
    observer: str | os.PathLike[str] | ProcessRewardModel | None = None
    gate: Any = "open"
    salience_rate: float = 0.2
    max_steps: int | None = None
    question_tokens: int | None = None
    unit_tokens: int | None = None
    model: ProcessRewardModel = field(init=False, repr=False)
    observer_model: ProcessRewardModel | None = field(init=False, repr=False)
    weights: dict[str, float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name, low in (("memory_slots", 0), ("units_per_slot", 1), ("chain_length", 0)):
            _whole(name, getattr(self, name), low, 1000)
        for name in ("max_steps", "question_tokens", "unit_tokens"):
            if getattr(self, name) is not None:
                _whole(name, getattr(self, name), 1, 2**31 - 1)
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        _number("salience_rate", self.salience_rate, 0.0, 1.0)
        _number("utility_weight", self.utility_weight, -np.inf, np.inf)
        gate_code(self.gate)
        utility_code(self.utility)
        object.__setattr__(self, "model", _prm(self.prm, "prm"))
        object.__setattr__(self, "observer_model", None if self.observer is None else _prm(self.observer, "observer"))
        if self.beta is not None and not isinstance(self.beta, Mapping):
            raise TypeError(f"beta must be a mapping from criteria to weights, got {self.beta!r} ({type(self.beta).__name__})")
        object.__setattr__(self, "weights", weights_of(self.model, self.beta))
        if self.observer_model is not None and self.observer_model.needs_annotation:
            raise ValueError(
                f"observer={self.observer!r} needs annotation, but what it says is shown to the agent: an observer must not "
                "read gold answers or support; use 'lexical' or another PRM with needs_annotation = False"
            )
        if getattr(self.gate, "needs_annotation", False):
            raise ValueError(f"gate={self.gate!r} needs annotation, but its masks are shown to the agent")

    @property
    def criteria(self) -> tuple[str, ...]:
        """All criteria in order: the PRM's own, `outcome`, `validity`."""
        return (*self.model.criteria, *ENVIRONMENT_CRITERIA)

    @property
    def annotated(self) -> bool:
        """Whether anything reads the support."""
        return self.model.needs_annotation or utility.needs_annotation(self.utility)

    @property
    def reads_gold(self) -> bool:
        """Whether anything reads the gold answers."""
        return self.annotated or self.weights["outcome"] != 0

    @property
    def compiled_prm(self) -> bool:
        """Whether the PRM is the one that the kernel computes."""
        return type(self.model) is AnnotatedPRM

    @property
    def compiled(self) -> bool:
        """Whether a step needs no Python at all."""
        outside = gate_code(self.gate) == gates.OUTSIDE or utility_code(self.utility) == utility.OUTSIDE
        return self.compiled_prm and self.observer is None and not outside

    @property
    def observer_criteria(self) -> int:
        return NO_OBSERVER_CRITERIA if self.observer_model is None else len(self.observer_model.criteria)

    def weighed(self, weight: float) -> Settings:
        """The same with process rewards and utility times `weight`; outcomes and validity keep their weights."""
        beta = {name: self.weights[name] * (1 if name in ENVIRONMENT_CRITERIA else weight) for name in self.criteria}
        paid = weight * self.utility_weight
        return replace(self, beta=beta, utility_weight=paid, prm=self.model, observer=self.observer_model)

    def config(self, num_problems: int | None, spans: Spans | None) -> np.ndarray:
        """The settings as the kernels read them: (1,) CONFIG."""
        config = np.zeros(1, CONFIG)
        values = {
            "num_problems": num_problems or 0,
            "max_steps": self.max_steps or 0,
            "question_at_end": self.question_at == "end",
            "reason_any": self.reason_when == "any",
            "view_recalled": self.memory_view == "recalled",
            "annotated": self.annotated,
            "reads_gold": self.reads_gold,
            "compiled_prm": self.compiled_prm,
            "gate": gate_code(self.gate),
            "utility": utility_code(self.utility),
            "salience_rate": self.salience_rate,
            "utility_weight": self.utility_weight,
        }
        if spans is not None:
            values |= {"span": 1, "metric": METRICS[spans.metric], "max_length": spans.max_length, "right_at": spans.right_at}
        for name, value in values.items():
            config[name] = value
        if self.compiled_prm:
            config["beta"] = [self.weights[c] for c in (*ANNOTATED_CRITERIA, *ENVIRONMENT_CRITERIA)]
        return config


def _prm(prm: Any, role: str) -> ProcessRewardModel:
    return check_prm(load_prm(prm) if isinstance(prm, str | os.PathLike) else prm, role)


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be a whole number, got {value!r} ({type(value).__name__})")
    if not low <= value <= high:
        raise ValueError(f"{name} must lie in [{low}, {high}], got {value}")


def _number(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise TypeError(f"{name} must be a number, got {value!r} ({type(value).__name__})")
    if not (low <= value <= high) or not np.isfinite(value):
        raise ValueError(f"{name} must be a finite number in [{low}, {high}], got {value}")
