"""The Python blocks of README, docs and tutorials, with what their pages declare about them.

A block runs as it stands, in an empty folder, unless a comment right above it says more, one of

    <!-- code: {"needs": ["torch"], "instead": {"1_000_000": "16"}} -->
    <!-- fragment: why it does not run -->

`needs`: packages beyond the core that it skips without. `instead`: what its long numbers and foreign names are replaced by.
`given`: what has to be there before (`given.py`). `continues`: it goes on where the block before it ended. `prints`: it prints
the next block of text on the page. `check`: what must hold afterwards (`checks.py`).
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
OPTIONAL = {
    "agents": "torch", "torch": "torch", "stable_baselines3": "stable_baselines3", "sb3_contrib": "sb3_contrib",
    "transformers": "transformers", "tokenizers": "tokenizers", "rich": "rich", "safetensors": "safetensors",
    "openai": "openai", "datasets": "datasets", "matplotlib": "matplotlib", "nltk": "nltk", "sacrebleu": "sacrebleu",
}  # fmt: skip
"""What a block may import, and what it then has to declare."""
FENCE = re.compile(r"^```python[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
TEXT = re.compile(r"^```text[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
DECLARED = re.compile(r"<!-- (code|fragment): (.*?) -->\n(?:<!-- [^\n]* -->\n)*$")


@dataclass(frozen=True)
class Block:
    """A block of code and what is declared about it.

    Attributes:
        page: the page's path in the repository.
        line: the line of its first line of code, from 1.
        code: as the page shows it.
        fragment: why it does not run; "" for one that does.
        shown: the next block of text on the page.
        needs, instead, given, continues, prints, check: see above.
    """

    page: str
    line: int
    code: str
    fragment: str = ""
    shown: str = ""
    needs: tuple[str, ...] = ()
    instead: dict[str, str] = field(default_factory=dict)
    given: tuple[str, ...] = ()
    continues: bool = False
    prints: bool = False
    check: str = ""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    def shortened(self) -> str:
        """The code with its replacements, at the lines where the page has it.

        Raises:
            ValueError: what is to be replaced does not occur in it.
        """
        code = self.code
        for told, short in self.instead.items():
            if told not in code:
                raise ValueError(f"{self.place} declares something instead of {told!r}, which does not occur in it")
            code = code.replace(told, short)
        return "\n" * (self.line - 1) + code

    def imports(self) -> set[str]:
        """The top-level packages that it imports."""
        nodes = list(ast.walk(ast.parse(self.code)))
        names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
        return {name.partition(".")[0] for name in names}


def blocks_of(text: str, page: str) -> Iterator[Block]:
    """The Python blocks of a page.

    Raises:
        ValueError: a declaration that cannot be read, or that stands above no block.
    """
    used = 0
    for fence in FENCE.finditer(text):
        line = text.count("\n", 0, fence.start(1)) + 1
        declared = DECLARED.search(text, 0, fence.start())
        if declared is None:
            yield Block(page, line, fence[1])
            continue
        used, shown = used + 1, TEXT.search(text, fence.end())
        if declared[1] == "fragment":
            yield Block(page, line, fence[1], fragment=declared[2])
            continue
        try:
            said = json.loads(declared[2])
            lists = {name: tuple(said.pop(name)) for name in ("needs", "given") if name in said}
            yield Block(page, line, fence[1], shown=shown[1] if shown else "", **lists, **said)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{page}:{line} declares {declared[2]!r} about its block: {error}") from None
    if used != len(re.findall(r"^<!-- (?:code|fragment): ", text, re.MULTILINE)):
        raise ValueError(f"{page} has a declaration (code or fragment) that stands above no Python block")


def chains() -> Iterator[tuple[Block, ...]]:
    """Blocks that run one after the other in one place, most of them alone; fragments are left out."""
    for page in PAGES:
        chain: tuple[Block, ...] = ()
        for block in every_block(page):
            if block.fragment:
                continue
            if block.continues:
                if not chain:
                    raise ValueError(f"{block.place} goes on where no block before it ended")
                chain += (block,)
                continue
            if chain:
                yield chain
            chain = (block,)
        if chain:
            yield chain


def every_block(page: Path) -> list[Block]:
    return list(blocks_of(page.read_text(), page.relative_to(ROOT).as_posix()))
