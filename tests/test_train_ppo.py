"""`examples/train_ppo.py` as its user runs it: killed in the middle and resumed, it ends with the same parameters."""

from __future__ import annotations

import importlib
import io
import json
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "train_ppo.py"
SMALL = ["--timesteps", "6144", "--num-envs", "32", "--n-steps", "32", "--eval-every", "2048", "--eval-problems", "20"]
SMALL += [
    "--held-out",
    "40",
    "--difficulty",
    '{"max_units": 6}',
    "--batch-size",
    "512",
    "--checkpoint-every",
    "0",
    "--seed",
    "3",
]


def start(out: Path, *extra: str) -> subprocess.Popen:
    out.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *SMALL, "--out", str(out), *extra],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def parameters(out: Path) -> dict:
    with zipfile.ZipFile(out / "model.zip") as archive:
        return torch.load(io.BytesIO(archive.read("policy.pth")), weights_only=True)


@pytest.mark.parametrize(
    "extra",
    [
        ["--core", "none", "--warmup", "3072", "--warmup-units", "4"],
        ["--core", "slots", "--memory-view", "recalled"],
        ["--core", "none", "--warmup", "3072", "--warmup-units", "6", "--curriculum", "--first-tasks", "2", "--num-roles", "2"],
    ],
)
def test_a_killed_run_resumes_to_the_same_parameters(tmp_path: Path, extra: list[str]) -> None:
    whole = start(tmp_path / "whole", *extra)
    cut = start(tmp_path / "cut", *extra)
    metrics = tmp_path / "cut" / "metrics.jsonl"
    deadline = time.monotonic() + 240
    while not (metrics.exists() and metrics.read_text().count("\n") >= 2):
        assert cut.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "no metrics after four minutes"
        time.sleep(0.02)
    cut.send_signal(signal.SIGKILL)
    cut.wait()
    assert not (tmp_path / "cut" / "model.zip").exists()
    resumed = start(tmp_path / "cut", *extra, "--resume")
    frames = set()
    for process in (whole, resumed):
        shown, _ = process.communicate(timeout=300)
        assert process.returncode == 0
        frames.add(json.loads(shown.splitlines()[-1])["timesteps"])
    assert len(frames) == 1
    assert min(frames) >= 6144  # one step more where a warm-up ended
    one, other = parameters(tmp_path / "whole"), parameters(tmp_path / "cut")
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    rows = [
        [{k: v for k, v in json.loads(row).items() if k != "cpu_seconds"} for row in path.read_text().splitlines()]
        for path in (tmp_path / "whole" / "metrics.jsonl", metrics)
    ]
    assert rows[0] == rows[1]


def test_a_run_killed_where_its_warm_up_ends_resumes_to_the_same_parameters(tmp_path: Path, monkeypatch) -> None:
    """The last checkpoint of the warm-up holds the warm-up's environments, although all of its frames are played."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import train_ppo

    from agents import checkpoint

    config = train_ppo.Config(
        timesteps=6144, num_envs=32, n_steps=32, batch_size=512, eval_every=2048, eval_problems=20, held_out=40, seed=3,
        difficulty='{"max_units": 6}', warmup=3000, warmup_units=4,
    )  # fmt: skip
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    train_ppo.train(config, tmp_path / "whole", resume=False, checkpoint_every=0.0)
    save = checkpoint.save

    def save_and_die(path: Path, model, **extra) -> None:
        save(path, model, **extra)
        if model.num_timesteps == config.warmup_end():
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        train_ppo.train(config, tmp_path / "cut", resume=False, checkpoint_every=0.0)
    monkeypatch.setattr(checkpoint, "save", save)
    train_ppo.train(config, tmp_path / "cut", resume=True, checkpoint_every=0.0)
    one, other = parameters(tmp_path / "whole"), parameters(tmp_path / "cut")
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_a_warm_up_on_another_source(tmp_path: Path, monkeypatch) -> None:
    """The warm-up is played on problems made to order, at the widths of the file that follows."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import train_ppo

    sentences = [f"The castle number {i} was built by the mason Edwin{i} in the year {1100 + i}." for i in range(8)]
    context = " ".join(sentences)
    asked = [
        {"id": str(i), "question": f"Who built the castle number {i}?", "is_impossible": False,
         "answers": [{"text": f"Edwin{i}", "answer_start": context.index(f"Edwin{i}")}]}
        for i in range(8)
    ]  # fmt: skip
    file = tmp_path / "squad.json"
    paragraphs = [{"context": context, "qas": asked}]
    file.write_text(json.dumps({"version": "v2.0", "data": [{"title": "Castles", "paragraphs": paragraphs}]}))
    config = train_ppo.Config(
        env="ReasonGym-SQuAD2-v0", source=json.dumps({"train": str(file), "validation": str(file)}),
        warmup=1000, warmup_source="procedural", warmup_difficulty='{"unanswerable": 0}',
        timesteps=2048, num_envs=16, n_steps=32, batch_size=256, eval_every=512, eval_problems=8, held_out=8,
    )  # fmt: skip
    assert config.keywords(short=True) == {"source": "procedural", "difficulty": {"unanswerable": 0}}
    played = []
    learn = train_ppo.MemoryPPO.learn

    def told(model, *arguments, **keywords):
        played.append(model.get_env().batch.source.name)
        return learn(model, *arguments, **keywords)

    monkeypatch.setattr(train_ppo.MemoryPPO, "learn", told)
    result = train_ppo.train(config, tmp_path, resume=False)
    assert result["problems"] == 8
    assert len(played) == 2
    assert "procedural" in played[0] != played[1]


@pytest.mark.parametrize(
    ("script", "file", "checkpoint"),
    [("train_ppo", "config.json", "checkpoint.pt"), ("train_llm", "run.json", "checkpoint")],
)
def test_a_run_of_other_arguments_is_not_resumed(script: str, file: str, checkpoint: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    if script == "train_llm":
        pytest.importorskip("transformers", reason="transformers is not installed")
    module = importlib.import_module(script)
    before = module.Config(seed=3, num_envs=2, gamma=0.5)
    (tmp_path / file).write_text(json.dumps({"arguments": {**vars(before), "threads": 7}}))
    (tmp_path / checkpoint).mkdir()
    with pytest.raises(ValueError, match=r"is a run with seed=3, now 4; gamma=0.5, now 0.25: give the same arguments, another"):
        module.train(module.Config(seed=4, num_envs=2, gamma=0.25), tmp_path, resume=True)


def test_the_first_run_is_the_same_whatever_its_folder(tmp_path: Path, monkeypatch) -> None:
    """`train_ppo.py` alone warms up and stops early; with --out, and gone on with by --resume, it is that run too."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    module = importlib.import_module("train_ppo")
    seen = []

    def train(config, *_):
        seen.append((config.warmup, config.stop_at))
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train", train)
    monkeypatch.chdir(tmp_path)
    for arguments in ([], ["--out", "here"], ["--resume"], ["--seed", "3"]):
        monkeypatch.setattr(sys, "argv", ["train_ppo.py", *arguments])
        with pytest.raises(KeyboardInterrupt):
            module.main()
    assert seen == [(300_000, 0.965)] * 3 + [(0, 0.0)]


def test_arguments_that_are_no_json_are_named(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    module = importlib.import_module("train_ppo")
    with pytest.raises(ValueError, match=r"beta must be a JSON object, got 'foo'"):
        module.Config(beta="foo").rewards()
    with pytest.raises(ValueError, match=r"difficulty must be a JSON object, got '\{bad'"):
        module.Config(difficulty="{bad").keywords()
