"""Any OpenAI-compatible server as judge, through the official `openai` client.

The first question is preceded by a probe, which finds out how the server wants its limits named and whether it returns
log-probabilities: some servers ignore `logprobs` with nothing but a line in their own log. Up to `concurrency` calls run at
once; connection errors, time-outs, 408, 409, 429 and 5xx are repeated by the client with exponential backoff (and the server's
Retry-After). Every reply is handed on as it arrives. A server that is dead, or lets `PATIENCE` questions in a row go without
answer, gets no more of them.
"""

from __future__ import annotations

import math
import os
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reasongym.prm.judge.background import Background
from reasongym.prm.judge.errors import (
    CapabilityError,
    CostError,
    JudgeError,
    RequestError,
    UnavailableError,
    UnreachableError,
    UnreadableError,
    WindowError,
)
from reasongym.prm.judge.ledger import Budget, Ledger
from reasongym.prm.judge.questions import LABELS, Question
from reasongym.prm.judge.verdicts import Reply

PATIENCE = 3
"""Questions in a row that a server may leave unanswered before no more are asked."""
PROBE = Question("topic", "probe", "Answer with one word.", "| Is water wet?", "Answer with one word, yes or no:", 1)
LIMITS = ("max_tokens", "max_completion_tokens")
TOP = (20, 5)
"""Numbers of alternatives that are tried: 20 is OpenAI's most, others allow 5."""
TOO_LONG = ("context length", "maximum context", "too long", "context window", "max_model_len")


@dataclass(frozen=True)
class Abilities:
    """What the probe found.

    Attributes:
        limit: the name of the parameter that bounds a reply.
        top: how many alternatives log-probabilities come with; 0: none come back.
    """

    limit: str
    top: int


class ServerClient:
    """Answers questions with the model behind an OpenAI-compatible URL.

    Args:
        url: the API's root, usually ending in "/v1".
        model: the name the server knows it by.
        ledger: where calls are entered.
        api_key: default: OPENAI_API_KEY, or a placeholder for servers that ask for none.
        dtype: what the server computes in, if known: part of every key, so that scores of another precision are not mixed.
        concurrency: most calls at once.
        timeout: seconds for one attempt.
        max_retries: further attempts.
        price, max_cost: see `Budget`.
        request: further parameters of every call, such as {"extra_body": {...}} or {"seed": 0}.
    """

    shares_prefix = False

    def __init__(
        self,
        url: str,
        model: str,
        ledger: Ledger,
        *,
        api_key: str | None = None,
        dtype: str = "unknown",
        concurrency: int = 8,
        timeout: float = 60.0,
        max_retries: int = 4,
        price: tuple[float, float] = (0.0, 0.0),
        max_cost: float = math.inf,
        request: Mapping[str, Any] | None = None,
    ) -> None:
        if concurrency < 1 or timeout <= 0 or max_retries < 0:
            raise ValueError(
                "concurrency must be at least 1, timeout positive and max_retries not negative, "
                f"got {concurrency!r}, {timeout!r}, {max_retries!r}"
            )
        try:
            import anyio  # noqa: F401
            import openai
        except ImportError as missing:
            raise ImportError("a judge behind a URL needs openai; run: pip install 'reasongym[llm]'") from missing
        self._openai, self.url, self.model = openai, url.rstrip("/"), model
        self._ledger, self._budget = ledger, Budget(ledger, price, max_cost, max_retries + 1)
        self._concurrency, self._timeout, self._request = concurrency, timeout, dict(request or {})
        extra = f"{sorted(self._request.items())}" if self._request else ""
        self.identity = f"{model}@{self.url}/{dtype}{extra}"
        self._background = Background()
        self._stop = weakref.finalize(self, self._background.stop)
        key = api_key or os.environ.get("OPENAI_API_KEY") or "none"
        self._client = openai.AsyncOpenAI(base_url=self.url, api_key=key, timeout=timeout, max_retries=max_retries)
        self._attempts = max_retries + 1
        self._abilities: Abilities | None = None

    def close(self) -> None:
        """Closes the connections and their thread."""
        if self._stop.alive:
            self._background.call(self._client.close)
            self._stop()

    @property
    def abilities(self) -> Abilities:
        """What the server can do; found out by at most four small calls, once.

        Raises:
            CapabilityError, UnavailableError: no access, no such model, no server.
            RequestError: no form of the request was accepted.
        """
        if self._abilities is None:
            self._abilities = self._background.call(self._probe)
        return self._abilities

    def answer(
        self, questions: Sequence[Question], keep: Callable[[int, Reply], None], stop_early: bool = True
    ) -> dict[int, JudgeError]:
        """Hands every reply to `keep` as it arrives; returns the errors of those that got none, or were not asked.

        Args:
            questions: distinct.
            keep: takes a question's index and its reply.
            stop_early: whether to ask nothing further once there is an error.
        """
        if not questions:
            return {}
        _ = self.abilities
        started = time.perf_counter()
        try:
            return self._background.call(_Run(self, questions, keep, stop_early).run)
        finally:
            self._ledger.seconds += time.perf_counter() - started

    async def _probe(self) -> Abilities:
        last: JudgeError | None = None
        for limit in LIMITS:
            for top in (*TOP, 0):
                try:
                    reply = await self.call(PROBE, Abilities(limit, top))
                except RequestError as refused:  # another form of the same request
                    last = refused
                    continue
                return Abilities(limit, top if reply.probabilities is not None else 0)
        raise last  # type: ignore[misc]

    async def call(self, question: Question, abilities: Abilities | None = None) -> Reply:
        """One question's reply; entered into the ledger whatever it says.

        Raises:
            CostError: it does not fit into `max_cost`.
            JudgeError: what the server did instead of answering.
        """
        import anyio

        abilities = abilities or self.abilities
        while not self._budget.fits(question):
            await anyio.sleep(0.01)
        cost, reply = 0.0, None
        try:
            raw = await self._client.chat.completions.with_raw_response.create(**self._arguments(question, abilities))
            self._ledger.calls += 1
            self._ledger.retries += raw.retries_taken
            cost = self._budget.once(question)  # unless it says what it billed
            completion = self._parsed(raw, question)
            reply = read(completion, question)
            if completion.usage:
                cost = self._budget.cost(reply.tokens_in, reply.tokens_out)
                self._ledger.tokens_in += reply.tokens_in
                self._ledger.tokens_out += reply.tokens_out
            return reply
        except self._openai.APIError as error:
            self._ledger.failed += 1
            if isinstance(error, self._openai.APITimeoutError):  # each attempt may have been billed
                cost = self._budget.most(question)
            raise self._named(error, question) from error
        finally:
            self._budget.settle(question, cost)

    def _arguments(self, question: Question, abilities: Abilities) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": self.model,
            "messages": question.messages,
            "temperature": question.temperature,
        }
        arguments[abilities.limit] = question.max_tokens
        if question.by_label and abilities.top:
            arguments |= {"logprobs": True, "top_logprobs": abilities.top}
        return arguments | self._request

    def _parsed(self, raw: Any, question: Question) -> Any:
        try:
            completion = raw.parse()
        except ValueError as broken:
            raise UnreadableError(f"{self.url} answered with something that is no JSON: {broken}") from broken
        if not getattr(completion, "choices", None):
            raise UnreadableError(f"{self.url} answered {str(completion)[:120]!r}, which is no chat completion with a choice")
        return completion

    def _named(self, error: Exception, question: Question) -> JudgeError:
        where, said = f"{self.url}, model {self.model!r}", str(error)[:300]
        status = getattr(error, "status_code", None)
        if isinstance(error, self._openai.APITimeoutError):
            return UnavailableError(f"{where}: no answer within {self._timeout:g} s, {self._attempts} times; raise timeout=")
        if isinstance(error, self._openai.APIConnectionError):
            return UnreachableError(f"{where}: no connection after {self._attempts} attempts ({said}); is the server running?")
        if status in (401, 403, 404):
            return CapabilityError(f"{where}: {said}; check url=, model= and api_key=")
        if status is not None and status < 500 and status != 429:
            if any(words in said.lower() for words in TOO_LONG):
                return WindowError(f"{where}: {said}; judge shorter steps, or see fewer of them (context_steps)")
            return RequestError(f"{where}: the request about {question.criterion!r} was rejected: {said}")
        if status is None:
            return UnreadableError(f"{where}: {said}")
        return UnavailableError(f"{where}: still failing after {self._attempts} attempts: {said}")


