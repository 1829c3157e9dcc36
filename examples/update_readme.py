"""Writes what README and docs show of results: the tables from `examples/results/*.json`, and the picture of an episode.

    python -m reasongym audit --accuracy 10000 --json examples/results/audit.json    # measures
    python examples/update_readme.py                                                 # writes

A table stands between `<!-- NAME -->` and `<!-- /NAME -->`; what is between them is replaced. `--smoke` writes nothing and
fails where a file is not what would be written.
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import reasongym  # noqa: F401 (registers the ids)
from reasongym.audit.accuracy import BASELINES
from reasongym.audit.bounds import EXEMPT
from reasongym.audit.policies import POLICIES
from reasongym.engine.infos import RATES
from reasongym.metrics import wilson

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "examples" / "results"
IMAGES = ROOT / "docs" / "images"
TEXT_SETS = {"squad2": ("SQuAD2", 5), "narrativeqa": ("NarrativeQA", 2), "fairytaleqa": ("FairytaleQA", 4)}
"""Sets of natural text: their names in ids, and the validation problem that is shown."""


def ids_table(report: dict[str, Any]) -> str:
    """Every id with its texts, and what each baseline reaches."""
    lines = ["| id | units | support | majority answer | " + " | ".join(BASELINES) + " |"]
    lines.append("| --- | ---: | ---: | --- |" + " ---: |" * len(BASELINES))
    for env_id, task in report["ids"].items():
        found = " | ".join(f"{100 * task['accuracy'][name]['share']:.1f}" for name in BASELINES)
        lines.append(f"| `{env_id}` | {task['units']:.1f} | {task['support']:.1f} | {task['majority']} | {found} |")
    return "\n".join(lines)


def short(env_id: str) -> str:
    """An id for a narrow column."""
    return env_id.removeprefix("ReasonGym-").removesuffix("-v0")


def audit_table(report: dict[str, Any], utility: str) -> str:
    """By task the mean return of every audited policy, and the process share in brackets."""
    lines = ["| id | " + " | ".join(POLICIES) + " |", "| --- |" + " ---: |" * len(POLICIES)]
    for env_id, task in report["ids"].items():
        rows = task["utilities"][utility]
        cells = " | ".join(f"{rows[name]['return']:.2f} ({rows[name]['process']:.2f})" for name in POLICIES)
        lines.append(f"| {short(env_id)} | {cells} |")
    return "\n".join(lines)


def bounds_table(report: dict[str, Any]) -> str:
    """By task both promises: the largest process share, and the least that a wrong answer returns more than stalling."""
    head = "| id | units / support | largest share of the expert's return | by | wrong answer over stalling, at least |"
    lines = [head, "| --- | ---: | ---: | --- | ---: |"]
    for env_id, task in report["ids"].items():
        rows = task["utilities"]["coverage"]
        most = max((name for name in POLICIES if name not in EXEMPT), key=lambda name: rows[name]["process"])
        share = rows[most]["process"] / rows["expert"]["return"]
        name, ratio = short(env_id), task["units"] / task["support"]
        note, margin = "" if task["long_text"] else " (short texts)", min(task["answering_over_stalling"].values())
        lines.append(f"| {name} | {ratio:.1f}{note} | {share:.0%} | {most} | {margin:.2f} |")
    return "\n".join(lines)


def learning_table(runs: dict[str, Any]) -> str:
    """By setting of the published runs: accuracy by seed, frames, CPU time, supervision, and the baselines beside it."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, run in sorted(runs.items()):
        groups.setdefault(name.rsplit("-", 1)[0], []).append(run)
    lines = [
        "| run | accuracy (%) | by seed | 95% interval | frames | CPU seconds | supervision | random / majority / last-unit |"
    ]
    lines.append("| --- | ---: | --- | --- | ---: | ---: | --- | --- |")
    for name, seeds in groups.items():
        accuracies = [run["accuracy"] for run in seeds]
        share, low, high = interval(accuracies, seeds[0]["problems"])
        frames = f"{np.mean([run['timesteps'] for run in seeds]) / 1e6:.2f} M"
        seconds = f"{np.mean([run['cpu_seconds'] for run in seeds]):.0f}"
        beside = " / ".join(f"{100 * np.mean([run['baselines'][b] for run in seeds]):.0f}" for b in BASELINES[:3])
        each = ", ".join(f"{100 * a:.1f}" for a in accuracies)
        row = (name, f"{share:.1f}", each, f"{low:.1f} to {high:.1f}", frames, seconds, seeds[0]["supervision"], beside)
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def transfer_table(rows: list[dict[str, Any]]) -> str:
    """Accuracy of models trained on problems made to order, on what they were made like."""
    lines = ["| run | played | accuracy (%) | 95% interval | problems |", "| --- | --- | ---: | --- | ---: |"]
    for row in rows:
        low, high = row["interval"]
        between = f"{100 * low:.1f} to {100 * high:.1f}"
        lines.append(f"| {row['run']} | {row['played']} | {100 * row['accuracy']:.1f} | {between} | {row['problems']:,} |")
    return "\n".join(lines)


