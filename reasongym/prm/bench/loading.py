"""What `--prm` may name: a PRM built in, a folder of a learned one, or any object by import path or file.

| name | what is tested |
| --- | --- |
| `oracle`, `always-yes`, `always-no`, `random`, `step-type prior`, `lexical` | built in |
| `FOLDER` | a learned PRM that was saved there |
| `package.module:Object`, `file.py:Object` | an object, a class or a function without arguments that makes one |
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from reasongym.errors import PRMError, unknown
from reasongym.prm.base import ProcessRewardModel
from reasongym.prm.bench.adapter import StepBatchScorer
from reasongym.prm.bench.plain_text import LexicalScorer
from reasongym.prm.bench.references import Always, Oracle, Random, StepTypePrior
from reasongym.prm.records import RecordScorer, StepRecord

REFERENCES: dict[str, Callable[[], Any]] = {
    "oracle": Oracle,
    "always-yes": lambda: Always(1),
    "always-no": lambda: Always(-1),
    "random": Random,
    "step-type prior": StepTypePrior,
    "lexical": LexicalScorer,
}
SAVED = "reasongym_prm.json"
"""The file by which the folder of a learned PRM is known."""


@runtime_checkable
class Unfitted(Protocol):
    """What must see labels before it can score: the bench fits it on other problems than those that it scores."""

    def fit(self, records: Sequence[StepRecord]) -> RecordScorer:
        """The scorer."""
        ...


def load_scorer(name: str) -> RecordScorer | Unfitted:
    """What the name stands for; see the module's docstring.

    Raises:
        UnknownNameError: it stands for nothing.
        PRMError: a folder without a learned PRM, a module or file that is not there, an object that is no PRM.
    """
    if name in REFERENCES:
        return REFERENCES[name]()
    if Path(name).is_dir():
        if not (Path(name) / SAVED).exists():
            raise PRMError(
                f"the folder {name} holds no learned PRM: {SAVED} is missing; save one with save_pretrained({name!r})"
            )
        return importlib.import_module("reasongym.prm.learned").LearnedPRM.from_pretrained(name)
    module, colon, attribute = name.rpartition(":")
    if not colon or not module or not attribute:
        raise unknown("PRM", name, (*REFERENCES, "FOLDER", "package.module:Object", "file.py:Object"))
    try:
        return as_scorer(_made(name, _object(_module(module), module, attribute)), name)
    except TypeError as error:
        raise PRMError(str(error)) from error


def as_scorer(prm: object, name: str = "prm") -> RecordScorer | Unfitted:
    """The object itself where it scores records or can be fitted, wrapped where it is a PRM of environments.

    Raises:
        TypeError: it is neither.
    """
    if inspect.isclass(prm):
        raise TypeError(f"{name} is the class {prm.__name__}; give an object: {prm.__name__}(...)")
    if callable(getattr(prm, "score_records", None)):
        for attribute, kind in (("criteria", tuple), ("version", str)):
            if not isinstance(getattr(prm, attribute, None), kind):
                raise TypeError(
                    f"{name} scores records, but its attribute {attribute!r} must be a {kind.__name__}, "
                    f"got {getattr(prm, attribute, None)!r}"
                )
        return prm  # type: ignore[return-value]
    if isinstance(prm, ProcessRewardModel):
        return StepBatchScorer(prm)
    if isinstance(prm, Unfitted):
        return prm
    raise TypeError(
        f"{name} is {prm!r}, no PRM: it needs criteria, version and score_records(records) -> one (T, k) array a record "
        "(or score(steps), as environments call it, with needs_annotation and default_beta)"
    )


def _module(name: str) -> Any:
    if name.endswith(".py"):
        path = Path(name)
        if not path.is_file():
            raise PRMError(f"there is no file {name}; give file.py:Object with a path from here ({Path.cwd()})")
        spec = importlib.util.spec_from_file_location(f"_prm_of_{path.stem}", path)  # a file json.py hides no other json
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        _search(path.parent)
        spec.loader.exec_module(module)
        return module
    _search(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name is not None and not (name + ".").startswith(missing.name + "."):
            raise  # the module is there, and something that it imports is not
        raise PRMError(f"there is no module {name!r} ({missing}); run from its folder, or give file.py:Object") from None


def _search(folder: Path) -> None:
    """Modules of the folder can be imported, after all others."""
    if str(folder.resolve()) not in sys.path:
        sys.path.append(str(folder.resolve()))


def _object(module: Any, name: str, attribute: str) -> Any:
    if not hasattr(module, attribute):
        public = [key for key in vars(module) if not key.startswith("_")]
        raise unknown(f"object of {name}", attribute, public)
    return getattr(module, attribute)


def _made(name: str, found: Any) -> Any:
    """The object itself, or what a class or function without arguments makes."""
    if not inspect.isclass(found) and not inspect.isfunction(found):
        return found
    needed = [
        parameter.name
        for parameter in inspect.signature(found).parameters.values()
        if parameter.default is parameter.empty and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if needed:
        raise PRMError(f"{name} cannot be made without {', '.join(needed)}; name an object, or a function without arguments")
    return found()
