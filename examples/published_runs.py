"""Plays the training runs of `settings/published.json`: `python examples/published_runs.py --data FOLDER [--only TEXT]`.

Each run is `train_ppo.py` with those arguments, stops at its threshold or after its minutes of CPU, and leaves its result in
`examples/results/published/NAME.json`. Runs that have one are skipped, runs that were cut off go on from their
checkpoint, so the suite may be spread over any number of calls. FOLDER holds `babi/en-10k.tar.gz`.
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
RESULTS = HERE / "results" / "published"


def command(name: str, settings: dict[str, Any], data: Path, folder: Path) -> list[str]:
    """The command line of a run."""
    settings = dict(settings)
    if settings["source"] == "en-10k":
        settings["source"] = str(data / "babi" / "en-10k.tar.gz")
    flags = [part for key, value in settings.items() for part in (f"--{key.replace('_', '-')}", str(value))]
    return [sys.executable, str(HERE / "train_ppo.py"), *flags, "--out", str(folder / name), "--resume"]


def play(name: str, settings: dict[str, Any], data: Path, folder: Path) -> str:
    """Plays one run to its end; returns a line about it."""
    out = folder / name
    out.mkdir(parents=True, exist_ok=True)
    with (out / "log.txt").open("a") as log:
        subprocess.run(command(name, settings, data, folder), stdout=log, stderr=log, check=True)
    result = json.loads((out / "result.json").read_text())
    result["arguments"]["source"] = settings["source"]
    part = RESULTS / f"{name}.part"
    part.write_text(json.dumps(result, indent=1) + "\n")
    os.replace(part, RESULTS / f"{name}.json")
    if (out / "learning_curve.png").exists():
        shutil.copy(out / "learning_curve.png", folder / f"{name}.png")
    return f"{name}: {result['accuracy']:.2%} after {result['timesteps']:,} frames, {result['cpu_seconds']:.0f} CPU seconds"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("REASONGYM_DATA"), help="default: REASONGYM_DATA")
    parser.add_argument("--only", default="", help="play runs whose names contain this")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="logs, checkpoints and models")
    parser.add_argument("--smoke", action="store_true", help="only list what is left to play")
    options = parser.parse_args()
    suite = json.loads((HERE / "settings" / "published.json").read_text())
    RESULTS.mkdir(parents=True, exist_ok=True)
    left = {
        name: {**suite["common"], **settings}
        for name, settings in suite["runs"].items()
        if options.only in name and not (RESULTS / f"{name}.json").exists()
    }
    print(f"{len(left)} of {len(suite['runs'])} runs left: {', '.join(left)}", flush=True)
    if options.smoke or not left:
        return
    if options.data is None:
        parser.error("--data or REASONGYM_DATA must name the folder of the published files")
    with ThreadPoolExecutor(options.jobs) as pool:
        futures = [pool.submit(play, name, settings, options.data, options.folder) for name, settings in left.items()]
        for future in futures:
            print(future.result(), flush=True)


if __name__ == "__main__":
    main()
