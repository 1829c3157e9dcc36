"""What bounded memory is compared with: a language model that is shown, once the text is over, as much of it as fits a window.

"last" shows the end of the text, "tf-idf" the units nearest to the question; either fills the window from its best unit on,
and shows what it chose in the order of the text. Nothing is decided while reading, so `WindowAgent` asks the model when it has
read. To be fair to all, the window is given in tokens: those of the longest prompt that a playing model sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from agents.budget import Progress
from agents.llm.chat import Message, Prompter
from agents.llm.models import LocalModel
from agents.llm.sampling import Sampling
from agents.llm.transcripts import Turn
from reasongym.audit.readers import Rarity
from reasongym.errors import unknown
from reasongym.text.env import connect
from reasongym.text.interface import Interface
from reasongym.types import ProblemSource

SELECTIONS = ("last", "tf-idf")


class Window:
    """Fills a window with units.

    Args:
        prompter: counts tokens.
        tokens: of the whole prompt, at most.
        select: "last" or "tf-idf".
        rarity: how rare tokens are in training texts; needed by "tf-idf".

    Raises:
        ValueError: no such selection, or no rarity.
    """

    def __init__(self, prompter: Prompter, tokens: int, select: str, rarity: Rarity | None = None) -> None:
        if select not in SELECTIONS:
            raise unknown("selection", select, SELECTIONS)
        if select == "tf-idf" and rarity is None:
            raise ValueError("tf-idf needs to know how rare tokens are: Rarity(source) of the training split")
        self._prompter, self.tokens, self.select, self._rarity = prompter, tokens, select, rarity

    def chat(self, source: ProblemSource, question: str, units: Sequence[str]) -> list[Message]:
        """The question with as many units as fit, in the order of the text; raises as `chosen`."""
        lines = _numbered(units)
        return _asked(question, [lines[i] for i in self.chosen(source, question, units)])

    def chosen(self, source: ProblemSource, question: str, units: Sequence[str]) -> list[int]:
        """Which units it shows, in the order of the text.

        Raises:
            ValueError: the window has no room for the question.
        """
        lines = _numbered(units)
        room = self.tokens - len(self._prompter(_asked(question, [])))
        if room < 0:
            raise ValueError(f"a window of {self.tokens} tokens has no room for the question {question!r:.80}")
        chosen: list[int] = []
        for i in self._order(source, question, units):
            room -= len(self._prompter.plain(lines[i] + "\n"))
            if room < 0:
                break
            chosen.append(i)
        return sorted(chosen)

    def _order(self, source: ProblemSource, question: str, units: Sequence[str]) -> list[int]:
        """Units, the best first."""
        if self.select == "last" or self._rarity is None:
            return list(range(len(units)))[::-1]
        asked, texts = _row(source.tokenize(question)), [_row(source.tokenize(unit)) for unit in units]
        width = max(map(len, texts))
        rows = np.stack([np.pad(row, (0, width - len(row))) for row in texts])
        near = self._rarity.nearness(asked[None], rows[None])[0]
        return np.argsort(-near, kind="stable").tolist()


def _row(ids: Sequence[int]) -> np.ndarray:
    """Each token once: a word that is repeated counts once."""
    return np.unique(np.asarray(ids, np.int64))


def _numbered(units: Sequence[str]) -> list[str]:
    """Units as a window shows them."""
    return [f"{i + 1} of {len(units)}: {unit}" for i, unit in enumerate(units)]


def _asked(question: str, lines: Sequence[str]) -> list[Message]:
    text = "\n".join(lines)
    return [{"role": "user", "content": f"Question: {question}\nText:\n{text}\nAnswer:"}]


def window_turns(source: ProblemSource, problems: Sequence[int], window: Window) -> Iterator[Turn]:
    """What a model is trained on: problems as it is shown them, and the first gold answer ("none" where there is none)."""
    for index in problems:
        problem = source.problem(int(index))
        units = problem.story.units[: problem.num_units]
        answer = problem.answers[0] if problem.answers else "none"
        yield Turn(window.chat(source, problem.question, units), f"answer {answer}")


class WindowAgent:
    """Reads to the end, then answers from a window; an `agents.base.Agent`.

    Args:
        backend: the model.
        window: what it is shown.
        max_new_tokens: of an answer.

    Attributes:
        ledger: replies, tokens in and out.
    """

    supervision, reads_rewards, reads_text = "answers of training problems", False, True

    def __init__(self, backend: LocalModel, window: Window, max_new_tokens: int = 24) -> None:
        self.backend, self.window, self.max_new_tokens = backend, window, max_new_tokens
        self.ledger = dict.fromkeys(("replies", "tokens_in", "tokens_out"), 0)
        self.interface: Interface | None = None
        self.observation_space = self.action_space = None

    def attach(self, env: Any) -> None:
        """Plays in these environments from their next reset on."""
        self.interface = connect(env.batch, 0, "none", False)
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def act(self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True) -> Any:
        """NEXT while there is text, then the answer."""
        assert self.interface is not None, "attach(env) comes first"
        batch = self.interface.batch
        memory = batch.memory.state
        over = np.flatnonzero(memory["cursor"] >= memory["num_units"])
        chats = [self._chat(int(memory["problem"][i])) for i in over]
        heat = 0.0 if deterministic else 1.0
        said = self.backend.reply(chats, Sampling(heat, 1.0, self.max_new_tokens)) if chats else []
        replies = ["next"] * batch.n
        for i, one in zip(over.tolist(), said, strict=True):
            replies[i] = one.text
            self.ledger["tokens_in"] += one.tokens_in
            self.ledger["tokens_out"] += one.tokens_out
        self.ledger["replies"] += len(said)
        return self.interface.read(replies), ()

    def _chat(self, index: int) -> list[Message]:
        assert self.interface is not None
        source = self.interface.batch.source
        problem = source.problem(index)
        return self.window.chat(source, problem.question, problem.story.units[: problem.num_units])

    def learn(self, total_timesteps: int, *, seconds: float | None = None, progress: Progress | None = None) -> WindowAgent:
        """Nothing; train its model on `window_turns`."""
        return self
