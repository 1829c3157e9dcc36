"""docs/text.md shows what its commands print."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "text.md").read_text()


def test_the_episode_is_what_the_script_prints():
    run = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "text_episode.py")], capture_output=True, text=True, check=True, timeout=120
    )
    shown = PAGE.split("<!-- episode -->\n```text\n")[1].split("```\n<!-- /episode -->")[0]
    assert shown == run.stdout


def test_every_info_of_the_text_ids_is_explained():
    for key in ("system", "messages", "thought", "command", "invalid_action"):
        assert f"`{key}`" in PAGE, key
