"""A suite on a Ray cluster of three nodes, one of which is killed while it plays."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

pytest.importorskip("ray")

import ray
from ray.cluster_utils import Cluster

from agents.benchmark.queue import Queue
from agents.benchmark.ray_queue import RayQueue
from agents.benchmark.results import read_result, read_results
from agents.benchmark.suite import suite_of
from tests.agents.benchmark.conftest import TINY

pytestmark = pytest.mark.slow
SUITE = {
    **TINY,
    "seeds": [1, 2, 3],
    "budget": {"seconds": 3, "timesteps": 100_000},
    "rows": {"ppo": {"agent": "outcome-only", "options": {"n_steps": 16}}, "random": {"agent": "random"}},
    "compare": [["ppo", "random"]],
}


@pytest.fixture(scope="module")
def cluster():
    """A head without room for runs, and three nodes with room for one each."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80 * 2**20})
    nodes = [made.add_node(num_cpus=1, object_store_memory=80 * 2**20) for _ in range(3)]
    ray.init(address=made.address, log_to_driver=False)
    made.wait_for_nodes()
    yield made, nodes
    ray.shutdown()
    made.shutdown()


def test_a_node_is_lost_and_every_result_is_there_once(cluster, tmp_path):
    made, nodes = cluster
    suite = suite_of("tiny", {**SUITE})
    runs, lines = list(suite.runs("cpu")), []

    def lose_one():
        """A node that is at work, once a run is over."""
        while not lines:
            time.sleep(0.05)
        made.remove_node(nodes[0], allow_graceful=False)

    queue = RayQueue(tmp_path, told=lines.append)
    killer = threading.Thread(target=lose_one)
    killer.start()
    queue.play(runs)
    killer.join()
    assert queue.failures == []
    assert sorted(line.split(":")[0] for line in lines) == sorted(run.id for run in runs), "each told once"
    assert len([node for node in ray.nodes() if node["Alive"]]) == 3, "the head and two"
    results = read_results(tmp_path, runs)
    assert {(r["row"], r["seed"]) for r in results} == {(row, seed) for row in ("ppo", "random") for seed in (1, 2, 3)}
    assert all(r["status"] == "finished" for r in results)


def test_what_is_over_is_not_played_again_and_engines_agree(cluster, tmp_path):
    rows = {"majority": {"agent": "majority"}, "random": {"agent": "random"}}
    suite = suite_of("tiny", {**SUITE, "seeds": [1], "rows": rows, "compare": [["majority", "random"]]})
    runs, lines = list(suite.runs("cpu")), []
    Queue(tmp_path / "here", jobs=1, told=lines.append).play(runs)
    RayQueue(tmp_path / "there", told=lines.append).play(runs)
    for run in runs:
        here, there = (read_result(tmp_path / place / run.id / "result.json") for place in ("here", "there"))
        assert {**here, "cpu_seconds": 0} == {**there, "cpu_seconds": 0}
    lines.clear()
    before = (tmp_path / "there" / runs[0].id / "result.json").stat().st_mtime_ns
    RayQueue(tmp_path / "there", told=lines.append).play(runs)
    assert lines == []
    assert (tmp_path / "there" / runs[0].id / "result.json").stat().st_mtime_ns == before


def test_a_run_that_fails_says_why(cluster, tmp_path):
    suite = suite_of("tiny", {**SUITE, "seeds": [1]})
    run = next(iter(suite.runs("cpu")))
    broken = replace(run, config={**run.config, "agent": "no_such_package:Mine"})
    lines: list[str] = []
    queue = RayQueue(tmp_path, told=lines.append)
    queue.play([broken])
    assert "no module 'no_such_package'" in queue.failures[0].why
    assert lines == [f"{run.id}: failed, {queue.failures[0].why}"]
    assert not (tmp_path / run.id / "result.json").exists()
