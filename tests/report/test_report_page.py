"""The page holds everything, loads nothing, and lets nothing that was played become markup."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from reasongym import cli
from reasongym.report import page, write_report
from reasongym.report.page import for_script
from reasongym.report.reading import read_runs
from tests.report.conftest import curve, result, write_run

EVIL = "</script x></script><script>alert(1)</script><img src=x onerror=alert(2)> \" ' & {{ 7*7 }} $x_1$"


class Elements(HTMLParser):
    """All start tags of a page, and the texts of its scripts by id."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self._in = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._in = dict(attributes).get("id", "") if tag == "script" else None

    def handle_endtag(self, tag):
        self._in = None

    def handle_data(self, data):
        if self._in is not None:
            self.scripts[self._in] = self.scripts.get(self._in, "") + data


@pytest.fixture(scope="module")
def text(played, tmp_path_factory):
    return write_report(played, tmp_path_factory.mktemp("page") / "report.html").read_text()


def test_the_page_loads_nothing(text):
    for tag, attributes in Elements(text).tags:
        assert tag not in ("link", "iframe", "img", "object", "embed"), tag
        assert not {"src", "srcset", "data", "action"} & attributes.keys(), (tag, attributes)
        assert attributes.get("href", "#").startswith("#"), attributes
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)


def test_its_policy_admits_its_own_script_alone(text):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)[1]
    assert "default-src 'none'" in policy
    script = Elements(text).scripts[""]
    assert script.startswith('"use strict";')
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy


def test_every_section_is_there(text):
    parts = (
        "Leaderboard",
        "Learning curves",
        "Performance profile",
        "Probability of improvement",
        "Ablations",
        "Reward terms",
        "Use of the slots",
        "Criteria, correlated",
        "Provenance",
        'id="episode-index"',
        "tiny",
        "small",
    )
    for part in parts:
        assert part in text, part
    assert text.count("<svg") >= 6
    ids = [attributes["id"] for _, attributes in Elements(text).tags if "id" in attributes]
    assert len(ids) == len(set(ids)), "ids are unique"
    assert "#0102" not in text, "every placeholder colour became a variable"


def test_the_viewers_blocks_hold_the_episodes(text, played):
    scripts = Elements(text).scripts
    index = json.loads(scripts["episode-index"])
    assert len(index) == sum(len(run.episodes) for run in read_runs(played).runs) == 12
    for entry in index:
        block = json.loads(gzip.decompress(base64.b64decode(scripts[f"block-{entry['block']}"])))
        episode = block[entry["place"]]
        assert (episode["agent"], episode["name"], len(episode["steps"])) == (entry["agent"], entry["name"], entry["length"])


def test_nothing_that_was_played_becomes_markup(tmp_path, played):
    episode = json.loads((played / "tiny" / "random--easy--1" / "episodes.jsonl").read_text().splitlines()[0])
    episode |= {
        "question": EVIL,
        "answer": EVIL,
        "units": [EVIL],
        "name": EVIL,
        "task": EVIL,
        "prm": EVIL,
        "return": float("nan"),
    }
    episode["steps"][0] |= {"thought": EVIL, "prompt": EVIL, "reasons": {"logic": EVIL}, "action": EVIL}
    record = result(
        "row<b>", "set<i>", 1, supervision=EVIL, config={"agent": EVIL}, versions={EVIL: EVIL}, commit=EVIL, ledger={EVIL: 1}
    )
    write_run(tmp_path, record | {"row": "row"}, curve(0.5), [episode])
    folder = tmp_path / "tiny" / "row--set<i>--1"
    (folder / "result.json").write_text(json.dumps(record | {"row": EVIL, "setting": EVIL, "suite": EVIL}))
    text = write_report(tmp_path, tmp_path / "out.html").read_text()
    elements = Elements(text)
    assert [tag for tag, _ in elements.tags if tag in ("img", "b", "i")].count("img") == 0
    assert len([1 for tag, _ in elements.tags if tag == "script"]) == len(elements.scripts) == 3
    assert "alert(1)" in text
    assert "<script>alert" not in text
    assert "onerror=alert(2)>" not in text
    assert json.loads(elements.scripts["episode-index"])[0]["question"] == EVIL


