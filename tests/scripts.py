"""Runs scripts as users do, each in a process of its own, without the seconds that importing large libraries takes."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from multiprocessing.context import BaseContext
from pathlib import Path

LARGE = ("numba", "stable_baselines3", "torch", "torch._dynamo", "torch.utils.tensorboard", "transformers.generation")
"""Of others, imported once for all scripts of a test process; of this project nothing, so that a script must import it."""


def run_script(script: Path, *arguments: str, cwd: Path, timeout: float = 280, **environment: str) -> tuple[int | None, str]:
    """(exit code, what it printed) of `python SCRIPT ARGUMENTS`; None: it ran out of time and was killed."""
    environment = {**os.environ, **environment}
    printed = cwd / f"{script.stem}.printed"
    process = _context().Process(target=_run, args=(str(script), arguments, str(cwd), str(printed), environment))
    process.start()
    process.join(timeout)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join()
    return code, printed.read_text(errors="replace") if printed.is_file() else ""


def _context() -> BaseContext:
    """A server that forks fresh processes where there are such, else new interpreters."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LARGE))
    return context


def _run(script: str, arguments: tuple[str, ...], cwd: str, printed: str, environment: dict[str, str]) -> None:
    """What the process does."""
    to = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(to, 1), os.dup2(to, 2)
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent)
    runpy.run_path(script, run_name="__main__")
