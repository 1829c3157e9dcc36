"""What reward models are worth: agreement with annotation, errors found, reward trees."""

from typing import Any

from readme_tables.markdown import percent, table


def agreement(results: dict[str, Any]) -> str:
    """AUC of scores without annotation against the annotated support, by problem and, in brackets, pooled."""
    names = list(next(iter(results.values()))["auc"])
    rows = [
        (name, row["problems"], *(f"{row['auc'][key]['problems']:.3f} ({row['auc'][key]['pooled']:.3f})" for key in names))
        for name, row in results.items()
    ]
    return table(("set", "problems", *names), rows, left=("set",))


def learned(result: dict[str, Any]) -> str:
    """Earliest-error F1 of the learned PRM by test set, beside baselines and causal labels, in percent; class-balanced ECE."""
    columns = ("learned", "learned, tuned", "learned at 0", "step type", "lexical")
    rows = []
    for name, row in result["sets"].items():
        hindsight = (percent(row["hindsight"][who]["f1"]) for who in ("learned", "causal labels"))
        found = (percent(row[who]["f1"]) for who in columns)
        rows.append((name, row["episodes"], *found, f"{row['ece']:.3f}", *hindsight))
    head = ("episodes", "number", *columns, "ECE", "by hindsight", "causal labels by hindsight")
    completed, seconds = result["completions"], result["cpu_seconds"]["training"]
    return table(head, rows, left=("episodes",)) + (
        f"\n\nLabels by completions, as verdicts on {completed['episodes']} planted episodes: {percent(completed['f1'])}. "
        f"Training took {seconds:.0f} CPU seconds on {result['records']:,} episodes."
    )


def sets(report: dict[str, Any]) -> str:
    """The suite's sets of steps: earliest-error F1 and AUC of every PRM, in percent."""
    prms = report["prms"]
    rows = []
    for name, part in next(iter(prms.values()))["groups"]["parts"].items():
        counts = part["counts"]
        found = [prm["groups"]["parts"][name] for prm in prms.values()]
        cells = [f"{percent(one['earliest_error']['f1'])} ({percent(one['auc'])})" for one in found]
        rows.append((name, part["records"], f"{sum(counts.values()):,}", f"{counts['tn'] + counts['fp']:,}", *cells))
    return table(("set", "solutions", "steps", "wrong", *prms), rows, left=("set",))


def tree(result: dict[str, Any], threshold: str) -> str:
    """The reward tree beside its arms, with thresholds of one kind."""
    from compare_tree import table as arms

    return arms(result, threshold)
