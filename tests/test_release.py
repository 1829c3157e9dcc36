"""What is released: the wheel and the source archive, their contents, and that the versions agree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import reasongym

ROOT = Path(__file__).resolve().parents[1]
FIRST_EPISODE = """
import gymnasium, reasongym, sys
env = gymnasium.make("ReasonGym-bAbI-qa1-v0")
assert env.unwrapped.source.problem(0).question
gymnasium.make("ReasonGymText-bAbI-qa1-v0")
assert "torch" not in sys.modules
print(reasongym.__version__, reasongym.__file__)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with wheel and source archive, made as a release is; hatchling has to be installed."""
    pytest.importorskip("build", reason="build is not installed")
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    return folder


def test_the_wheel_holds_the_package_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"reasongym", f"reasongym-{reasongym.__version__}.dist-info"}
    tracked = {path.relative_to(ROOT).as_posix() for path in (ROOT / "reasongym").rglob("*") if path.is_file()}
    wanted = {name for name in tracked if "__pycache__" not in name and not name.endswith((".nbi", ".nbc"))}
    assert {name for name in names if name.startswith("reasongym/")} == wanted
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "reasongym/py.typed" in names


def test_the_source_archive_holds_what_its_tests_need(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = {name.split("/", 1)[-1] for name in files.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "reasongym/envs.py", "agents/ppo.py"} <= names
    assert not [name for name in names if name.startswith(("site/", "runs/")) or name.endswith((".pyc", ".nbi"))]


def test_the_wheel_works_in_an_environment_of_its_own(built, tmp_path):
    """With the core's dependencies from here, and neither the checkout nor anything else of it on the path."""
    (wheel,) = built.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv" / "lib").glob("*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    folders = {str(Path(__import__(package).__file__).parents[1]) for package in ("gymnasium", "numpy", "numba", "tqdm")}
    (site / "core.pth").write_text("\n".join(folders))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), "-c", FIRST_EPISODE], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    version, path = done.stdout.split()
    assert version == reasongym.__version__
    assert Path(path).is_relative_to(site)


def test_versions_agree():
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1]
    assert reasongym.__version__ == version == cited
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_citation_names_who_the_package_names():
    citation, project = (ROOT / "CITATION.cff").read_text(), (ROOT / "pyproject.toml").read_text()
    authors = re.findall(r'authors = \[\{ name = "(.*?)" \}\]', project)
    assert re.findall(r"^  - name: (.*)$", citation, re.MULTILINE) == authors
    assert re.search(r"^cff-version: 1\.2\.0$", citation, re.MULTILINE)
    assert re.search(r"^message: \S", citation, re.MULTILINE)
    assert re.search(r"^title: \S", citation, re.MULTILINE)
