"""Which records are solutions of one problem: the unit of best-of-N, of folds, and of the draws behind an interval.

A prompt alone does not say it. An episode's prompt is its question, and "Where is the football?" is asked of many stories; a
problem of PRMBench stands in the file several times, reworded. So records have *names* of their problem, and those that share
a name, directly or through others, are of one problem.
"""

from __future__ import annotations

from collections.abc import Sequence

from reasongym.prm.records import StepRecord

Name = tuple[str, ...]


def names_of(record: StepRecord) -> tuple[Name, ...]:
    """The names of a record's problem, at least one.

    Of an episode its environment, the fingerprint of its texts where it is known, and its index among these. Of a row of
    PRMBench its `idx`, its question, and the question that was reworded (some have two numbers). Else the prompt.
    """
    meta = record.meta
    if meta.get("env") is not None and meta.get("problem") is not None:
        return (("episode", str(meta["env"]), str(meta.get("fingerprint", "")), str(meta["problem"])),)
    names: list[Name] = [("prompt", record.prompt)]
    if meta.get("layout") == "prmbench":
        names += [("idx", str(meta["idx"]))] if meta.get("idx") is not None else []
        names += [("prompt", meta["original_question"])] if isinstance(meta.get("original_question"), str) else []
    return tuple(names)


def problems_of(records: Sequence[StepRecord]) -> list[Name]:
    """The problem of each record: the least of all names that its records have, so the order of records means nothing."""
    above: dict[Name, Name] = {}

    def least(name: Name) -> Name:
        above.setdefault(name, name)
        while above[name] != name:
            above[name] = above[above[name]]
            name = above[name]
        return name

    for record in records:
        roots = {least(name) for name in names_of(record)}
        for root in roots:
            above[root] = min(roots)
    return [least(names_of(record)[0]) for record in records]
