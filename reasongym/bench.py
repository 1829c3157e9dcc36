"""`python -m reasongym bench`: hands over to `agents.benchmark`, which lies in a checkout and is no part of the package."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer

from reasongym.errors import ReasonGymError

COMMAND = "agents.benchmark.command"
PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
"""Settings of the command: arguments and --help are those of the one that it hands over to."""


class MissingAgentsError(ReasonGymError, ImportError):
    """The benchmark's agents are not there."""


def command(context: typer.Context) -> None:
    """Play a benchmark suite and print its leaderboard (from a checkout; bench --help)."""
    app = benchmark()
    app(context.args, prog_name="reasongym bench")


def benchmark() -> Any:
    """The command line of the benchmark, imported when it is asked for.

    Raises:
        MissingAgentsError: it cannot be imported; the message says what to do.
    """
    try:
        return import_module(COMMAND).app
    except ModuleNotFoundError as missing:
        name = missing.name or ""
        if name == "agents" or name.startswith("agents."):
            raise MissingAgentsError(
                f"the benchmark's agents are not part of the installed package (no module {name!r}): run "
                "'python -m reasongym bench' in the folder of a checkout, or put that folder on PYTHONPATH, before other "
                "packages that are called 'agents'"
            ) from missing
        raise MissingAgentsError(
            f"the benchmark needs {name}, which is not installed; run: pip install 'reasongym[agents,play]'"
        ) from missing
