"""Runs: played for real, killed, resumed, diverged, refused where they do not belong together."""

from __future__ import annotations

import json
import math
import os
import threading
import time

import numpy as np
import pytest
from rich.console import Console

from agents.baselines import BASELINES
from agents.benchmark import run as run_module
from agents.benchmark.files import CURVE, EPISODES, LOCK, LOG, PROGRESS, RESULT, RUN, TakenError, read_lines, write_json
from agents.benchmark.leaderboard import area, improvement, leaderboard, rates_table, short, steps_to_threshold, table
from agents.benchmark.ledger import counted_env, told_in_words
from agents.benchmark.queue import Queue
from agents.benchmark.results import (
    ProtocolError,
    read_result,
    read_results,
    read_suite,
    refuse_other_problems,
    restore,
    write_suite,
)
from agents.benchmark.reward_models import Plan, careless, labelled, make_reward_model
from agents.benchmark.run import play
from agents.benchmark.suite import PROTOCOL

RESTORED = {"protocol": PROTOCOL, "status": "finished", "curve": [{"frames": 1, "success": 0.5}]}


def prepared(folder, run):
    """The folder of a run that is about to be played."""
    there = folder / run.id
    there.mkdir(parents=True, exist_ok=True)
    parts = {"suite": run.suite, "row": run.row, "setting": run.setting, "seed": run.seed, "config": run.config}
    write_json(there / RUN, {"protocol": PROTOCOL, **parts})
    return there


def first(suite, row):
    return next(run for run in suite.runs() if run.row == row)


def test_a_suite_from_end_to_end(suite, third_party, tmp_path):
    whole = suite().with_agent("third_party:First")
    runs, told = list(whole.runs()), []
    queue = Queue(tmp_path, jobs=2, told=told.append)
    queue.play(runs)
    assert not queue.failures, queue.failures
    assert len(told) == 3
    results = read_results(tmp_path, runs)
    assert [result["row"] for result in results] == ["ppo", "majority", "third_party.First"]
    for result in results:
        assert result["status"] == "finished"
        assert result["problems"] == 40
        assert result["interval"][0] <= result["success"] <= result["interval"][1]
        assert result["curve"][-1]["success"] == result["success"]
        assert result["commit"] is not None
        folder = tmp_path / f"{result['row']}--short--1"
        assert len(read_lines(folder / EPISODES)) == 2
    ppo, majority, mine = results
    assert ppo["frames"] == 512
    assert ppo["supervision"] == "outcome reward"
    assert 0 < ppo["ledger"]["label_bits"] <= 512, "a bit an episode"
    assert set(ppo["rates"]) <= {"capture", "retention", "retrieval", "use"}
    assert sum(ppo["curve"][-1]["terms"].values()) == pytest.approx(ppo["curve"][-1]["return"], abs=1e-3)
    assert majority["ledger"]["label_bits"] == pytest.approx(4000 * math.log2(6), abs=1), "it counts answers"
    assert mine["supervision"] == "nothing at all"
    assert mine["frames"] == 64

    before = (tmp_path / "ppo--short--1" / RESULT).stat().st_mtime_ns
    queue.play(runs)
    assert (tmp_path / "ppo--short--1" / RESULT).stat().st_mtime_ns == before, "what is over is not played again"
    write_suite(tmp_path / "tiny.json", whole, results)
    assert read_suite(tmp_path / "tiny.json") == ("tiny", json.loads(json.dumps(results)))
    elsewhere = tmp_path / "elsewhere"
    write_suite(tmp_path / "part.json", whole, results[:2])
    assert restore(tmp_path / "part.json", whole, runs, elsewhere) == 2
    assert read_results(elsewhere, runs) == results[:2]
    assert Queue(elsewhere).left(runs) == runs[2:]
    assert restore(tmp_path / "tiny.json", whole, runs, elsewhere) == 1, "what is there stays"
    lines = leaderboard(whole, results)
    assert sorted(line.row for line in lines) == ["majority", "ppo", "third_party.First"]
    assert all(line.runs == line.wanted == 1 for line in lines)
    assert table(whole, lines).row_count == rates_table(lines).row_count == 3