def test_json_for_scripts_ends_no_element():
    data = {"a": "</script><!--", "b": "\u2028&"}
    assert not set("<>&\u2028") & set(for_script(data))
    assert json.loads(for_script(data)) == data


def test_missing_pieces_are_named_on_the_page(tmp_path):
    write_run(tmp_path, result("a", "s", 1, frames=0, rates={}, ledger={}, config={}))
    write_run(tmp_path, result("b", "s", 1, status="diverged", success=None))
    (tmp_path / "tiny" / "c--s--1").mkdir()
    text = write_report(tmp_path, tmp_path / "out.html").read_text()
    parts = (
        "No run has a learning curve",
        "No run recorded episodes",
        "No learning curve tells",
        "is not finished",
        "diverged: it is kept, and counts as a success of 0",
        "1 of 1 diverged",
        "Too few recorded steps",
        "single argument",
    )
    for part in parts:
        assert part in text, part


def test_a_page_that_would_grow_too_large_leaves_episodes_out(text, played, tmp_path):
    limit = len(text.encode()) / 1e6 - 0.002
    fewer = write_report(played, tmp_path / "fewer.html", megabytes=limit)
    assert fewer.stat().st_size <= limit * 1e6
    left = json.loads(Elements(fewer.read_text()).scripts["episode-index"])
    assert 0 < len(left) < 12
    assert len({(entry["agent"], entry["setting"]) for entry in left}) == 4, "every run gives up alike"
    assert f"{12 - len(left)} recorded episodes were left out" in fewer.read_text()
    with pytest.raises(ValueError, match=r"MB without any episode, more than megabytes=0\.02 allows"):
        write_report(played, tmp_path / "none.html", megabytes=0.02)


def test_several_suites_and_the_headline(runs):
    for folder in (runs / "tiny").iterdir():
        record = json.loads((folder / "result.json").read_text())
        write_run(runs, record | {"suite": "other"})
    found = read_runs(runs)
    text = page.render(found, headline="random")
    assert text.count('<button role="tab"') == 2
    assert text.count("Everything is compared with <b>random</b>") == 2
    with pytest.raises(ValueError, match="no suite has a row 'best' to compare with; rows: expert, random"):
        page.render(found, headline="best")


def test_the_headline_is_the_first_row_of_the_committed_settings(tmp_path):
    rows = [result(row, "s", seed, success=success) for row, success in (("ours", 0.4), ("theirs", 0.9)) for seed in (1, 2)]
    suite = {"protocol": 1, "suite": "core", "settings": {"rows": {"ours": {}, "theirs": {}}}, "runs": rows}
    (tmp_path / "core.json").write_text(json.dumps(suite))
    text = page.render(read_runs(tmp_path / "core.json"))
    assert "Everything is compared with <b>ours</b>" in text
    assert "Committed settings" in text


def test_the_page_is_a_function_of_the_runs(text, played):
    assert page.render(read_runs(played), title=f"ReasonGym · {played.name}") == text


def test_the_command(played, tmp_path):
    testing = pytest.importorskip("typer.testing")
    done = testing.CliRunner().invoke(cli.build_app(), ["report", str(played), "--out", str(tmp_path / "new" / "page.html")])
    assert done.exit_code == 0, done.output
    assert "page.html" in done.output
    assert (tmp_path / "new" / "page.html").stat().st_size > 50_000
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]
    failed = subprocess.run(
        [sys.executable, "-m", "reasongym", "report", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 1
    assert failed.stderr.startswith("reasongym: ")
    assert "holds no runs" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_missing_extra_says_what_to_install(played, monkeypatch):
    found = read_runs(played)
    for module in ("matplotlib.figure", "jinja2"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(ImportError, match=r"pip install 'reasongym\[report\]'"):
                page.render(found)
