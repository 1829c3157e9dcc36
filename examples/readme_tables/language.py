"""What language models learned, and how they judge each other."""

from typing import Any

import numpy as np

from readme_tables.markdown import between, by_setting, interval, percent, table


def trained(runs: dict[str, Any]) -> str:
    """What a language model's training on task 2 added to its start, by kind: held-out accuracy and rates, in percent."""
    rates = ("capture", "retention", "retrieval")
    rows = []
    for name, seeds in sorted(by_setting(runs).items(), key=lambda item: item[0] != "start"):
        accuracies = [run["accuracy"] for run in seeds]
        mean, *ends = interval(accuracies, seeds[0]["problems"])
        gain = "" if name == "start" else f"{100 * (mean - np.mean([run['start']['accuracy'] for run in seeds])):+.1f}"
        trained = [run.get("ppo") or run["supervised"] for run in seeds]
        turns = f"{np.mean([told['turns'] for told in trained]):,.0f}"
        seconds = f"{np.mean([told.get('seconds', told.get('seconds_of_training')) for told in trained]):,.0f}"
        found = (percent(np.mean([run["rates"][rate] for run in seeds])) for rate in rates)
        rows.append((name, percent(mean), ", ".join(map(percent, accuracies)), between(*ends), gain, turns, seconds, *found))
    head = ("training", "accuracy (%)", "by seed", "95% interval", "gain", "turns", "CPU seconds", *rates)
    return table(head, rows, left=("training", "by seed", "95% interval"))


def windows(result: dict[str, Any]) -> str:
    """Bounded memory beside windows on long tales, and the baselines."""
    rows = []
    for name in ("memory", "tf-idf", "last"):
        if found := result.get(name):
            right = percent(found["accuracy"]), between(*found["interval"])
            rows.append(
                (name, *right, f"{found['rouge_l']:.3f}", percent(found["evidence"]), f"{found['tokens_an_episode']:,}")
            )
    rows += [(name, percent(share), "", "", "", "") for name, share in result["baselines"].items()]
    head = ("agent", "accuracy (%)", "95% interval", "ROUGE-L", "evidence (%)", "tokens an episode")
    return table(head, rows, left=("agent", "95% interval"))


def self_preference(result: dict[str, Any]) -> str:
    """What each judge gives to its own player's steps beyond what the other judges give them."""
    rows = []
    for k, own in enumerate(result["self_preference"]):
        low, high = result["intervals"][k]
        errors, skill = percent(result["errors"][k]), f"{result['judge_auc'][k]:.3f}"
        rows.append((k + 1, f"{result['steps'][k]:,}", errors, skill, f"{own:+.3f}", f"{low:+.3f} to {high:+.3f}"))
    low, high = result["interval"]
    rows.append(("mean", "", "", "", f"{result['mean']:+.3f}", f"{low:+.3f} to {high:+.3f}"))
    head = ("player and judge", "held-out steps", "errors (%)", "AUC of the judge", "self-preference", "95% interval")
    return table(head, rows, left=("player and judge", "95% interval"))


def observers(runs: dict[str, Any]) -> str:
    """What a player learns that is shown an observer's scores, or its reasons, too."""
    rows = []
    for name, seeds in by_setting(runs).items():
        accuracies = [run["accuracy"] for run in seeds]
        mean, *ends = interval(accuracies, seeds[0]["problems"])
        rows.append((name, percent(mean), ", ".join(map(percent, accuracies)), between(*ends)))
    return table(("shown", "accuracy (%)", "by seed", "95% interval"), rows, left=("shown", "by seed", "95% interval"))
