"""What environments are like: their texts, what baselines reach, what scripted policies can squeeze out of rewards, speed."""

from typing import Any

from readme_tables.markdown import between, percent, table
from reasongym.audit.accuracy import BASELINES
from reasongym.audit.bounds import EXEMPT
from reasongym.audit.policies import POLICIES
from reasongym.engine.infos import RATES


def ids(report: dict[str, Any]) -> str:
    """Every id with its texts, and what each baseline reaches."""
    rows = [
        (
            f"`{env_id}`", f"{task['units']:.1f}", f"{task['support']:.1f}", task["majority"],
            *(percent(task["accuracy"][name]["share"]) for name in BASELINES),
        )
        for env_id, task in report["ids"].items()
    ]  # fmt: skip
    return table(("id", "units", "support", "majority answer", *BASELINES), rows, left=("id", "majority answer"))


def short(env_id: str) -> str:
    """An id for a narrow column."""
    return env_id.removeprefix("ReasonGym-").removesuffix("-v0")


def audit(report: dict[str, Any], utility: str) -> str:
    """By task the mean return of every audited policy, and the process share in brackets."""
    rows = []
    for env_id, task in report["ids"].items():
        found = task["utilities"][utility]
        rows.append((short(env_id), *(f"{found[name]['return']:.2f} ({found[name]['process']:.2f})" for name in POLICIES)))
    return table(("id", *POLICIES), rows, left=("id",))


def bounds(report: dict[str, Any]) -> str:
    """By task both promises: the largest process share, and the least that a wrong answer returns more than stalling."""
    head = ("id", "units / support", "largest share of the expert's return", "by", "wrong answer over stalling, at least")
    rows = []
    for env_id, task in report["ids"].items():
        found = task["utilities"]["coverage"]
        most = max((name for name in POLICIES if name not in EXEMPT), key=lambda name: found[name]["process"])
        share = found[most]["process"] / found["expert"]["return"]
        ratio = f"{task['units'] / task['support']:.1f}" + ("" if task["long_text"] else " (short texts)")
        rows.append((short(env_id), ratio, f"{share:.0%}", most, f"{min(task['answering_over_stalling'].values()):.2f}"))
    return table(head, rows, left=("id", "by"))


def readers(results: dict[str, Any]) -> str:
    """What reading by rule gets, by set and number of slots, in percent."""
    columns = ("right", "score", "right_where_answerable", "right_where_not", *RATES)
    names = ("right", "F1 / ROUGE-L", "with answer", "without", "capture", "retention", "retrieval", "use", "evidence recall")
    rows = []
    for name, found in results.items():
        for reader, row in found.items():
            values = {**row, "score": row.get("f1", row.get("rouge_l"))}
            rows.append((name, reader, *(percent(values[key]) if key in values else "" for key in columns)))
    return table(("set", "reader", *names), rows, left=("set", "reader"))


def transfer(rows: list[dict[str, Any]]) -> str:
    """Accuracy of models trained on problems made to order, on what they were made like."""
    cells = [
        (row["run"], row["played"], percent(row["accuracy"]), between(*row["interval"]), f"{row['problems']:,}") for row in rows
    ]
    return table(("run", "played", "accuracy (%)", "95% interval", "problems"), cells, left=("run", "played"))


def speed(report: dict[str, Any]) -> str:
    """Steps a second of the engine and its peers, and the ratios."""
    rates = [(name, f"{rate:,.0f}") for name, rate in report["steps a second"].items()]
    ratios = [(name, f"{value:.2f}") for part in ("ratios", "start-up") for name, value in report[part].items()]
    head = ("ratio, and start-up", "")
    return table(("case", "steps a second"), rates, left=("case",)) + "\n\n" + table(head, ratios, left=head[:1])


def keeping(result: dict[str, Any]) -> str:
    """How many stories end with their support in memory, by rule of keeping, in percent."""
    rows = [(name, percent(row["share"]), between(*row["interval"])) for name, row in result["rules"].items()]
    return table(("kept", "support held at the end (%)", "95% interval"), rows, left=("kept",))
