"""The parts of examples/compare_tree.py that its numbers rest on, and a judge behind a URL."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def script():
    pytest.importorskip("torch")
    spec = importlib.util.spec_from_file_location("compare_tree", ROOT / "examples" / "compare_tree.py")
    module = sys.modules["compare_tree"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_earliest_error_by_hand(script):
    """Right on one of two erroneous and on two of two sound records: the harmonic mean of 1/2 and 1."""
    values = [np.array(steps) for steps in ([0.9, 0.1, 0.0], [0.9, 0.8], [0.3, 0.9], [0.9])]
    truth = np.array([1, 1, -1, -1])
    assert script.first_below(values, 0.25).tolist() == [1, -1, -1, -1]
    assert script.f1(script.first_below(values, 0.25) == truth, truth >= 0) == pytest.approx(200 / 3)
    assert script.f1(script.first_below(values, 0.5) == truth, truth >= 0) == pytest.approx(50)
    best = script.threshold_for(values, truth)
    assert 0.1 < best <= 0.3


def test_a_difference_and_its_interval(script):
    truth = np.array([0, -1] * 100)
    good, bad = truth[None].copy(), truth[None].copy()
    bad[0, ::4] = 3  # wrong on half of the erroneous records: 2·0.5/1.5 = 66.7
    found = script.difference(good, bad, truth, 300)
    assert found["difference"] == pytest.approx(33.33, abs=0.01)
    assert 20 < found["low"] < 33.33 < found["high"] < 48
    assert script.difference(good, good, truth, 20) == {"difference": 0, "low": 0, "high": 0}


def test_labels_of_a_planted_error(script):
    records = script.play("bAbI", script.problems("bAbI", 60), "train", rate=1.0)
    assert {record.meta["task"] for record in records} == set(script.TRAINED_TASKS)
    for record in records:
        at = record.meta["error_step"]
        if at < 0:
            assert (record.labels == 1).all()
            continue
        broken = script.CRITERIA.index(record.meta["error_class"].replace(" ", "_"))
        assert record.labels[at, broken] == record.labels[at, -1] == -1
        assert (record.labels[:at] == 1).all()
        assert np.isnan(record.labels[at + 1 :]).all()
    held_out = script.problems("bAbI", 30, script.HELD_OUT_TASKS)
    assert {index % 20 + 1 for index in held_out.tolist()} == set(script.HELD_OUT_TASKS)


def test_training_and_tree_share_no_wording(script):
    trained, hidden = script.wordings(False), script.wordings(True)
    assert {t for texts in trained.values() for t in texts}.isdisjoint(t for texts in hidden.values() for t in texts)
    assert all(len(trained[name]) + len(hidden[name]) >= 5 for name in trained)


class Judge(BaseHTTPRequestHandler):
    """An OpenAI-compatible server that knows two replies."""

    asked: list[str] = []
    protocol_version, wbufsize = "HTTP/1.1", -1  # a connection lasts, and a reply is one packet

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = request["messages"][-1]["content"]
        if "Is water wet?" not in prompt:  # the probe
            self.asked.append(prompt)
        reply = "- No step is repeated.\n- The fact is relevant to what is asked.\n- The answer is exact."
        if "aspect:" in prompt:
            reply = "criteria: 1, 2\naspect: whether the step repeats what was said already"
        if len(self.asked) % 7 == 3:
            reply = "I would rather not."  # which ends no run
        likely = [{"token": word, "logprob": math.log(p), "bytes": None} for word, p in (("yes", 0.9), ("no", 0.1))]
        said = {"content": [{**likely[0], "top_logprobs": likely}]} if request.get("logprobs") else None
        message = {"role": "assistant", "content": reply}
        choice = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": said}
        body = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("scores", [False, True])
def test_a_judge_behind_a_url(scores, tmp_path, monkeypatch):
    monkeypatch.setattr(Judge, "asked", [])
    pytest.importorskip("torch")
    pytest.importorskip("openai")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Judge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    command = [sys.executable, str(ROOT / "examples" / "compare_tree.py"), "--smoke", "--train-on", "SQuAD", "--mu", "0",
               "--test-on", "SQuAD", "--judge",
               f"http://127.0.0.1:{server.server_port}/v1", "--model", "m", "--json", "out.json",
               *(["--judge-scores"] if scores else [])]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=560)
    server.shutdown()
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["judge"] == {"model": "m", "scores": scores}
    assert bool(found["rows"]["SQuAD"]["scorer"]["losses"]) is not scores
    assert found["rows"]["SQuAD"]["tree"]["fine"] == 3
    assert len(Judge.asked) == len(set(Judge.asked))  # nothing is asked twice
