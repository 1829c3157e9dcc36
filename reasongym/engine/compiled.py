"""Compiles the kernels at first use, and keeps the machine code on disk.

Numba's own disk cache looks at the file of the entry point alone and misses an edit of a function that it calls in another
module, and it writes beside the source where it can. So the kernels have a cache of their own: in a per-user folder
(`REASONGYM_CACHE`, else `~/.cache/reasongym`, else a temporary one), under a name that is a hash of every source compiled.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator

from reasongym.engine import addresses, kernel, layout, order, pieces, showing, spans, transition
from reasongym.jit import entry_point
from reasongym.memory import gates, utility, working_memory
from reasongym.prm import annotated

COMPILED_MODULES = (
    addresses, kernel, layout, order, pieces, showing, spans, transition, gates, utility, working_memory, annotated,
)  # fmt: skip


class Kernels(NamedTuple):
    """The compiled entry points; see the functions of the same names in `engine.kernel`."""

    reset_rows: Any
    step_rows: Any
    act_rows: Any
    observe_rows: Any
    feedback_rows: Any
    cut_rows: Any
    order_rows: Any
    best_span_rows: Any


@functools.cache
def source_hash() -> str:
    """Hash of the sources of all compiled modules."""
    digest = hashlib.blake2b(digest_size=8)
    for module in COMPILED_MODULES:
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


@functools.cache
def cache_folder() -> str:
    """The first folder of the list above that can be written to."""
    wanted = os.environ.get("REASONGYM_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "reasongym")
    for folder in (Path(wanted) / "kernels", Path(tempfile.gettempdir()) / f"reasongym-{os.getuid()}" / "kernels"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return str(folder)
        except OSError:
            continue
    return tempfile.mkdtemp(prefix="reasongym-")


class _Locator(_CacheLocator):
    """Puts cache files into `cache_folder()`, under names that carry `source_hash()`."""

    def __init__(self, py_func: Any, py_file: str) -> None:
        self._py_file = py_file

    def get_cache_path(self) -> str:
        return cache_folder()

    def get_source_stamp(self) -> str:
        return source_hash()

    def get_disambiguator(self) -> str:
        return source_hash()

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> _Locator:
        return cls(py_func, py_file)


class _Implementation(CompileResultCacheImpl):
    _locator_classes = [_Locator]


class _KernelCache(FunctionCache):
    _impl_class = _Implementation
    announced = False

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = super().load_overload(sig, target_context)
        if found is None and not _KernelCache.announced:
            _KernelCache.announced = True
            print(f"reasongym: compiling the engine (once; kept in {cache_folder()}) ...", file=sys.stderr, flush=True)
        return found


@functools.cache
def kernels() -> Kernels:
    """The entry points; each is compiled, or loaded from disk, at its first call. They release the GIL."""
    compiled = []
    for function in kernel.ENTRY_POINTS:
        dispatcher: Any = entry_point(function)
        dispatcher._cache = _KernelCache(dispatcher.py_func)
        compiled.append(dispatcher)
    return Kernels(*compiled)
