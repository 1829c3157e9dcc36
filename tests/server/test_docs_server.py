"""docs/server.md: its code runs, its options and codes are those that there are, its numbers are the committed ones."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs fastapi (extra server)")
pytest.importorskip("uvicorn", reason="needs uvicorn (extra server)")
pytest.importorskip("prometheus_client", reason="needs prometheus_client (extra server)")
pytest.importorskip("typer", reason="needs typer (extra server)")

import typer.testing

from tests.server.serving import serving

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "server.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
HERE = "127.0.0.1:8000"


@pytest.mark.parametrize("block", BLOCKS, ids=("OpenEnv", "HTTP"))
def test_blocks_run(block, capsys):
    pytest.importorskip("openenv.core" if "openenv" in block else "httpx", reason="the block's client is not installed")
    assert HERE in block
    with serving() as address:
        exec(compile(block.replace(HERE, address), "docs/server.md", "exec"), {"__name__": "docs"})
    assert capsys.readouterr().out.strip()


def test_every_option_is_explained_and_exists():
    from reasongym import cli

    terminal = {"COLUMNS": "200", "TERM": "dumb"}
    shown = typer.testing.CliRunner().invoke(cli.build_app(), ["serve", "--help"], env=terminal).output
    exist = set(re.findall(r"--[a-z][a-z-]+", shown)) - {"--help", "--no-insecure"}
    assert exist == set(re.findall(r"--[a-z][a-z-]+", PAGE)) - {"--json"}


def test_every_code_is_explained():
    source = "".join(path.read_text() for path in (ROOT / "reasongym" / "server").glob("*.py"))
    codes = {"EPISODE_OVER", "NO_EPISODE", "NOT_FOUND"}  # chosen by expressions
    codes |= set(re.findall(r'(?:RefusalError\(\s*\d+|_refuse\(\d+), "([A-Z_]+)"', source))
    assert len(codes) > 12
    assert not [code for code in codes if f"`{code}`" not in PAGE]


def test_the_numbers_are_those_that_were_measured():
    measured = json.loads((ROOT / "examples" / "results" / "bench_server.json").read_text())
    rows = re.findall(r"^\| (.+?) \| ([\d.]+) \| ([\d.]+) \| ([\d,]+) \|$", PAGE.split("<!-- bench -->")[1], re.MULTILINE)
    assert {name: (float(p50), float(p95)) for name, p50, p95, _ in rows} == {
        name: (round(row["p50"], 2), round(row["p95"], 2)) for name, row in measured.items()
    }