class _Run:
    """One call of `answer`: workers that share an iterator of questions."""

    def __init__(self, client: ServerClient, questions: Sequence[Question], keep: Callable, stop_early: bool) -> None:
        self.client, self.keep, self.stop_early = client, keep, stop_early
        self.questions = questions
        self.waiting: Iterator[tuple[int, Question]] = iter(enumerate(questions))
        self.failures: dict[int, JudgeError] = {}
        self.stopped: JudgeError | None = None
        self.unanswered = 0

    async def run(self) -> dict[int, JudgeError]:
        import anyio

        async with anyio.create_task_group() as group:
            for _ in range(min(self.client._concurrency, len(self.questions))):
                group.start_soon(self._work)
        if self.stopped is not None:
            for i, _ in self.waiting:
                self.failures[i] = self.stopped
        return self.failures

    async def _work(self) -> None:
        for i, question in self.waiting:
            try:
                reply = await self.client.call(question)
            except JudgeError as error:
                self.failures[i] = error
                self._note(error)
            else:
                self.unanswered = 0
                self.keep(i, reply)
            if self.stopped is not None:
                return

    def _note(self, error: JudgeError) -> None:
        self.unanswered = self.unanswered + 1 if isinstance(error, UnavailableError) else 0
        hopeless = isinstance(error, CapabilityError | CostError | UnreachableError)
        if self.stop_early or hopeless or self.unanswered >= PATIENCE:
            self.stopped = error


def read(completion: Any, question: Question) -> Reply:
    """The reply in a chat completion.

    Raises:
        UnreadableError: log-probabilities that are no numbers up to 0.
    """
    choice, usage = completion.choices[0], completion.usage
    content = getattr(choice.logprobs, "content", None) if choice.logprobs else None
    probabilities = None
    if question.by_label and content and content[0].top_logprobs:
        probabilities = label_probabilities([(top.token, top.logprob) for top in content[0].top_logprobs])
    message = choice.message
    return Reply(
        probabilities=probabilities,
        text=(message.content if message else None) or "",
        finish=choice.finish_reason or "stop",
        refusal=(getattr(message, "refusal", None) if message else None) or "",
        tokens_in=usage.prompt_tokens if usage else 0,
        tokens_out=usage.completion_tokens if usage else 0,
    )


def label_probabilities(top: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Probability of each label, all spellings together; a label that is not among the likeliest tokens gets 0.

    Raises:
        UnreadableError: a logarithm of a probability that is NaN or above 0.
    """
    found = dict.fromkeys(LABELS, 0.0)
    for token, logprob in top:
        if not isinstance(logprob, int | float) or not logprob <= 1e-4:
            raise UnreadableError(f"the server says that the token {token!r} has the log-probability {logprob!r}")
        label = token.strip().casefold()
        if label in found:
            found[label] += math.exp(logprob)
    return found
