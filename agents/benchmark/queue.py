"""Plays the runs of a suite that are left, several processes side by side, with a progress display.

Every run is a process of its own: one that is killed, or for which memory does not suffice, loses itself and nothing else.
Runs that are over are skipped, so a suite may be played in parts, in any number of calls, and by several at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from agents.benchmark.files import LOG, PROGRESS, RESULT, RUN, TakenError, locked, write_json
from agents.benchmark.results import read_result, refuse_other
from agents.benchmark.run import FULL, TAKEN
from agents.benchmark.suite import PROTOCOL, Run

ROOT = Path(__file__).resolve().parents[2]
LOOK_EVERY = 0.2
"""Seconds between two looks at the processes."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class Failure(NamedTuple):
    """A run that is not over, and why: what its process said last."""

    run: Run
    why: str


class _Playing(NamedTuple):
    run: Run
    folder: Path
    process: subprocess.Popen[bytes]


class Queue:
    """Plays runs.

    Args:
        folder: of the suite: `RUNS/SUITE`.
        jobs: processes at a time.
        data: folder of the published files, or "".
        told: called with every run's line when it ends.

    Raises:
        ValueError: fewer than one process.
    """

    def __init__(self, folder: Path, jobs: int = 2, data: str = "", told: Callable[[str], None] = tqdm.write) -> None:
        if jobs < 1:
            raise ValueError(f"jobs must be at least 1, got {jobs}")
        self.folder, self.jobs, self.data, self.told = folder, jobs, data, told
        self.failures: list[Failure] = []
        self._playing: list[_Playing] = []

    def left(self, runs: Sequence[Run]) -> list[Run]:
        """The runs that are not over.

        Raises:
            ProtocolError: a run that is over was played by another protocol, or with other settings.
        """
        out = []
        for run in runs:
            if (path := self.folder / run.id / RESULT).exists():
                refuse_other(path, read_result(path), run.config)
            else:
                out.append(run)
        return out

    def play(self, runs: Sequence[Run]) -> None:
        """Plays all that are left; what fails is in `failures` afterwards.

        Raises:
            OSError: the disk is full.
        """
        waiting = self.left(runs)[::-1]
        played = len(runs) - len(waiting)
        with tqdm(total=len(runs), initial=played, unit="run", dynamic_ncols=True, smoothing=0, disable=None) as bar:
            try:
                while waiting or self._playing:
                    while waiting and len(self._playing) < self.jobs:
                        bar.update(not self._start(waiting.pop()))
                    time.sleep(LOOK_EVERY)
                    for one in [one for one in self._playing if one.process.poll() is not None]:
                        self._playing.remove(one)
                        self._end(one)
                        bar.update()
                    self._show(bar)
            finally:
                self._stop()

    def _show(self, bar: tqdm) -> None:
        """Says what is being played; without a terminal only the lines of runs that ended are told."""
        if not bar.disable:
            playing = "; ".join(f"{one.run.id} {_seconds(one.folder)}" for one in self._playing)
            bar.set_postfix_str(playing, refresh=False)
            if time.time() - bar.last_print_t > 1:
                bar.refresh()

    def _start(self, run: Run) -> bool:
        """Begins a run; False where another call plays it, or has meanwhile played it to its end."""
        folder = self.folder / run.id
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with locked(folder):
                if not self.left([run]):
                    self.told(f"{run.id}: another process has played it")
                    return False
                write_json(folder / RUN, ordered(run))
        except TakenError:
            self.told(f"{run.id}: another process plays it")
            return False
        command = [sys.executable, "-m", "agents.benchmark.run", str(folder), "--data", self.data, "--parent", str(os.getpid())]
        with (folder / LOG).open("ab") as log:  # emptied by the process once the run is its own
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment())
        self._playing.append(_Playing(run, folder, process))
        return True

    def _end(self, one: _Playing) -> None:
        code = one.process.returncode
        if code == TAKEN:
            self.told(f"{one.run.id}: another process plays it")
        elif code == 0 and (one.folder / RESULT).exists():
            self.told(told_of(one.run, read_result(one.folder / RESULT)))
        else:
            why = f"killed by signal {-code}" if code < 0 else last_words(one.folder / LOG)
            self.failures.append(Failure(one.run, why))
            self.told(f"{one.run.id}: failed, {why} ({one.folder / LOG})")
            if code == FULL:
                raise OSError(FULL, f"the disk of {self.folder} is full: make room and play the suite again, it goes on")

    def _stop(self) -> None:
        """Ends what is still being played: it is played anew the next time."""
        for one in self._playing:
            one.process.terminate()
        for one in self._playing:
            one.process.wait()
        self._playing.clear()


def ordered(run: Run) -> dict[str, Any]:
    """What `run.json` says of a run."""
    parts = {"suite": run.suite, "row": run.row, "setting": run.setting, "seed": run.seed, "config": run.config}
    return {"protocol": PROTOCOL, **parts}


def environment() -> dict[str, str]:
    """Of a run's process: one thread, and the modules that are found here."""
    own = dict.fromkeys(THREADS, "1")
    paths = [str(ROOT), os.getcwd(), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, **own, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def told_of(run: Run, result: Mapping[str, Any]) -> str:
    """A run that is over, in a line."""
    return (
        f"{run.id}: {result['status']}, success {result['success']:.1%} after {result['frames']:,} frames, "
        f"{result['cpu_seconds']:.0f} CPU seconds"
    )


def last_words(log: Path) -> str:
    """The last line of a log that says something."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    return lines[-1] if lines else "it said nothing"


def _seconds(folder: Path) -> str:
    path = folder / PROGRESS
    return f"{path.read_text()} s" if path.exists() else "begins"
