"""What the expert recalls proves the answer: from the units of its final chain alone, the solver gives the gold answer.

`python tests/tasks/test_expert_chain.py PATH [STEP]` prints the shares over the published training questions (every STEP-th).
"""

from __future__ import annotations

import sys

import pytest

from reasongym.envs import ReasonGymEnv
from reasongym.tasks import babi

SAMPLE = 40
"""Questions a task in the test; the whole files take ten minutes."""


def chain_facts(env):
    """The expert's episode; what is in the chain at its end, in reading order."""
    ended = False
    while not ended:
        _, _, ended, _, _ = env.step(env.expert_action())
    problem = env.source.problem(int(env.batch.memory.state["problem"][0]))
    units = sorted({unit for unit in env.batch.memory.chain[0].ravel().tolist() if unit >= 0})
    return problem, tuple((unit, babi.WORLDS[problem.task].parse_unit(problem.story.units[unit])) for unit in units)


def proved(env, index):
    """Whether the gold answer of a problem follows from the expert's chain; and the problem."""
    env.reset(seed=0, options={"problem": index})
    problem, facts = chain_facts(env)
    world = babi.WORLDS[problem.task]
    answer = world.solve(facts, world.parse_question(problem.question)).answer
    return answer is not None and env.source.choice_of(answer) == env.source.choice_of(problem.answers[0]), problem


@pytest.mark.parametrize("task", babi.WORLDS)
def test_published_answers_follow_from_the_experts_chain(task, published):
    env = ReasonGymEnv(tasks=(task,), source=published, allow_partial=True)
    for index in range(0, env.num_problems, max(env.num_problems // SAMPLE, 1)):
        follows, problem = proved(env, index)
        assert follows or len(problem.support) > 10, problem.name


@pytest.mark.parametrize("task", babi.WORLDS)
def test_answers_follow_from_the_experts_chain(task):
    for split in ("train", "ood"):
        env = ReasonGymEnv(tasks=(task,), split=split)
        for index in range(15):
            follows, problem = proved(env, index)
            assert follows or len(problem.support) > 10, problem.name


if __name__ == "__main__":
    for task in babi.WORLDS:
        env = ReasonGymEnv(tasks=(task,), source=sys.argv[1], allow_partial=True)
        asked = range(0, env.num_problems, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
        failed = [problem for follows, problem in (proved(env, index) for index in asked) if not follows]
        sizes = sorted({len(problem.support) for problem in failed})
        names = ", ".join(problem.name for problem in failed[:5])
        print(
            f"task {task}: {len(asked) - len(failed)} of {len(asked)}",
            f"support sizes {sizes}: {names}" if failed else "",
            flush=True,
        )
