"""Links between pages: written for GitHub, by path within the repository; rewritten to where the site has what they name.

A page of docs/ keeps its place, a section of README.md lies on the page that `readme` puts it on, a package is its page of the
reference, and any other file of the repository is shown as a page of source.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import readme
from checkout import ROOT

SOURCES = "source/"
PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
LANGUAGES = {".py": "python", ".json": "json", ".toml": "toml", ".cff": "yaml", ".sh": "bash"}
LINK = re.compile(r"(?:(?<=\[)([\w./]+\.md))?\]\(([^)\s]+)\)")
"""A link, with its text where that is a path: on the site, a page's title says more."""
FENCE = re.compile(r"(?ms)^(`{3,})[^`\n]*\n.*?^\1[ \t]*$\n?")


def parts(text: str) -> Iterator[tuple[bool, str]]:
    """The text in pieces, with whether each is prose; else it is a fenced block of code."""
    start = 0
    for fence in FENCE.finditer(text):
        yield True, text[start : fence.start()]
        yield False, fence[0]
        start = fence.end()
    yield True, text[start:]


def rewritten(text: str, origin: str, uri: str, titles: Mapping[str, str]) -> str:
    """The text of `origin` (a path in the repository) with its links as the page `uri` of the site has them.

    `titles` are those of all pages, by their place in the site.
    """

    def link(found: re.Match[str]) -> str:
        path, hash_, anchor = found[2].partition("#")
        place = None if ":" in path else destination(path, anchor, origin, titles)
        if place is None or (place == uri and not anchor):
            return found[0]
        relative = "" if place == uri else posixpath.relpath(place, posixpath.dirname(uri))
        return f"{titles.get(place) or found[1] if found[1] else ''}]({relative}{hash_}{anchor})"

    return "".join(LINK.sub(link, part) if prose else part for prose, part in parts(text))


def destination(path: str, anchor: str, origin: str, known: Container[str]) -> str | None:
    """The page of the site that a link of `origin` leads to; None where the link is to be left as it is."""
    place = within(path, origin) if path else origin
    if place == "README.md":
        return readme.page_of(anchor) if anchor else "index.md"
    if place in PAGES:
        return PAGES[place]
    if place.startswith("docs/"):
        return place.removeprefix("docs/")
    if (ROOT / place / "__init__.py").is_file():
        dotted = place.replace("/", ".")
        above = [dotted.rsplit(".", n)[0] for n in range(dotted.count(".") + 1)]
        return next((f"reference/{name}.md" for name in above if f"reference/{name}.md" in known), None)
    return SOURCES + place + ".md" if (ROOT / place).is_file() else None


def within(path: str, origin: str) -> str:
    """A link's path from the repository's root."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))


@cache
def title(text: str) -> str:
    """A page's first heading; "" where it has none."""
    found = re.search(r"(?m)^# (.*?)(?: \{#.*\})?$", text)
    return found[1].strip() if found else ""


def sources(pages: Iterable[tuple[str, str]]) -> list[str]:
    """Files of the repository that pages, as (origin, text), link to and that are no pages themselves."""
    found = set()
    for origin, text in pages:
        for path in (match[2].partition("#")[0] for prose, part in parts(text) if prose for match in LINK.finditer(part)):
            place = within(path, origin)
            if path and ":" not in path and place not in PAGES and place != "README.md" and not place.startswith("docs/"):
                found |= {place} if (ROOT / place).is_file() else set()
    return sorted(found)


def source_page(path: str) -> str:
    """A file of the repository as a page."""
    text = (ROOT / path).read_text()
    if path.endswith(".json"):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False) if len(text.splitlines()) < 3 else text
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    language = LANGUAGES.get(Path(path).suffix, "text")
    return f"# {Path(path).name}\n\n`{path}` in the repository.\n\n{fence}{language}\n{text}\n{fence}\n"
