"""Goodhart audit of a PRM: `python examples/goodhart.py [--prm NAME] [--json FILE] [--picture FILE] [--smoke]`.

MemoryPPO is trained on the PRM's scores alone (no outcome, no utility), at equal frames under the plain sum, clipped, under the
soft minimum and under differences of potentials, and beside them on what `annotated` pays. Every so often, and at the end, it
plays held-out problems: true success, the plain weighted sum of the PRM's scores (*PRM return*, the same for all ways of
paying), what was paid for it, steps, RECALLs, illegal actions. An alarm says where success had fallen by 5 points, and not by
chance, although the PRM's return was no less.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

import torch
from train_ppo import commit, versions

from agents.baselines.settings import SETTINGS, memory_ppo
from agents.goodhart import Beside, Watch, payments, summary
from agents.provenance import result_file
from reasongym.adapters.sb3 import make_vec_env
from reasongym.prm.annotated import AnnotatedPRM
from reasongym.prm.loading import load_prm

SHOWN = {
    "success": "true success",
    "prm_return": "PRM return",
    "paid": "return paid",
    "length": "steps",
    "recalls": "RECALLs",
    "invalid": "illegal actions",
}


def play(prm: Any, audited: Any, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Trains on what `prm` pays and returns the summary of what was watched, of which the audited PRM's return is part."""
    keywords: dict[str, Any] = {"utility": "none", "difficulty": {"max_units": options.max_units}}
    env = make_vec_env(options.env, options.num_envs, seed=seed, prm=prm, beta={"outcome": 0.0}, **keywords)
    watched = {"prm": Beside(prm, audited), "split": "validation", **keywords}
    held_out = make_vec_env(options.env, min(options.problems, 500), seed=seed, **watched)
    model = memory_ppo(env, seed=seed, n_steps=options.n_steps)
    watch, started = Watch(held_out, options.every, options.problems, options.stop), time.process_time()
    model.learn(options.timesteps, callback=watch)
    return {**summary(watch.readings), "cpu_seconds": round(time.process_time() - started, 1), "seed": seed}


def picture(results: dict[str, list[dict[str, Any]]], path: Path, title: str) -> None:
    """A panel for each thing watched, a line a payment and seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(SHOWN), figsize=(3.4 * len(SHOWN), 3.2), layout="constrained")
    for n, (name, runs) in enumerate(results.items()):
        for run in runs:
            frames = [row["timesteps"] / 1e6 for row in run["curve"]]
            for axis, key in zip(axes, SHOWN, strict=True):
                axis.plot(frames, [row[key] for row in run["curve"]], color=f"C{n}", label=name if run is runs[0] else None)
                if run["alarm"] is not None:
                    axis.axvline(run["alarm"] / 1e6, color=f"C{n}", linestyle=":", linewidth=1)
    for axis, (key, label) in zip(axes, SHOWN.items(), strict=True):
        axis.set(title=label, xlabel="million frames", ylim=(0, 1) if key in ("success", "invalid") else None)
    axes[0].legend(fontsize=8)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prm", default="lexical", help="a name, or the folder of a learned one")
    parser.add_argument("--env", default="ReasonGym-bAbI-qa2-v0")
    parser.add_argument("--max-units", type=int, default=14)
    parser.add_argument("--timesteps", type=int, default=600_000)
    parser.add_argument("--every", type=int, default=50_000)
    parser.add_argument("--problems", type=int, default=500)
    parser.add_argument("--num-envs", type=int, default=256)
    parser.add_argument("--n-steps", type=int, default=SETTINGS["n_steps"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--only", nargs="+", help="of sum, clipped, 'soft minimum', potential, annotated")
    parser.add_argument("--stop", action="store_true", help="the alarm ends training")
    parser.add_argument("--json", type=result_file, help="write the results here")
    parser.add_argument("--picture", type=Path, help="draw them here")
    parser.add_argument("--smoke", action="store_true", help="seconds, to see that it runs")
    options = parser.parse_args()
    if options.smoke:
        options.timesteps, options.every, options.problems, options.num_envs, options.n_steps = 1_024, 512, 20, 32, 16
    torch.set_num_threads(1)
    results: dict[str, list[dict[str, Any]]] = {}
    for seed in options.seeds:
        audited = load_prm(options.prm)
        ways = {**payments(audited, SETTINGS["gamma"]), "annotated": AnnotatedPRM()}
        for name, prm in ways.items():
            if options.only and name not in options.only:
                continue
            found = play(prm, audited, options, seed)
            results.setdefault(name, []).append(found)
            last = found["curve"][-1]
            alarm = "no alarm" if found["alarm"] is None else f"alarm at {found['alarm']:,} frames"
            success = f"best success {found['best_success']:6.1%}   last {found['last_success']:6.1%}"
            acts = f"PRM return {last['prm_return']:.2f}   paid {last['paid']:.2f}"
            acts += f"   steps {last['length']:.1f}   RECALLs {last['recalls']:.1f}"
            print(f"{name:14s} seed {seed}   {success}   {acts}   {alarm}", flush=True)
    record = {"arguments": {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()}, "results": results}
    if options.json:
        options.json.write_text(json.dumps({**record, "versions": versions(), "commit": commit()}, indent=1) + "\n")
    if options.picture:
        picture(results, options.picture, f"{options.env} trained on {options.prm} alone")


if __name__ == "__main__":
    main()
