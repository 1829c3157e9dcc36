"""Plays the training runs of a settings file: `python examples/published_runs.py --data FOLDER [--suite text] [--only TEXT]`.

Each run of `settings/SUITE.json` is `train_ppo.py` with those arguments, stops at its threshold or after its minutes of CPU,
and leaves its result in `examples/results/SUITE/NAME.json`. Runs that have one are skipped, runs that were cut off go on from
their checkpoint, so the suite may be spread over any number of calls. FOLDER stands for `{data}` in the settings: it holds
`babi/en-10k.tar.gz`, and for the suite `text` also `squad` and `fairytaleqa`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def command(name: str, settings: dict[str, Any], data: Path, folder: Path) -> list[str]:
    """The command line of a run."""
    flags: list[str] = []
    for key, value in settings.items():
        option = key.replace("_", "-")
        flags += [f"--{'' if value else 'no-'}{option}"] if isinstance(value, bool) else [f"--{option}", str(value)]
    flags = [flag.replace("{data}", str(data)) for flag in flags]
    return [sys.executable, str(HERE / "train_ppo.py"), *flags, "--out", str(folder / name), "--resume"]


def play(name: str, settings: dict[str, Any], data: Path, folder: Path, results: Path) -> str:
    """Plays one run to its end; returns a line about it."""
    out = folder / name
    out.mkdir(parents=True, exist_ok=True)
    with (out / "log.txt").open("a") as log:
        subprocess.run(command(name, settings, data, folder), stdout=log, stderr=log, check=True)
    result = json.loads((out / "result.json").read_text())
    result["arguments"]["source"] = settings.get("source", result["arguments"]["source"])
    part = results / f"{name}.part"
    part.write_text(json.dumps(result, indent=1) + "\n")
    os.replace(part, results / f"{name}.json")
    if (out / "learning_curve.png").exists():
        shutil.copy(out / "learning_curve.png", folder / f"{name}.png")
    return f"{name}: {result['accuracy']:.2%} after {result['timesteps']:,} frames, {result['cpu_seconds']:.0f} CPU seconds"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("REASONGYM_DATA"), help="default: REASONGYM_DATA")
    parser.add_argument("--suite", default="published", help="which of settings/*.json")
    parser.add_argument("--only", default="", help="play runs whose names contain this")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="logs, checkpoints and models")
    parser.add_argument("--smoke", action="store_true", help="only list what is left to play")
    options = parser.parse_args()
    suite = json.loads((HERE / "settings" / f"{options.suite}.json").read_text())
    results = HERE / "results" / options.suite
    results.mkdir(parents=True, exist_ok=True)
    left = {
        name: {**suite["common"], **settings}
        for name, settings in suite["runs"].items()
        if options.only in name and not (results / f"{name}.json").exists()
    }
    print(f"{len(left)} of {len(suite['runs'])} runs left: {', '.join(left)}", flush=True)
    if options.smoke or not left:
        return
    if options.data is None:
        parser.error("--data or REASONGYM_DATA must name the folder of the published files")
    with ThreadPoolExecutor(options.jobs) as pool:
        futures = [pool.submit(play, name, settings, options.data, options.folder, results) for name, settings in left.items()]
        for future in futures:
            print(future.result(), flush=True)


if __name__ == "__main__":
    main()
