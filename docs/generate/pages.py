"""All generated pages of the site: what README.md, docstrings and committed results say, each on a page of its own."""

from __future__ import annotations

from typing import NamedTuple

import checkout
import environments
import readme
import reference
import results
from checkout import ROOT


class Generated(NamedTuple):
    """A page made at build time."""

    text: str
    origin: str
    """The path in the repository that its links are relative to."""


def generated() -> dict[str, Generated]:
    """Every generated page by its place in the site."""
    checkout.on_path()  # once more: mkdocs takes back what a hook puts there while it is loaded
    from_root = {
        **readme.pages(),
        **environments.pages(),
        **results.pages(),
        **reference.pages(),
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(),
    }
    return {uri: Generated(text, "README.md") for uri, text in from_root.items()}
