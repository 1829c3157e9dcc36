"""What mkdocs calls while it builds the site: adds the generated pages, and makes links that hold on GitHub hold here.

`pages` says which pages are made from what. Nothing is written into the tree: mkdocs keeps generated pages in memory.
"""

from __future__ import annotations

import re
from typing import Any

import links
import pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

BUILT: dict[str, pages.Generated] = {}
"""The generated pages of this build by their place in the site."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Makes the pages, and puts them where the navigation names their folder."""
    BUILT.clear()
    BUILT.update(pages.generated())
    config.nav = _filled(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages, and the sources that pages link to."""
    written = {file.src_uri: (f"docs/{file.src_uri}", file.content_string) for file in files.documentation_pages()}
    made = {uri: (page.origin, page.text) for uri, page in BUILT.items()}
    for uri, page in BUILT.items():
        if uri in written:
            raise PluginError(f"docs/{uri} is a page of its own, and one is generated at {uri} as well: rename one of them")
        files.append(File.generated(config, uri, content=page.text))
    for path in links.sources({**written, **made}.values()):
        text = links.source_page(path)
        files.append(File.generated(config, links.SOURCES + path + ".md", content=text, inclusion=InclusionLevel.NOT_IN_NAV))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as the site has them; comments, which mark tables and blocks of code for tests, are left out."""
    uri = page.file.src_uri
    origin = BUILT[uri].origin if uri in BUILT else f"docs/{uri}"
    titles = {file.src_uri: links.title(file.content_string) for file in files.documentation_pages()}
    without = "".join(re.sub(r"(?m)^<!-- .*? -->$", "", part) if prose else part for prose, part in links.parts(markdown))
    return links.rewritten(without, origin, uri, titles)


def _filled(nav: Any) -> Any:
    """The navigation with a folder's generated pages in place of its name."""
    if isinstance(nav, dict):
        return {title: _filled(below) for title, below in nav.items()}
    if not isinstance(nav, list):
        return nav
    named = set(_paths(nav))
    found: list[Any] = []
    for item in nav:
        if isinstance(item, str) and item.endswith("/"):
            found += [uri for uri in BUILT if uri.startswith(item) and uri not in named]
        else:
            found.append(_filled(item))
    return found


def _paths(nav: list[Any]) -> list[str]:
    """The pages that a list of the navigation names itself."""
    values = [value for item in nav for value in (item.values() if isinstance(item, dict) else [item])]
    return [value for value in values if isinstance(value, str)]