def speed_table(report: dict[str, Any]) -> str:
    """Steps a second of the engine and its peers, and the ratios."""
    lines = ["| case | steps a second |", "| --- | ---: |"]
    lines += [f"| {name} | {rate:,.0f} |" for name, rate in report["steps a second"].items()]
    lines += ["", "| ratio, and start-up | |", "| --- | ---: |"]
    lines += [f"| {name} | {value:.2f} |" for part in ("ratios", "start-up") for name, value in report[part].items()]
    return "\n".join(lines)


def ppo_table(report: dict[str, Any]) -> str:
    """Frames per CPU second of MemoryPPO and RecurrentPPO."""
    lines = ["| setting | MemoryPPO | RecurrentPPO | ratio |", "| --- | ---: | ---: | ---: |"]
    for name, ratio in report["ratios"].items():
        ours, theirs = (report["frames per CPU second"][f"{name}: {who}"] for who in ("MemoryPPO", "RecurrentPPO"))
        lines.append(f"| {name} | {ours:,.0f} | {theirs:,.0f} | {ratio:.1f} |")
    return "\n".join(lines)


def interval(shares: list[float], problems: int) -> tuple[float, float, float]:
    """(mean, low, high) in percent: Student's t over three seeds or more, else Wilson's over the problems of all seeds."""
    mean, n = float(np.mean(shares)), len(shares)
    if n >= 3:
        half = {3: 4.303, 4: 3.182, 5: 2.776}.get(n, 1.96) * float(np.std(shares, ddof=1)) / n**0.5
        return 100 * mean, 100 * max(0.0, mean - half), 100 * min(1.0, mean + half)
    low, high = wilson(round(mean * n * problems), n * problems)
    return 100 * mean, 100 * low, 100 * high


def contents(path: Path) -> Any:
    """A result file, or a folder of them by name; None where there is none."""
    if path.is_dir():
        return {file.stem: json.loads(file.read_text()) for file in sorted(path.glob("*.json"))} or None
    return json.loads(path.read_text()) if path.exists() else None


def readers_table(results: dict[str, Any]) -> str:
    """What reading by rule gets, by set and number of slots, in percent."""
    columns = ("right", "score", "right_where_answerable", "right_where_not", *RATES)
    names = ("right", "F1 / ROUGE-L", "with answer", "without", "capture", "retention", "retrieval", "use", "evidence recall")
    lines = ["| set | reader | " + " | ".join(names) + " |", "| --- | --- |" + " ---: |" * len(names)]
    for name, rows in results.items():
        for reader, row in rows.items():
            values = {**row, "score": row.get("f1", row.get("rouge_l"))}
            cells = " | ".join(f"{100 * values[key]:.1f}" if key in values else "" for key in columns)
            lines.append(f"| {name} | {reader} | {cells} |")
    return "\n".join(lines)


