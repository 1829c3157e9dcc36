"""README.md in pages: each of its sections is shown on one page of the site, so that nothing is written twice."""

from __future__ import annotations

import re
from functools import cache

from checkout import ROOT
from pymdownx.slugs import slugify

SECTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "start/install.md": ("Installation", ("Two commands",)),
    "start/quickstart.md": ("Quickstart", ("A first episode", "Text interface", "Benchmark and report")),
    "start/agents.md": ("Plug in your own agent", ("Plug in your own agent",)),
    "start/prm.md": ("Process reward models", ("Process reward models", "Test your PRM in five minutes")),
    "start/extend.md": ("Extend it", ("Extend it",)),
    "ids/index.md": ("The ids", ("The ids",)),
    "results/index.md": ("Results", ("Results",)),
    "reference/index.md": ("Reference", ("Reading order",)),
}
"""By page: its title, and the sections of README.md that stand on it. Those that no page names stand on the home page."""

slug = slugify(case="lower")


@cache
def sections() -> dict[str, str]:
    """README.md by its second-level headings; "" is what stands before the first."""
    found, heading, fenced = {"": ""}, "", False
    for line in (ROOT / "README.md").read_text().splitlines(keepends=True):
        fenced ^= line.startswith("```")
        if line.startswith("## ") and not fenced:
            heading = line[3:].strip()
            found[heading] = ""
        else:
            found[heading] += line
    return found


def pages() -> dict[str, str]:
    """The pages that README.md is cut into, the home page with what is left.

    Raises:
        KeyError: README.md lacks a section that a page is to show.
    """
    parts, found = sections(), {}
    for uri, (title, names) in SECTIONS.items():
        if missing := [name for name in names if name not in parts]:
            raise KeyError(
                f"README.md has no section {missing[0]!r}, which {uri} shows: correct SECTIONS in docs/generate/readme.py"
            )
        if len(names) == 1:
            body = re.sub(r"(?m)^### ", "## ", parts[names[0]])
        else:
            body = "\n".join(f"## {name}\n{parts[name]}" for name in names if name != title)
            body = (parts[title] if title in names else "") + body
        anchor = "" if title in names else f" {{#{slug(names[0], '-')}}}"  # links to the section lead to the page's title
        found[uri] = f"# {title}{anchor}\n\n{body.strip()}\n"
    shown = {name for _, names in SECTIONS.values() for name in names}
    rest = "\n".join(f"## {name}\n{text}" if name else text for name, text in parts.items() if name not in shown)
    return {"index.md": rest, **found}


def page_of(anchor: str) -> str:
    """The page that a heading of README.md is on, by its anchor."""
    home = {name: uri for uri, (_, names) in SECTIONS.items() for name in names}
    for name, text in sections().items():
        headings = [name, *re.findall(r"(?m)^###+ (.*)$", text)]
        if anchor in {slug(heading, "-") for heading in headings}:
            return home.get(name, "index.md")
    return "index.md"
