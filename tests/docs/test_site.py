"""The documentation's site: it builds without a warning, and what its pages link to and show is there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from reasongym import registration

ROOT = Path(__file__).resolve().parents[2]


class Links(HTMLParser):
    """What a page links to and shows, and the ids that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.targets += [found[name] for name in ("href", "src") if found.get(name)]
        self.ids |= {found[name] for name in ("id", "name") if found.get(name)}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The folder of the built site."""
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install -e '.[docs]' to build the site")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=170)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-4000:]
    assert "WARNING" not in said, said[-4000:]
    return folder


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Links]:
    return {path: Links(path.read_text()) for path in site.rglob("*.html")}


def test_every_internal_link_and_image_resolves(site, pages):
    broken, followed = [], 0
    for path, page in pages.items():
        base = site if path.name == "404.html" else path.parent  # the page for what is missing links from the root
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            place = base / unquote(parts.path).lstrip("/") if parts.path else path
            place = place / "index.html" if place.is_dir() else place
            anchored = not parts.fragment or place.suffix != ".html" or unquote(parts.fragment) in pages[place.resolve()].ids
            followed += 1
            if not place.is_file() or not anchored:
                broken.append(f"{path.relative_to(site)} -> {target}")
    assert not broken, broken[:20]
    assert followed > 1000


def test_the_site_loads_nothing_from_elsewhere(site):
    loaded = re.compile(r"""<(?:script|img|iframe)[^>]+src=["']?(https?:)?//|<link[^>]+stylesheet[^>]+href=["']?(https?:)?//""")
    assert not [path.name for path in site.rglob("*.html") if loaded.search(path.read_text())]


def test_every_id_has_its_place_with_all_headings_and_baselines(site):
    text = {path.parent.name: path.read_text() for path in (site / "ids").glob("*/index.html")}
    assert set(text) == {"babi", "squad2", "narrativeqa", "fairytaleqa", "text"}
    report = json.loads((ROOT / "examples" / "results" / "audit.json").read_text())["ids"]
    for env_id, keywords in registration.IDS.items():
        page = text[str(keywords["dataset"])]
        shown = re.search(rf"<code>{env_id}</code></td>(.*?)</tr>", page, re.DOTALL)
        assert shown, f"{env_id} has no row of baselines"
        share = 100 * report[env_id]["accuracy"]["random"]["share"]
        assert f">{share:.1f}<" in shown[1]
        assert "Question: " in page.split(f'id="{env_id.lower()}"')[1]
    assert all(f"<code>{text_id}</code>" in text["text"] for text_id in registration.TEXT_IDS)
    for name, page in text.items():
        headings = re.findall(r'<h2 id="([\w-]+)"', page)
        assert headings[:9] == [
            "description", "action-space", "observation-space", "rewards", "starting-state", "episode-termination", "arguments",
            "version-history", "references",
        ], name  # fmt: skip


def test_tables_are_those_of_the_committed_results(site):
    """README's tables stand on the page of tables too, cell by cell."""
    cells = re.findall(r"<td[^>]*>(.*?)</td>", (site / "results" / "tables" / "index.html").read_text(), re.DOTALL)
    plain = {re.sub(r"<[^>]+>|`", "", cell).strip() for cell in cells}
    table = (ROOT / "README.md").read_text().split("<!-- learning -->")[1].split("<!-- /learning -->")[0]
    told = {cell.strip() for line in table.strip().splitlines()[2:] for cell in line.strip("|").split("|")}
    assert not told - plain


def test_the_reference_has_the_public_api(site):
    reference = "".join(path.read_text() for path in (site / "reference").rglob("index.html"))
    for name in (
        "reasongym.envs.ReasonGymEnv", "reasongym.text.env.ReasonGymTextEnv", "reasongym.types.ProblemSource",
        "reasongym.prm.base.ProcessRewardModel", "reasongym.adapters.sb3.make_vec_env", "agents.ppo.MemoryPPO",
        "agents.base.Agent", "agents.llm_ppo.LLMPPO",
    ):  # fmt: skip
        assert f'id="{name}"' in reference, f"{name} is not in the reference"
