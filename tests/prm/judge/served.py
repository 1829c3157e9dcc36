"""A small OpenAI-compatible server on the loopback, with true `top_logprobs`, and ways to misbehave.

It shares no code with the judge: it renders the chat template, tokenises the string in one piece, runs the model over the
whole prompt without any cache, and generates greedily.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


@dataclass
class Behaviour:
    """What the server does; tests change it while it runs.

    Attributes:
        logprobs: whether it returns log-probabilities when asked.
        delay: seconds before each answer.
        die_after: requests after which connections are closed without answer.
        fail_first: requests that get status 503 first.
        status: with which it answers everything.
        body: what it answers instead of a completion.
        reply: text of every reply; None: the model's.
        finish, refusal: of every reply.
        limit: the only name of the limit that it knows, if any.
        served, asked: requests answered, and received, the probe included.
    """

    logprobs: bool = True
    delay: float = 0.0
    die_after: int | None = None
    fail_first: int = 0
    status: int = 200
    body: bytes | None = None
    reply: str | None = None
    finish: str | None = None
    refusal: str | None = None
    limit: str | None = None
    served: int = 0
    asked: int = 0
    prompts: list[str] = field(default_factory=list)


class Served:
    """Runs in threads of this process; `url` is the API's root."""

    def __init__(self, folder: str) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
        self.behaviour = Behaviour()
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """A chat completion."""
        text = self.tokenizer.apply_chat_template(body["messages"], tokenize=False, add_generation_prompt=True)
        self.behaviour.prompts.append(text)
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        most, written, first = body.get("max_tokens", body.get("max_completion_tokens", 16)), [], None
        with torch.inference_mode(), self.lock:
            while len(written) < most:
                logits = self.model(torch.tensor([ids + written])).logits[0, -1].log_softmax(-1)
                first = logits if first is None else first
                written.append(int(logits.argmax()))
                if written[-1] == self.tokenizer.eos_token_id:
                    break
        ended = written[-1] == self.tokenizer.eos_token_id
        content = self.tokenizer.decode(written, skip_special_tokens=True)
        choice: dict[str, Any] = {
            "index": 0,
            "finish_reason": self.behaviour.finish or ("stop" if ended else "length"),
            "message": {
                "role": "assistant",
                "content": content if self.behaviour.reply is None else self.behaviour.reply,
                "refusal": self.behaviour.refusal,
            },
        }
        if body.get("logprobs") and self.behaviour.logprobs:
            values, tokens = first.topk(body["top_logprobs"])
            top = [
                {"token": self.tokenizer.decode([i]), "logprob": v, "bytes": None}
                for i, v in zip(tokens.tolist(), values.tolist(), strict=True)
            ]
            choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}], "refusal": None}
        usage = {"prompt_tokens": len(ids), "completion_tokens": len(written), "total_tokens": len(ids) + len(written)}
        return {
            "id": "x", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice], "usage": usage,
        }  # fmt: skip


def _handler(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            how = served.behaviour
            with served.lock:
                how.asked += 1
                number = how.asked
            time.sleep(how.delay)
            if how.die_after is not None and number > how.die_after:
                self.close_connection = True
                self.connection.close()
                return
            if number <= how.fail_first:
                self._send(503, b'{"error": {"message": "overloaded"}}')
            elif how.limit and how.limit not in body:
                self._send(400, f'{{"error": {{"message": "use {how.limit}"}}}}'.encode())
            elif how.status != 200 or how.body is not None:
                self._send(how.status, how.body or b'{"error": {"message": "no"}}')
            else:
                completion = json.dumps(served.complete(body)).encode()
                with served.lock:
                    how.served += 1
                self._send(200, completion)

        def _send(self, status: int, body: bytes) -> None:
            try:
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if body.startswith(b"<") else "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                self.close_connection = True  # whoever asked is gone

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    return Handler
