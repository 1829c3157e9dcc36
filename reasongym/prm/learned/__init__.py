"""The learned PRM: `LearnedPRM`, its networks, and how it is fitted to step labels.

Importing this loads no `torch`; the first of its names that is used does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reasongym.prm.learned.fitting import FitSettings, Fitting
    from reasongym.prm.learned.prm import LearnedPRM
    from reasongym.prm.learned.step_lm import StepLM
    from reasongym.prm.learned.step_network import StepNetwork
    from reasongym.prm.learned.step_transformer import Shape
    from reasongym.prm.learned.words import vocabulary_of

__all__ = ["FitSettings", "Fitting", "LearnedPRM", "Shape", "StepLM", "StepNetwork", "vocabulary_of"]
_HOME = {
    "FitSettings": "fitting",
    "Fitting": "fitting",
    "LearnedPRM": "prm",
    "Shape": "step_transformer",
    "StepLM": "step_lm",
    "StepNetwork": "step_network",
    "vocabulary_of": "words",
}
"""The module of each name."""


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    try:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    except ModuleNotFoundError as missing:
        raise ImportError(f"the learned PRM needs {missing.name}; run: pip install 'reasongym[agents]'") from missing