def test_results_that_do_not_belong_are_not_restored(suite, tmp_path):
    whole = suite()
    runs = list(whole.runs())
    played = [
        {**json.loads(json.dumps(RESTORED)), "row": run.row, "setting": run.setting, "seed": run.seed, "config": run.config}
        for run in runs
    ]
    path, folder = tmp_path / "file.json", tmp_path / "runs"
    write_suite(path, whole, [played[0], {**played[1], "config": {**played[1]["config"], "problems": -1}}])
    with pytest.raises(ProtocolError, match="was played with settings that the suite does not have"):
        restore(path, whole, runs, folder)
    write_suite(path, whole, [{**played[0], "seed": 99}])
    with pytest.raises(ProtocolError, match=r"the suite has no run \S+--short--99"):
        restore(path, whole, runs, folder)
    write_json(path, {**json.loads(path.read_text()), "suite": "another"})
    with pytest.raises(ProtocolError, match="results of the suite 'another', expected 'tiny'"):
        restore(path, whole, runs, folder)
    assert not folder.exists(), "nothing is written"


def test_a_killed_process_loses_its_run_alone(suite, tmp_path):
    runs = list(suite(budget={"seconds": 30, "timesteps": 512}).runs())
    play(prepared(tmp_path, runs[1]))
    queue = Queue(tmp_path, told=lambda line: None)

    def kill():
        while not queue._playing:
            time.sleep(0.02)
        queue._playing[0].process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    queue.play(runs)
    killer.join()
    assert [(failure.run.row, failure.why) for failure in queue.failures] == [("ppo", "killed by signal 9")]
    assert [run.row for run in queue.left(runs)] == ["ppo"]
    play(prepared(tmp_path, runs[0]))
    assert not queue.left(runs)


def test_a_run_ends_with_the_process_that_began_it(suite, third_party, tmp_path):
    rows = {"slow": {"agent": "third_party:Slow"}}
    folder = prepared(tmp_path, first(suite(rows=rows, compare=[], budget={"seconds": 60}), "slow"))
    with pytest.raises(SystemExit, match="is gone"):
        play(folder, parent=2**30)
    assert not (folder / RESULT).exists()


def test_an_agent_that_never_stops_is_stopped(suite, third_party, tmp_path):
    rows = {"slow": {"agent": "third_party:Slow"}}
    result = play(prepared(tmp_path, first(suite(rows=rows, compare=[], budget={"seconds": 1}), "slow")))
    assert result["status"] == "finished"
    assert 1.0 <= result["cpu_seconds"] < 2.5, "evaluation is not counted"


def test_nothing_is_left_of_a_curve_that_was_cut_off(suite, tmp_path):
    folder = prepared(tmp_path, first(suite(), "majority"))
    (folder / CURVE).write_text('{"frames": 9, "success": 1.0}\n{"frames": 1')
    assert [line["frames"] for line in read_lines(folder / CURVE)] == [9], "a line that was cut short is left out"
    play(folder)
    assert [line["frames"] for line in read_lines(folder / CURVE)] == [0]


