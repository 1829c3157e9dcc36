"""`LanguageModel`: one model with its store of paid replies, its ledger and its bound on cost, for all that asks it.

    model = LanguageModel("name", url="http://127.0.0.1:8000/v1", cache="replies", price=(0.15, 0.6), max_cost=5)
    judge = Judge(model)                                   # scores steps by rubrics
    scorer = JudgeCriterionScorer(model)                   # scores steps on criteria in words
    differ = JudgedDiffer(model.complete)                  # names criteria

All of them together spend `max_cost` at most, ask nothing twice, and resume from the same store.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from reasongym.prm.judge.errors import CapabilityError
from reasongym.prm.judge.ledger import Ledger
from reasongym.prm.judge.questions import PROMPTS, Question, sections
from reasongym.prm.judge.store import ReplyStore, question_key
from reasongym.prm.judge.verdicts import Reply, refused

logger = logging.getLogger(__name__)


class LanguageModel:
    """See the module's docstring.

    Args:
        model: folder or name of a `transformers` causal language model; with `url`, the server's name for it.
        url: root of an OpenAI-compatible API; None: the model is loaded into this process.
        cache: folder of the store of replies; None: in memory.
        completion_tokens: most tokens of a completion.
        backend: keywords of `local.LocalModel` or `clients.ServerClient`: batch_size, dtype, device; concurrency,
            timeout, max_retries, price, max_cost, api_key, request.

    Attributes:
        ledger: what it has cost so far.
        backend, store: what answers, and what is paid for.
    """

    def __init__(
        self,
        model: str | os.PathLike,
        *,
        url: str | None = None,
        cache: str | os.PathLike | None = None,
        completion_tokens: int = 200,
        **backend: Any,
    ) -> None:
        if completion_tokens < 1:
            raise ValueError(f"completion_tokens must be at least 1, got {completion_tokens!r}")
        self.ledger = Ledger()
        self.backend = _backend(model, url, self.ledger, backend)
        self.store = ReplyStore(cache)
        self._tokens = completion_tokens
        self._system = sections(PROMPTS / "judge.txt")[1]["completion"]

    def __repr__(self) -> str:
        return f"LanguageModel({self.identity})"

    @property
    def identity(self) -> str:
        """Model, dtype, chat template or URL: what a reply depends on beside the prompt."""
        return self.backend.identity

    def close(self) -> None:
        """Closes the connections to a server."""
        self.backend.close()

    def complete(self, prompt: str) -> str:
        """The completion of a prompt, from the store where it is known; one that was cut off is handed out as it is.

        Raises:
            RefusedError: the model declined.
            JudgeError: it did not answer, or the answer might break `max_cost`.
        """
        question = Question("completion", "completion", self._system, prompt, "", self._tokens)
        key = question_key(self.identity, question)
        reply = self.store.get(key)
        self.ledger.questions += 1
        self.ledger.hits += reply is not None
        if reply is None:
            found: list[Reply] = []

            def keep(_: int, new: Reply) -> None:
                self.store.put(key, new)
                found.append(new)

            failures = self.backend.answer([question], keep)
            if failures:
                raise failures[0]
            reply = found[0]
        refused(reply, question)
        return reply.text

    def able(self, answers: str) -> str:
        """The way of answering, "either" decided by what the model can do.

        Raises:
            CapabilityError: label probabilities are asked for, and the server returns none.
        """
        if self.backend.shares_prefix or answers == "json":
            return "probabilities" if answers == "either" else answers
        if self.backend.abilities.top:
            return "probabilities"
        if answers == "either":
            logger.warning("%s returns no log-probabilities: verdicts are asked for in words", self.backend.url)
            return "json"
        raise CapabilityError(
            f"{self.backend.url} answers, but returns no log-probabilities for the model {self.backend.model!r}; pass "
            "answers='json' for verdicts in words, or serve the model where top_logprobs is supported"
        )


def language_model(model: str | os.PathLike | LanguageModel, **keywords: Any) -> LanguageModel:
    """The model itself, or one that is made of a folder or name with these keywords.

    Raises:
        TypeError: a model that is made already is given keywords.
    """
    if not isinstance(model, LanguageModel):
        return LanguageModel(model, **keywords)
    given = [name for name, value in keywords.items() if value is not None]
    if given:
        raise TypeError(f"{', '.join(given)} belong to {model!r}: give them where the LanguageModel is made")
    return model


def _backend(model: str | os.PathLike, url: str | None, ledger: Ledger, keywords: Mapping[str, Any]) -> Any:
    if url is None:
        from reasongym.prm.judge.local import LocalModel

        return LocalModel(model, ledger, **keywords)
    from reasongym.prm.judge.clients import ServerClient

    return ServerClient(url, os.fspath(model), ledger, **keywords)
