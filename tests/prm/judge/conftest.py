"""A very small judge trained from scratch, once a session, and the same model behind a loopback server."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def training() -> ModuleType:
    """`examples/train_judge.py` as a module."""
    for package in ("torch", "transformers", "tokenizers", "openai", "diskcache"):
        pytest.importorskip(package)
    return _load("train_judge", ROOT / "examples" / "train_judge.py")


@pytest.fixture(scope="session")
def config(training):
    return training.Config(steps=400, hidden=64, layers=2, material=1_000, batch_size=12, learning_rate=4e-3)


@pytest.fixture(scope="session")
def folder(training, config, tmp_path_factory) -> Path:
    """A trained model."""
    path = tmp_path_factory.mktemp("judge") / "tiny"
    training.train(config, path, say=lambda line: None)
    return path


@pytest.fixture(scope="session")
def texts(training, config) -> list[str]:
    """Steps of the validation split that rubrics apply to and not."""
    return [example.text for example in training.collect(config, "validation", 24)]


@pytest.fixture
def served(folder, training):
    """A fresh loopback server with the trained model."""
    server = _load("served", Path(__file__).with_name("served.py")).Served(str(folder))
    yield server
    server.stop()


@pytest.fixture
def talking():
    """A fresh loopback server that says what the test tells it to say."""
    pytest.importorskip("openai")
    server = _load("talking", Path(__file__).with_name("talking.py")).Talking()
    yield server
    server.stop()
