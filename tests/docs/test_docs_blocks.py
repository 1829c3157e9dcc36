"""Every Python block of README, docs and tutorials runs, or says on its page why not."""

from __future__ import annotations

import importlib.util
import re
from contextlib import ExitStack
from pathlib import Path

import gymnasium as gym
import pytest
from blocks import OPTIONAL, PAGES, ROOT, Block, blocks_of, chains, every_block
from checks import CHECKS
from given import GIVEN

import reasongym  # noqa: F401

CHAINS = list(chains())


@pytest.fixture
def registries():
    """The ids and cells that are registered stay as they were."""
    ids = set(gym.registry)
    cells = importlib.import_module("agents.memory").CORES if importlib.util.find_spec("torch") else {}
    before = dict(cells)
    yield
    for env_id in set(gym.registry) - ids:
        del gym.registry[env_id]
    cells.clear()
    cells.update(before)


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain[0].place)
@pytest.mark.usefixtures("registries")
def test_block_runs(chain: tuple[Block, ...], tmp_path: Path, monkeypatch, capsys):
    for package in sorted({package for block in chain for package in block.needs}):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{chain[0].place} needs {package}, which is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    space: dict = {"__name__": "docs"}
    with ExitStack() as stack:
        names: dict[str, str] = {}
        for given in dict.fromkeys(given for block in chain for given in block.given):
            names |= stack.enter_context(GIVEN[given](tmp_path))
        for block in chain:
            code = block.shortened()
            for name, value in names.items():
                code = code.replace("{" + name + "}", value)
            capsys.readouterr()
            exec(compile(code, block.page, "exec"), space)
            printed = capsys.readouterr().out
            assert not block.prints or printed == block.shown, f"{block.place} does not print what the page shows below it"
            if block.check:
                CHECKS[block.check](space, printed)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_declares_is_known_and_complete(page):
    for block in every_block(page):
        assert set(block.given) <= set(GIVEN), f"{block.place} is given {block.given}; known: {', '.join(GIVEN)}"
        assert not block.check or block.check in CHECKS, f"{block.place} has an unknown check; known: {', '.join(CHECKS)}"
        block.shortened()
        if not block.fragment:
            missing = {OPTIONAL[name] for name in block.imports() & set(OPTIONAL)} - set(block.needs)
            assert not missing, f"{block.place} imports what it does not declare: add {sorted(missing)} to its needs"


def test_fragments_say_why():
    fragments = [block for page in PAGES for block in every_block(page) if block.fragment]
    assert all(len(block.fragment.split()) >= 3 for block in fragments), "a fragment needs a reason"
    elsewhere = {block.place: re.findall(r"tests/\S+\.py", block.fragment) for block in fragments}
    assert all((ROOT / path).is_file() for paths in elsewhere.values() for path in paths), "a test that is named is there"
    assert sum(not paths for paths in elsewhere.values()) <= len(CHAINS) / 10, "most blocks are to run"


def test_no_python_goes_by_another_name():
    """A block that imports something is marked as Python, so that it is run."""
    for page in PAGES:
        for language, code in re.findall(r"^```(\w*)[ \t]*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            assert language == "python" or not re.search(r"^(import|from) \w", code, re.MULTILINE), f"{page.name}: {code[:60]}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<!-- code: {"needs": "x"} -->\n\nprose\n', "stands above no Python block"),
        ("<!-- code: needs x -->\n```python\n1\n```\n", "declares 'needs x'"),
        ('<!-- code: {"skip": true} -->\n```python\n1\n```\n', "unexpected keyword argument 'skip'"),
    ],
)
def test_a_wrong_declaration_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        list(blocks_of(text, "page.md"))


def test_a_replacement_that_replaces_nothing_is_refused():
    (block,) = blocks_of('<!-- code: {"instead": {"100": "1"}} -->\n```python\nx = 10\n```\n', "page.md")
    with pytest.raises(ValueError, match="which does not occur"):
        block.shortened()
