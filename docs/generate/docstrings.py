"""Docstrings for the reference: an entry for several arguments at once ("low, high: ...") is one for each of them."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

SECTION = re.compile(r"^( *)(Args|Attributes):$")
GROUP = re.compile(r"^( +)(\w+(?:, \w+)+): (.*)$")


class GroupedArguments(Extension):
    """Splits grouped entries before the docstring is parsed."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        if obj.docstring is not None and re.search(r"(?m)^ *(Args|Attributes):$", obj.docstring.value):
            obj.docstring.value = split(obj.docstring.value)


def split(text: str) -> str:
    """A docstring with every grouped entry of its sections written out."""
    found: list[str] = []
    lines, inside, i = text.splitlines(), -1, 0
    while i < len(lines):
        line, i = lines[i], i + 1
        if section := SECTION.match(line):
            inside = len(section[1]) + 4
        group = GROUP.match(line)
        if not group or len(group[1]) != inside:
            found.append(line)
            continue
        rest: list[str] = []
        while i < len(lines) and lines[i].startswith(" " * (inside + 1)):
            rest, i = [*rest, lines[i]], i + 1
        for name in group[2].split(", "):
            found += [f"{group[1]}{name}: {group[3]}", *rest]
    return "\n".join(found)