def test_a_run_is_played_by_one_process(suite, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    folder = prepared(tmp_path, first(suite(), "majority"))
    with (folder / LOCK).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(TakenError, match="another process"):
            play(folder)
    assert play(folder)["status"] == "finished"


def state_of(folder):
    """Content and age of a run's files, but for its lock."""
    files = [path for path in sorted(folder.iterdir()) if path.name != LOCK]
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_run_that_is_over_is_not_played_again(suite, tmp_path):
    """Not even by a process that was begun before it was over."""
    whole = suite()
    folder = prepared(tmp_path, first(whole, "majority"))
    result = play(folder)
    (folder / LOG).write_text("said")
    before = state_of(folder)
    assert play(folder) == result
    assert state_of(folder) == before
    prepared(tmp_path, first(suite(budget={"seconds": 3}), "majority"))
    with pytest.raises(ProtocolError, match="was played with budget"):
        play(folder)
    assert read_lines(folder / CURVE), "its curve is still there"


def test_two_calls_on_one_folder_play_each_run_once(suite, tmp_path, monkeypatch):
    """The second call listed its runs before the first one's were over."""
    run, told = first(suite(), "majority"), []
    play(prepared(tmp_path, run))
    before = state_of(tmp_path / run.id)
    queue, look = Queue(tmp_path, told=told.append), Queue.left
    early = iter([[run]])
    monkeypatch.setattr(Queue, "left", lambda self, runs: next(early, None) or look(self, runs))
    queue.play([run])
    assert told == [f"{run.id}: another process has played it"]
    assert not queue.failures
    assert state_of(tmp_path / run.id) == before


def test_what_another_process_says_of_its_run_stays(suite, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    run, told = first(suite(), "majority"), []
    folder = prepared(tmp_path, run)
    (folder / LOG).write_text("half-way")
    (folder / PROGRESS).write_text("17.0")
    before = state_of(folder)
    with (folder / LOCK).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        queue = Queue(tmp_path, told=told.append)
        queue.play([run])
    assert told == [f"{run.id}: another process plays it"]
    assert not queue.failures
    assert state_of(folder) == before
    Queue(tmp_path, told=told.append).play([run])
    assert (folder / LOG).read_text().startswith("finished"), "what a killed process said is gone"
    assert not (folder / PROGRESS).exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")
def test_a_full_disk_stops_the_suite_and_costs_a_run(suite, tmp_path):
    runs = list(suite().runs())[::-1]
    folder = prepared(tmp_path, runs[0])
    (folder / CURVE).symlink_to("/dev/full")
    queue = Queue(tmp_path, jobs=1, told=lambda line: None)
    with pytest.raises(OSError, match="make room"):
        queue.play(runs)
    assert queue.left(runs) == runs, "neither half-written nor gone on with"
    (folder / CURVE).unlink()
    play(folder)
    assert queue.left(runs) == runs[1:]


@pytest.mark.parametrize(
    "row",
    [{"agent": "outcome-only", "options": {"n_steps": 16, "learning_rate": 1e20}}, {"agent": "third_party:Lost"}],
    ids=["an overflow", "a network of somebody else's"],
)
def test_a_run_that_diverged_is_kept_as_a_failure(suite, third_party, tmp_path, row):
    whole = suite(rows={"x": row, "majority": {"agent": "majority"}}, compare=[])
    for run in whole.runs():
        play(prepared(tmp_path, run))
    results = read_results(tmp_path, list(whole.runs()))
    lost, majority = results
    assert lost["status"] == "diverged"
    assert (lost["success"], lost["problems"], lost["steps_to_threshold"]) == (0.0, 0, None)
    line = next(line for line in leaderboard(whole, results) if line.row == "x")
    assert (line.diverged, line.success.value, line.area_seconds, line.steps["short"]) == (1, 0.0, 0.0, math.inf)
    assert line.seconds_per_point == math.inf
    found = improvement(results, "majority", "x")
    assert found is not None
    assert found.value == 1.0


def test_an_agents_own_mistake_is_no_result(suite, third_party, tmp_path):
    runs = list(suite(rows={"x": {"agent": "third_party:Broken"}}, compare=[]).runs())
    queue = Queue(tmp_path, told=lambda line: None)
    queue.play(runs)
    assert "a mistake of its own" in queue.failures[0].why
    assert queue.left(runs) == runs


def test_results_of_another_protocol_are_not_mixed(suite, tmp_path):
    runs = list(suite().runs())
    path = prepared(tmp_path, runs[1]) / RESULT
    play(path.parent)
    result = json.loads(path.read_text())
    path.write_text(json.dumps({**result, "protocol": 2}))
    for read in (lambda: Queue(tmp_path).left(runs), lambda: read_results(tmp_path, runs), lambda: read_result(path)):
        with pytest.raises(ProtocolError, match="is of protocol 2, this version plays protocol 1"):
            read()
    path.write_text("{")
    with pytest.raises(ProtocolError, match="is no JSON"):
        Queue(tmp_path).left(runs)


def test_results_of_other_settings_are_not_mixed(suite, tmp_path):
    play(prepared(tmp_path, list(suite().runs())[1]))
    other = list(suite(budget={"seconds": 3}).runs())
    with pytest.raises(ProtocolError, match=r'budget \{"seconds": 2, "timesteps": 512\}, the suite says \{"seconds": 3,'):
        Queue(tmp_path).left(other)
    with pytest.raises(ProtocolError, match='device "cpu", the suite says "cuda"'):
        Queue(tmp_path).left(list(suite().runs("cuda")))


def test_results_on_other_data_are_not_mixed():
    def result(row, data, **keywords):
        return {"row": row, "setting": "s", "seed": 1, "config": {"keywords": keywords}, "versions": {"data": data}}

    refuse_other_problems([result("a", "1"), result("b", "1"), result("c", "2", difficulty={"max_units": 4})])
    with pytest.raises(ProtocolError, match="a--s--1 and b--s--1 were played on different problems"):
        refuse_other_problems([result("a", "1"), result("b", "2")])


def test_a_reward_model_is_trained_within_the_budget(suite, tmp_path):
    plan = {"episodes": 40, "updates": 3, "width": 16, "layers": 1, "channels": 4}
    rows = {"x": {"agent": "ppo", "options": {"n_steps": 16, "feedback": True}, "reward_model": plan,
                  "keywords": {"observer": "lexical", "gate": "salience", "utility": "none"}}}  # fmt: skip
    folder = prepared(tmp_path, first(suite(rows=rows, compare=[], budget={"seconds": 5, "timesteps": 256}), "x"))
    result = play(folder)
    assert result["supervision"] == "outcome reward + process rewards learned from 40 labelled episodes"
    assert result["ledger"]["labelled_episodes"] == 40
    shown = result["ledger"]["expert_shown"]
    assert result["ledger"]["label_bits"] > shown * (math.log2(3) + math.log2(3 + 1)), "labels, and what the expert did"
    assert result["frames"] == shown + 256, "the labelled episodes were played, too"
    assert read_lines(folder / CURVE)[0]["cpu_seconds"] > 0
    assert (folder / "reward_model" / "reasongym_prm.json").exists()
    assert set(result["rates"]) & {"capture", "retention"}, "memory is measured although the rewards read no support"
    again = make_reward_model(Plan(folder=str(folder / "reward_model")), "", {}, tmp_path)
    assert again.frames == shown, "who begins with it pays for it, too"
    assert again.ledger["label_bits"] > 0
    assert 0 < again.seconds < result["cpu_seconds"]


def test_steps_to_a_threshold_are_censored(suite):
    def result(steps, frames, status="finished"):
        return {"steps_to_threshold": steps, "frames": frames, "status": status}

    assert steps_to_threshold([result(100, 900), result(300, 900), result(None, 900)]) == 300
    assert steps_to_threshold([result(300, 900), result(None, 200)]) == 300, "one that ended at 200 says nothing of 300"
    assert steps_to_threshold([result(300, 900), result(None, 200, "diverged"), result(None, 9, "diverged")]) == math.inf


def test_an_area_by_seconds_counts_what_came_before(suite):
    curve = [{"cpu_seconds": 5.0, "success": 0.0}, {"cpu_seconds": 10.0, "success": 1.0}]
    assert area({"status": "finished", "curve": curve}, "cpu_seconds", 10) == pytest.approx(0.25)
    assert area({"status": "finished", "curve": []}, "cpu_seconds", 10) == 0


def test_counts_in_short():
    assert [short(value) for value in (0, 950, 1200, 34_000_000)] == ["0", "950", "1.2k", "34M"]


def test_the_folder_of_the_data_is_asked_for():
    assert run_module.resolved({"source": ["{data}/x"]}, "/there") == {"source": ["/there/x"]}
    with pytest.raises(ValueError, match="REASONGYM_DATA"):
        run_module.resolved("{data}/x", "")


def test_careless_labels_are_those_of_other_steps():
    records = labelled(20, "ReasonGym-bAbI-qa1-v0", {"difficulty": {"max_units": 4}})
    assert careless(records, 0.0) is records
    noisy = careless(records, 0.5, seed=1)
    before, after = (np.concatenate([record.labels for record in some]) for some in (records, noisy))
    changed = (before != after).mean()
    assert 0.02 < changed < 0.5, "many labels are alike"
    assert all(set(np.unique(after[:, c])) <= set(np.unique(before[:, c])) for c in range(before.shape[1]))
    assert [record.steps for record in noisy] == [record.steps for record in records]


def test_supervision_is_told_from_what_pays():
    keywords = {"difficulty": {"max_units": 4}}
    env = counted_env("ReasonGym-bAbI-qa1-v0", 4, 0, **keywords)
    agent = BASELINES["ppo"].make(env, n_steps=16)
    assert told_in_words(agent, env) == (
        "outcome reward + process rewards read from annotation (strong supervision) + utility coverage read from annotation"
    )
    env = counted_env("ReasonGym-bAbI-qa1-v0", 4, 0, prm="lexical", utility="use", beta={"outcome": 0}, **keywords)
    agent = BASELINES["cloning+ppo"].make(env, n_steps=16, answer_loss_coef=0.5)
    assert told_in_words(agent, env) == (
        "process rewards without annotation + utility use + gold answers (answer loss) + expert actions (cloned start)"
    )


def test_rows_that_miss_settings_are_not_ranked_among_the_others(suite):
    rows = {"a": {"agent": "random"}, "b": {"agent": "random", "settings": ["short"]}}
    whole = suite(rows=rows, compare=[], settings={name: {"env": "ReasonGym-bAbI-qa1-v0"} for name in ("short", "other")})
    results = [
        {"row": row, "setting": setting, "seed": 1, "status": "finished", "success": success, "cpu_seconds": 1.0, "rates": {},
         "curve": [], "steps_to_threshold": None, "frames": 1, "supervision": "", "ledger": {}}
        for row, setting, success in (("a", "short", 0.9), ("a", "other", 0.3), ("b", "short", 0.8))
    ]  # fmt: skip
    lines = leaderboard(whole, results)
    assert [line.row for line in lines] == ["a", "b"]
    assert lines[1].success.value > lines[0].success.value
    shown = Console(record=True, width=240)
    shown.print(table(whole, lines))
    assert "b (1 of 2 settings)" in shown.export_text()


def test_a_row_that_fails_on_one_of_four_settings_is_not_the_best(suite):
    """The interquartile mean of four settings leaves out the worst one."""
    names = ("u", "v", "w", "x")
    whole = suite(rows={"fails": {"agent": "random"}, "even": {"agent": "random"}}, compare=[],
                  settings={name: {"env": "ReasonGym-bAbI-qa1-v0"} for name in names})  # fmt: skip
    results = [
        {"row": row, "setting": setting, "seed": seed, "status": "finished", "success": success, "cpu_seconds": 1.0,
         "rates": {}, "curve": [], "steps_to_threshold": None, "frames": 1, "supervision": "", "ledger": {}}
        for row, each in (("fails", (1.0, 1.0, 1.0, 0.1)), ("even", (0.9, 0.9, 0.9, 0.9)))
        for setting, success in zip(names, each, strict=True)
        for seed in (1, 2)
    ]  # fmt: skip
    lines = leaderboard(whole, results)
    assert [line.row for line in lines] == ["even", "fails"]
    assert lines[1].success.value == 1.0
    assert lines[0].success.low == pytest.approx(0.9), "two seeds have an interval"
    alone = leaderboard(whole, [result for result in results if result["seed"] == 1])
    assert all(math.isnan(line.success.low) for line in alone), "a single seed has none"


def test_labelled_episodes_are_drawn_by_the_run_s_seed():
    """Forty problems, each played by the half-good policy in both runs: but for the seed, in the same way."""
    found = []
    for seed in (0, 1):
        records = labelled(200, "ReasonGym-bAbI-qa1-v0", {"difficulty": {"max_units": 4}, "num_problems": 40}, seed)
        found.append({record.meta["problem"]: record.meta["actions"] for record in records[120:170]})
    assert set(found[0]) == set(found[1]) == set(range(40))
    assert sum(found[0][problem] != found[1][problem] for problem in range(40)) > 10
