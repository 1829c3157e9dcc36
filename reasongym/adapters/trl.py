"""TRL: the text environments as tools that a model calls, for `GRPOTrainer(environment_factory=...)`.

    from reasongym.adapters.trl import environment_factory, problem_rows
    GRPOTrainer(
        model,
        environment_factory=environment_factory("ReasonGymText-bAbI-qa2-v0", memory_slots=4),
        train_dataset=problem_rows(range(10_000)),
    )

TRL makes one object a rollout, calls `reset` with the columns of its row, offers every other public method of its class to
the model as a tool, and asks `get_reward` once at the end. So these classes are no `gymnasium.Env`, and their public methods
are the environment's commands and nothing else.

TRL appends every call and every result to one growing context. The working memory is played and rewarded as ever, but it is
not all that the model sees: what it read stands in its context until the end. Bounded memory is `agents.llm_ppo`'s business,
where a turn is a sequence of its own. Nothing here imports TRL.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import gymnasium as gym
from gymnasium.error import ResetNeeded

from reasongym.text.commands import NO_ANSWER, one_line, parse
from reasongym.text.env import ReasonGymTextEnv

RULES = (
    "You read a text one sentence at a time and answer a question about it. You act by calling tools, one at a time; the "
    "result of a call is the situation after it, and names the commands that are possible then. Store the sentences that the "
    "answer follows from. Once the text is over, recall them in the order of reasoning, then answer. You are rewarded for the "
    "right answer and for storing and recalling the evidence for it, and you lose a little for recalling what does not bear on "
    "it and for calls that are not possible. When the episode is over, reply without calling a tool."
)
"""What a chat begins with; the tools say the rest."""


class TextTools:
    """A text environment as tools: reading on and answering, which is all that is left of it without memory slots.

    Args:
        env: of `gym.make`, a text id.

    Attributes:
        env: the environment.
        rewards: of the episode's steps; a call that TRL refuses (no such tool or argument) is no step.
        commands: of the episode's steps, as they were understood ("" = not at all).
        over: whether the episode has ended.
        info: of the last step; for training and logs, never for the model.
    """

    def __init__(self, env: gym.Env[str, str]) -> None:
        self.env = env
        self.rewards: list[float] = []
        self.commands: list[str] = []
        self.over = True
        self.info: dict[str, Any] = {}

    def reset(self, problem: int | None = None, **row: Any) -> str:
        """Begins an episode; returns the situation, which TRL appends to the row's last message.

        Args:
            problem: index of the problem in the split.
            row: the other columns, which are not looked at.

        Raises:
            ValueError: no problem; the rollouts of a group are compared with one another, so they must play the same one.
            IndexError, TypeError: no such problem.
        """
        if problem is None:
            raise ValueError(
                "no problem to play: the rollouts of a group must play the same one, so every row of train_dataset needs a "
                "column 'problem' (reasongym.adapters.trl.problem_rows makes them)"
            )
        situation, self.info = self.env.reset(options={"problem": problem})
        self.rewards, self.commands, self.over = [], [], False
        return situation

    def get_reward(self) -> float:
        """The sum of the episode's step rewards, outcome and all."""
        return sum(self.rewards)

    def _act(self, *words: Any) -> str:
        """Gives a command, in one line whatever the model wrote; returns the situation after it."""
        if self.over:
            raise ResetNeeded("no episode is being played, it is over or was never reset: reply without calling a tool")
        situation, reward, terminated, truncated, self.info = self.env.step(one_line(" ".join(map(str, words))))
        self.rewards.append(float(reward))
        self.commands.append(self.info["command"])
        self.over = bool(terminated or truncated)
        return situation

    def next(self) -> str:
        """Puts the sentence on the desk aside and reads on."""
        return self._act("next")

    def answer(self, words: str) -> str:
        """Answers the question, which ends the episode.

        Args:
            words: The answer, one of the choices that the situation names.
        """
        return self._act("answer", words)