def text_table(runs: dict[str, Any]) -> str:
    """What agents learn on natural text, by setting: means over the seeds, in percent."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, run in sorted(runs.items()):
        groups.setdefault(name.rsplit("-", 1)[0], []).append(run)
    names = ("right", "F1 / ROUGE-L", "by seed", "with answer", "without", "capture", "retention", "retrieval", "use")
    lines = ["| run | " + " | ".join((*names, "evidence recall", "frames", "CPU seconds", "supervision")) + " |"]
    lines.append("| --- |" + " ---: |" * 12 + " --- |")
    for name, seeds in groups.items():
        rows = [{"right": run["accuracy"], **run["rates"]} for run in seeds]
        scores = [row.get("f1", row.get("rouge_l")) for row in rows]
        cells = [f"{100 * np.mean([row['right'] for row in rows]):.1f}", f"{100 * np.mean(scores):.1f}"]
        cells.append(", ".join(f"{100 * score:.1f}" for score in scores))
        for key in ("right_where_answerable", "right_where_not", *RATES):
            found = [row[key] for row in rows if key in row]
            cells.append(f"{100 * np.mean(found):.1f}" if found else "")
        cells.append(f"{np.mean([run['timesteps'] for run in seeds]) / 1e6:.2f} M")
        cells += [f"{np.mean([run['cpu_seconds'] for run in seeds]):.0f}", seeds[0]["supervision"]]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def agreement_table(results: dict[str, Any]) -> str:
    """AUC of scores without annotation against the annotated support, by problem and, in brackets, pooled."""
    names = list(next(iter(results.values()))["auc"])
    lines = ["| set | problems | " + " | ".join(names) + " |", "| --- | ---: |" + " ---: |" * len(names)]
    for name, row in results.items():
        cells = " | ".join(f"{row['auc'][key]['problems']:.3f} ({row['auc'][key]['pooled']:.3f})" for key in names)
        lines.append(f"| {name} | {row['problems']} | {cells} |")
    return "\n".join(lines)


def prm_table(result: dict[str, Any]) -> str:
    """Earliest-error F1 of the learned PRM by test set, beside baselines and causal labels, in percent; class-balanced ECE."""
    columns = ("learned", "learned, tuned", "learned at 0", "step type", "lexical")
    lines = ["| episodes | number | " + " | ".join(columns) + " | ECE | by hindsight | causal labels by hindsight |"]
    lines.append("| --- |" + " ---: |" * (len(columns) + 4))
    for name, row in result["sets"].items():
        cells = " | ".join(f"{100 * row[who]['f1']:.1f}" for who in columns)
        hindsight = " | ".join(f"{100 * row['hindsight'][who]['f1']:.1f}" for who in ("learned", "causal labels"))
        lines.append(f"| {name} | {row['episodes']} | {cells} | {row['ece']:.3f} | {hindsight} |")
    completed = result["completions"]
    lines.append(
        f"\nLabels by completions, as verdicts on {completed['episodes']} planted episodes: {100 * completed['f1']:.1f}. "
    )
    lines[-1] += f"Training took {result['cpu_seconds']['training']:.0f} CPU seconds on {result['records']:,} episodes."
    return "\n".join(lines)


def sets_table(report: dict[str, Any]) -> str:
    """The suite's sets of steps: earliest-error F1 and AUC of every PRM, in percent."""
    prms = report["prms"]
    first = next(iter(prms.values()))["groups"]["parts"]
    lines = ["| set | solutions | steps | wrong | " + " | ".join(prms) + " |", "| --- |" + " ---: |" * (3 + len(prms))]
    for name, part in first.items():
        counts = part["counts"]
        wrong = counts["tn"] + counts["fp"]
        cells = [f"{part['records']}", f"{sum(counts.values()):,}", f"{wrong:,}"]
        for prm in prms.values():
            found = prm["groups"]["parts"][name]
            cells.append(f"{100 * found['earliest_error']['f1']:.1f} ({100 * found['auc']:.1f})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def rewards_table(runs: dict[str, Any]) -> str:
    """What pays, what the agent reaches, and how much annotation told it."""
    lines = ["| rewards | accuracy (%) | 95% interval | frames | CPU seconds | label bits |", "| --- |" + " ---: |" * 5]
    for name, run in sorted(runs.items(), key=lambda item: -item[1]["accuracy"]):
        low, high = (100 * end for end in run["interval"])
        cells = [
            f"{100 * run['accuracy']:.1f}",
            f"{low:.1f} to {high:.1f}",
            f"{run['timesteps']:,}",
            f"{run['cpu_seconds']:.0f}",
        ]
        lines.append(f"| {name} | " + " | ".join([*cells, f"{run['label_bits']:,.0f}"]) + " |")
    return "\n".join(lines)


def tree_table(result: dict[str, Any], threshold: str) -> str:
    """The reward tree beside its arms, with thresholds of one kind."""
    from compare_tree import table

    return table(result, threshold)


def rounds_table(result: dict[str, Any]) -> str:
    """Held-out success of self-reward over rounds, by task and variant."""
    rounds = max(len(table) for variants in result["tasks"].values() for table in variants.values())
    lines = ["| task | variant | seeds | start | " + " | ".join(f"round {i}" for i in range(1, rounds)) + " |"]
    lines.append("| --- | --- | ---: |" + " ---: |" * rounds)
    for task, variants in result["tasks"].items():
        for variant, table in variants.items():
            cells = [f"{100 * row['held_out']:.1f} ({100 * row['low']:.0f} to {100 * row['high']:.0f})" for row in table]
            lines.append(
                f"| {task} | {variant} | {table[-1]['seeds']} | " + " | ".join(cells) + " |" * (1 + rounds - len(table))
            )
    return "\n".join(lines)


def ray_table(result: dict[str, Any]) -> str:
    """What one and two workers give, measured, and what the driver needs."""
    scoring, sweep = result["scoring"], result["sweep"]
    driver_step, driver_run = 1e6 * result["driver_seconds_a_step"], 1e3 * result["driver_seconds_a_run"]
    lines = [
        "| | no worker | 1 worker | 2 workers | the driver alone |",
        "| --- | ---: | ---: | ---: | ---: |",
        f"| runs of a few CPU seconds, a minute | | {sweep['1 workers']:.1f} | {sweep['2 workers']:.1f} "
        f"| {driver_run:.1f} ms a run |",
        f"| steps scored a second, 1 ms each | {scoring['0 workers']:,.0f} | {scoring['1 workers']:,.0f} "
        f"| {scoring['2 workers']:,.0f} | {driver_step:.0f} µs a step |",
    ]
    return "\n".join(lines)


def cluster_table(result: dict[str, Any]) -> str:
    """What clusters would give, simulated from the measured rates."""
    head = ("nodes", "`core`, hours", "CPUs busy", "10,000 runs, hours", "CPUs busy", "played again", "steps scored a second")
    lines = [f"| {' | '.join(head)} |", "| ---: |" + " ---: |" * 6]
    for nodes in (10, 100, 1000):
        found = result[f"{nodes} nodes"]
        cells = [f"{nodes:,}"]
        for sweep in (found["sweep"], found["ten_thousand_runs"]):
            cells += [f"{sweep['hours']:.2f}", f"{100 * sweep['busy']:.0f}%"]
        cells += [str(found["ten_thousand_runs"]["played_again"]), f"{found['scoring']['steps_per_second']:,}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


TABLES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "ids": ("audit.json", ids_table),
    "coverage": ("audit.json", lambda report: audit_table(report, "coverage")),
    "level": ("audit.json", lambda report: audit_table(report, "level")),
    "bounds": ("audit.json", bounds_table),
    "learning": ("published", learning_table),
    "transfer": ("transfer.json", transfer_table),
    "speed": ("bench_engine.json", speed_table),
    "ppo": ("bench_ppo.json", ppo_table),
    "agreement": ("agreement.json", agreement_table),
    "prm": ("train_prm.json", prm_table),
    "prm sets": ("prm_bench_suite.json", sets_table),
    "rewards": ("reward_models", rewards_table),
    "readers": ("text_readers.json", readers_table),
    "text": ("text", text_table),
    "rounds": ("self_reward.json", rounds_table),
    "ray": ("bench_ray.json", ray_table),
    "clusters": ("bench_ray.json", cluster_table),
    "tree, threshold carried": ("compare_tree.json", lambda result: tree_table(result, "carried")),
    "tree, threshold fitted": ("compare_tree.json", lambda result: tree_table(result, "fitted")),
}
"""By name: the result file (or folder) that it is made from, and its maker."""


def filled(text: str) -> str:
    """The text with every table whose results are there, and the episodes in words."""
    for name in TEXT_SETS:
        start, end = f"<!-- episode {name} -->", f"<!-- /episode {name} -->"
        if start in text:
            shown = f"{start}\n```text\n{episode_in_words(name)}\n```\n{end}".replace("\\", r"\\")
            text = re.sub(f"(?s){start}.*?{end}", shown, text)
    for name, (file, make) in TABLES.items():
        found = contents(RESULTS / file)
        if found is not None:
            start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
            table = make(found)
            text = re.sub(f"(?s){start}.*?{end}", f"{start}\n{table}\n{end}".replace("\\", r"\\"), text)
    return text


def easy(name: str, text: bool, **keywords: Any) -> gym.Env:
    """An environment on short problems of a set of natural text."""
    size = [6, 7] if name == "squad2" else [20, 22]
    prefix = "ReasonGymText" if text else "ReasonGym"
    return gym.make(
        f"{prefix}-{TEXT_SETS[name][0]}-v0", split="validation", difficulty={"units": size}, memory_slots=3, units_per_slot=1,
        **keywords,
    )  # fmt: skip


def episode_in_words(name: str) -> str:
    """What the expert says in an episode of a set, and the situations around its last words."""
    env, lines = easy(name, text=True, instructions="none"), []
    observation, _ = env.reset(seed=0, options={"problem": TEXT_SETS[name][1]})
    ended = False
    while not ended:
        command = env.unwrapped.expert_action()  # type: ignore[attr-defined]
        if not lines or command.startswith(("start", "answer")):
            lines += [observation]
        observation, reward, ended, _, info = env.step(command)
        terms = ", ".join(f"{key} {term:+.2f}" for key, term in info["reward_terms"].items() if term)
        lines.append(f"> {command}" + (f"    = {float(reward):+.2f} ({terms})" if terms else ""))
    ending = f"answer {info['answer']!r}, gold {info['gold']!r}, return {info['episode_return']:.2f}"
    return "\n".join([*lines, "", ending])


def text_picture(name: str) -> np.ndarray:
    """The end of an episode on natural text."""
    env = easy(name, text=False, observer="lexical", render_mode="rgb_array")
    env.reset(seed=0, options={"problem": TEXT_SETS[name][1]})
    ended = False
    while not ended:
        _, _, ended, _, _ = env.step(env.unwrapped.expert_action())  # type: ignore[attr-defined]
    return env.render()  # type: ignore[return-value]


def picture() -> np.ndarray:
    """The end of an episode: a two-hop question, five slots, an observer that scores each step, a gate that reads salience."""
    env = gym.make(
        "ReasonGym-bAbI-qa2-v0", split="validation", difficulty={"max_units": 12}, memory_slots=5, units_per_slot=1,
        observer="lexical", gate="salience", render_mode="rgb_array",
    )  # fmt: skip
    _, info = env.reset(seed=0, options={"problem": 6})
    ended, inner = False, env.unwrapped
    while not ended:
        action = inner.expert_action()  # type: ignore[attr-defined]
        empty = int(info["action_mask"][1:6].sum()) - 1
        _, _, ended, _, info = env.step(1 + empty if action == 0 and empty < 3 else action)
    return env.render()  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="check, and write nothing")
    smoke = parser.parse_args().smoke
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text, new = path.read_text(), filled(path.read_text())
        if smoke and text != new:
            raise SystemExit(f"{path.relative_to(ROOT)} is not up to date: run python examples/update_readme.py")
        if text != new:
            path.write_text(new)
            print(f"wrote {path.relative_to(ROOT)}")
    images = {"episode": picture(), **{name: text_picture(name) for name in TEXT_SETS}}
    if not smoke:
        from PIL import Image

        IMAGES.mkdir(parents=True, exist_ok=True)
        for name, image in images.items():
            Image.fromarray(image).save(IMAGES / f"{name}.png", optimize=True)
            print(f"wrote {(IMAGES / name).relative_to(ROOT)}.png")


if __name__ == "__main__":
    main()
