"""Plays the runs of a suite on a Ray cluster: `python -m reasongym bench core --engine ray --address auto`.

A run is a Ray task of one CPU. It plays in a folder of its node's own and in a process of its own, as on one machine, and its
files come back as its value. A node that is lost takes the tasks on it along, and Ray begins them anew elsewhere: a run may be
*played* more than once. Its *result* is written once, by the driver alone, under the run's lock, and its presence says that the
run is over. A driver that is lost loses the runs in flight; called again, it goes on with those that are left.

The published files must lie under the same path on every node.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from agents.benchmark.files import CURVE, EPISODES, LOG, RESULT, RUN, TakenError, locked, write_json, write_text
from agents.benchmark.queue import Failure, Queue, environment, last_words, ordered, told_of
from agents.benchmark.results import read_result
from agents.benchmark.suite import Run

FILES = (LOG, CURVE, EPISODES, RESULT)
"""What comes back of a run; the result is the last to be written."""
WAIT = 0.5
"""Seconds between two looks at the tasks."""


class RunError(RuntimeError):
    """A run's process ended without a result; says what it said last."""


def play_here(order: dict[str, Any], data: str) -> dict[str, str]:
    """Plays a run on this node; its files by name.

    Raises:
        RunError: it has no result.
    """
    with tempfile.TemporaryDirectory(prefix="reasongym-") as place:
        folder = Path(place)
        write_json(folder / RUN, order)
        command = [sys.executable, "-m", "agents.benchmark.run", place, "--data", data, "--parent", str(os.getpid())]
        with (folder / LOG).open("ab") as log:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(), check=False)
        if done.returncode or not (folder / RESULT).exists():
            raise RunError(f"exit code {done.returncode}, {last_words(folder / LOG)}")
        return {name: (folder / name).read_text(errors="replace") for name in FILES if (folder / name).exists()}


class RayQueue(Queue):
    """Plays runs as Ray tasks.

    Args:
        folder: of the suite: `RUNS/SUITE`, on the driver's machine.
        address: of the cluster ("auto", "ray://HOST:PORT", ...); None: a cluster of this machine alone.
        jobs: tasks in flight at most; 0: as many as there are runs, which Ray queues.
        data: folder of the published files, under this path on every node; or "".
        told: called with every run's line when it ends.
        retries: how often a run is begun anew whose node or worker is lost.

    Raises:
        ImportError: Ray is missing; names the extra.
    """

    def __init__(
        self,
        folder: Path,
        address: str | None = None,
        jobs: int = 0,
        data: str = "",
        told: Callable[[str], None] = tqdm.write,
        retries: int = 20,
    ) -> None:
        super().__init__(folder, max(1, jobs), data, told)
        self._ray, self._retries, self._most = _ray(), retries, jobs or sys.maxsize
        self._address = address

    def play(self, runs: Sequence[Run]) -> None:
        """Plays all that are left; what fails is in `failures` afterwards.

        Raises:
            ConnectionError: there is no cluster at the address.
            OSError: the driver's disk is full.
        """
        ray, begun = self._ray, not self._ray.is_initialized()
        if begun:
            ray.init(address=self._address, log_to_driver=False, logging_level="warning")
        task = ray.remote(num_cpus=1, max_retries=self._retries)(play_here)
        waiting = self.left(runs)[::-1]
        flying: dict[Any, Run] = {}
        try:
            with tqdm(total=len(runs), initial=len(runs) - len(waiting), unit="run", smoothing=0, disable=None) as bar:
                while waiting or flying:
                    while waiting and len(flying) < self._most:
                        run = waiting.pop()
                        flying[task.remote(ordered(run), self.data)] = run
                    ready, _ = ray.wait(list(flying), num_returns=1, timeout=WAIT)
                    for one in ready:
                        self._receive(flying.pop(one), one)
                        bar.update()
        finally:
            for one in flying:
                ray.cancel(one, force=True)
            if begun:
                ray.shutdown()

    def _receive(self, run: Run, reference: Any) -> None:
        """Writes what came back of a run, or why nothing did."""
        try:
            files = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            why = str(cause).strip().splitlines()[-1] if isinstance(cause, RunError) else f"{type(cause).__name__}: {cause}"
            self.failures.append(Failure(run, why))
            self.told(f"{run.id}: failed, {why}")
            return
        folder = self.folder / run.id
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with locked(folder):
                if not self.left([run]):
                    self.told(f"{run.id}: another process has played it")
                    return
                write_json(folder / RUN, ordered(run))
                for name in FILES:
                    if name in files:
                        write_text(folder / name, files[name])
        except TakenError:
            self.told(f"{run.id}: another process plays it")
            return
        self.told(told_of(run, read_result(folder / RESULT)))


def _ray() -> Any:
    try:
        import ray
    except ImportError as missing:
        raise ImportError("a suite on a cluster needs Ray; run: pip install 'reasongym[ray]'") from missing
    return ray