class MemoryTools(TextTools):
    """The same with working memory: the tools of ids with closed answers."""

    def store(self, slot: int, words: str = "") -> str:
        """Writes the sentence on the desk into a memory slot, instead of what it holds, and reads on.

        Args:
            slot: Number of the slot, from 1. Empty slots are filled in order.
            words: Words of your own to write instead of the sentence. They count as evidence only if they state facts that
                you have read.
        """
        return self._act("store", f"{slot}:" if words else slot, words)

    def update(self, slot: int) -> str:
        """Adds the sentence on the desk to a memory slot, whose oldest sentence drops out when it is full, and reads on.

        Args:
            slot: Number of the slot, from 1.
        """
        return self._act("update", slot)

    def recall(self, slot: int) -> str:
        """Copies a memory slot to the end of the chain of reasoning.

        Args:
            slot: Number of the slot, from 1.
        """
        return self._act("recall", slot)


class SpanTools(MemoryTools):
    """The same where answers are spans: in the words of the text, or pointed at."""

    def answer(self, words: str) -> str:
        """Answers the question, which ends the episode.

        Args:
            words: The answer in the words of the text, as few as possible; none if the text does not answer the question.
        """
        return self._act("answer", words)

    def start(self, position: int) -> str:
        """Points at the first word of the answer in the link of the chain that was recalled last; `end` has to follow.

        Args:
            position: Position of the word, from 1.
        """
        return self._act("start", position)

    def end(self, position: int) -> str:
        """Points at the last word of the answer, which ends the episode.

        Args:
            position: Position of the word, from 1.
        """
        return self._act("end", position)


def environment_factory(env_id: str, **keywords: Any) -> Callable[[], TextTools]:
    """What `GRPOTrainer(environment_factory=...)` takes: makes an environment a call.

    Args:
        env_id: a text id.
        keywords: as for `gym.make`.

    Raises:
        TypeError: the id is none of the suite's text ids.
        UnknownNameError, ValueError: a keyword that does not exist, or a value out of range.
    """
    text = gym.make(env_id, disable_env_checker=True, **keywords).unwrapped
    if not isinstance(text, ReasonGymTextEnv):
        raise TypeError(f"tools need a text id such as 'ReasonGymText-bAbI-qa1-v0', got {env_id!r} ({type(text).__name__})")
    kind = SpanTools if text.batch.shapes.span else MemoryTools if text.batch.shapes.slots else TextTools
    return functools.partial(_made, kind, env_id, {"instructions": "none", **keywords})


def _made(kind: type[TextTools], env_id: str, keywords: dict[str, Any]) -> TextTools:
    return kind(gym.make(env_id, disable_env_checker=True, **keywords))


def problem_rows(problems: Iterable[int], rules: str = RULES, **columns: Any) -> Any:
    """A `datasets.Dataset` of problems to play: `prompt`, which the situation is appended to, and `problem`.

    Args:
        problems: indices of the split.
        rules: the system message; "" = none.
        columns: further columns with one value for all rows, such as `environment` where several are mixed.

    Raises:
        ImportError: `datasets` is not installed.
    """
    try:
        from datasets import Dataset
    except ImportError as error:
        raise ImportError("rows for TRL need the package datasets: pip install 'reasongym[trl]'") from error
    system = [{"role": "system", "content": rules}] if rules else []
    prompt = [*system, {"role": "user", "content": ""}]
    return Dataset.from_list([{"prompt": prompt, "problem": int(problem), **columns} for problem in problems])


def call_of(command: str) -> tuple[str, dict[str, Any]]:
    """(tool, arguments) that give a command, such as the expert's.

    Raises:
        ValueError: it is no command.
    """
    found = parse(command, spans=True)
    if found is None:
        raise ValueError(f"{command!r:.80} is no command")
    if found.verb == "abstain":
        return "answer", {"words": NO_ANSWER[0]}
    if found.verb == "answer":
        return "answer", {"words": found.words}
    if found.verb in ("start", "end"):
        return found.verb, {"position": found.number}
    words = {"words": found.words} if found.words else {}
    return found.verb, {"slot": found.number, **words} if found.number else {}
