"""The judge against a real `transformers serve`, which returns no log-probabilities: verdicts in words."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from reasongym.prm.judge.errors import CapabilityError
from reasongym.prm.judge.prm import Judge


@pytest.fixture(scope="module")
def transformers_serve(folder, tmp_path_factory):
    """URL of a `transformers serve` on the loopback, and the name of the trained model there; ended afterwards."""
    command = Path(sys.executable).with_name("transformers")
    if not command.exists():
        pytest.skip("the command `transformers` is not installed beside this Python")
    for package in ("accelerate", "fastapi", "uvicorn"):
        pytest.importorskip(package, reason="transformers serve needs: pip install 'transformers[serving]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(log.parent / "hf")}
    arguments = [str(command), "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    with log.open("wb") as out:
        process = subprocess.Popen([*arguments, str(folder)], stdout=out, stderr=out, env=environment)
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1", str(folder), log
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.copy(log, log.with_suffix(".txt"))


def _wait(url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"transformers serve ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"transformers serve did not answer within 120 s:\n{log.read_text()[-2000:]}")


@pytest.mark.slow
def test_it_is_found_out_that_it_returns_no_log_probabilities(transformers_serve):
    url, model, _ = transformers_serve
    with pytest.raises(CapabilityError, match="returns no log-probabilities"):
        Judge(model, url=url)


@pytest.mark.slow
def test_verdicts_in_words_are_those_of_the_model_in_this_process(transformers_serve, folder, texts):
    url, model, _ = transformers_serve
    judge = Judge(model, url=url, answers="either", reply_tokens=64, concurrency=2, on_failure="unscored")
    assert judge.answers == "json"
    local = Judge(folder, answers="json", reply_tokens=64, on_failure="unscored")
    there, here = (j.verdicts([j._asking.step(text) for text in texts[:4]]) for j in (judge, local))
    scores = np.array([[v.score for v in row] for row in there])
    np.testing.assert_array_equal(scores, [[v.score for v in row] for row in here])
    assert (~np.isnan(scores)).sum() >= 3
    assert [v.reason for row in there for v in row] == [v.reason for row in here for v in row]
    assert judge.ledger.tokens_out > 24 * 8
    judge.close()
