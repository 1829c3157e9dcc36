"""A process reward model by its name: what `prm=` and `observer=` of an environment, and `--prm` of a command, may say.

| name | what it stands for |
| --- | --- |
| `annotated`, `lexical` | built in (the bench has built-in ones of its own, which read records) |
| `FOLDER` | a learned PRM that was saved there with `save_pretrained` |
| `judge:MODEL` | a `Judge` with its defaults; MODEL is a folder or name that `transformers` loads |
| `judge:MODEL@URL` | the same model behind an OpenAI-compatible server |
| `file.py:Object`, `package.module:Object` | an object, or a class or a function without arguments that makes one |

A judge by name answers with label probabilities where it can, and in words where it cannot; a command may give it further
keywords (`judge=`). Whatever else needs arguments is made in a file: `file.py:Object`. Nothing heavy is imported before a name
asks for it.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reasongym.errors import PRMError, ReasonGymError, unknown
from reasongym.prm.annotated import AnnotatedPRM
from reasongym.prm.blame import failure
from reasongym.prm.lexical import LexicalPRM

BUILT_IN: Mapping[str, Callable[[], Any]] = {"annotated": AnnotatedPRM, "lexical": LexicalPRM}
SAVED = "reasongym_prm.json"
"""The file by which the folder of a learned PRM is known."""
JUDGE = "judge:"
PAID = frozenset(("price", "max_cost"))
"""Keywords of a judge that is paid for."""
FORMS = ("FOLDER", "judge:MODEL", "judge:MODEL@URL", "file.py:Object", "package.module:Object")


def load_prm(
    name: str | os.PathLike[str],
    built_in: Mapping[str, Callable[[], Any]] = BUILT_IN,
    *,
    judge: Mapping[str, Any] | None = None,
) -> Any:
    """What the name stands for; see the module's docstring. Whether it is a PRM is for the caller to check.

    Args:
        name: the name, or a path.
        built_in: makers of those that are built in.
        judge: keywords of `Judge` for a judge by name, such as {"cache": FOLDER, "on_failure": "unscored"}.

    Raises:
        ValueError: a keyword that this judge does not take, or a wrong one.
        UnknownNameError: it stands for nothing.
        PRMError: a folder without a learned PRM, no such judge, a file or module that is not there or fails, an object that
            cannot be made.
    """
    name = os.fspath(name)
    if name in built_in:
        return built_in[name]()
    if name.startswith(JUDGE):
        return _judge(name, dict(judge or {}))
    if Path(name).is_dir():
        return _learned(name)
    module, colon, attribute = name.rpartition(":")
    if colon and module and attribute:
        return _made(name, _object(_module(module), module, attribute))
    if name.endswith(".py"):
        raise PRMError(f"{name} names a file; say which object of it is the PRM: {name}:Object")
    if os.sep in name or Path(name).exists():
        what = "is a file" if Path(name).exists() else "does not exist"
        raise PRMError(f"no PRM {name!r}: it {what}; expected the folder of a learned PRM (here is {Path.cwd()}), or a name: "
                       f"{', '.join((*built_in, *FORMS))}")  # fmt: skip
    raise unknown("PRM", name, (*built_in, *FORMS))


def _learned(folder: str) -> Any:
    if not (Path(folder) / SAVED).exists():
        raise PRMError(
            f"the folder {folder} holds no learned PRM: {SAVED} is missing; save one with save_pretrained({folder!r}), or ask "
            f"the language model in it with judge:{folder}"
        )
    learned = importlib.import_module("reasongym.prm.learned").LearnedPRM
    try:
        return learned.from_pretrained(folder)
    except ImportError:
        raise
    except Exception as error:  # files cut short or changed fail in json, safetensors and torch, each with errors of its own
        raise PRMError(f"the learned PRM in {folder} cannot be read: {type(error).__name__}: {error}") from error


def _judge(name: str, keywords: dict[str, Any]) -> Any:
    model, at, url = name.removeprefix(JUDGE).rpartition("@")
    if not at:
        model, url = url, ""
    if not model or (at and not url.startswith(("http://", "https://"))):
        raise PRMError(f"a judge is named judge:MODEL or judge:MODEL@http://HOST:PORT/v1, got {name!r}")
    if not url and keywords.keys() & PAID:
        raise ValueError(f"{', '.join(sorted(keywords.keys() & PAID))} bounds what a server bills; {name} runs in this process")
    judge = importlib.import_module("reasongym.prm.judge").Judge
    return judge(model, url=url or None, **{"answers": "either", **keywords})


def _module(name: str) -> Any:
    if not name.endswith(".py"):
        return _package(name)
    path = Path(name)
    if not path.is_file():
        raise PRMError(f"there is no file {name}; give file.py:Object with a path from here ({Path.cwd()})")
    spec = importlib.util.spec_from_file_location(f"_prm_of_{path.stem}", path)  # a file json.py hides no other json
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    _search(path.parent)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        raise failure(f"{name} cannot be run", error) from error
    return module


def _package(name: str) -> Any:
    _search(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name is not None and (name + ".").startswith(missing.name + "."):
            raise PRMError(f"there is no module {name!r} ({missing}); run from its folder, or give file.py:Object") from None
        raise failure(f"the module {name} cannot be imported", missing) from missing
    except Exception as error:
        raise failure(f"the module {name} cannot be imported", error) from error


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
    try:
        return found()
    except ReasonGymError:
        raise
    except Exception as error:
        raise failure(f"{name} cannot be made", error) from error
