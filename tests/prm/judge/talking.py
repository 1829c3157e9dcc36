"""An OpenAI-compatible server on the loopback without a model: it says what a test tells it to say."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Talking:
    """`url` is the API's root.

    Attributes:
        asked: the user's messages, probes left out.
        last: the last of these requests, whole.
        reply: text of a reply, by the user's message.
        labels: probability of "yes", by the user's message; None: no log-probabilities are returned.
        die_after: questions after which connections are closed without answer.
        usage: tokens (in, out) that are billed for a call.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.last: dict[str, Any] = {}
        self.reply: Callable[[str], str] = lambda asked: "yes"
        self.labels: Callable[[str], float] | None = lambda asked: 0.9
        self.die_after: int | None = None
        self.usage = (100, 10)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def completion(self, request: Mapping[str, Any]) -> dict[str, Any]:
        asked = request["messages"][-1]["content"]
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        choice["message"] = {"role": "assistant", "content": self.reply(asked)}
        if request.get("logprobs") and self.labels is not None:
            yes = self.labels(asked)
            top = [
                {"token": word, "logprob": math.log(max(p, 1e-9)), "bytes": None} for word, p in (("yes", yes), ("no", 1 - yes))
            ]
            choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        into, out = self.usage
        billed = {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}
        return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": billed}


def _handler(talking: Talking) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if "Is water wet?" not in request["messages"][-1]["content"]:
                if talking.die_after is not None and len(talking.asked) >= talking.die_after:
                    self.close_connection = True
                    self.connection.close()
                    return
                talking.asked.append(request["messages"][-1]["content"])
                talking.last = request
            body = json.dumps(talking.completion(request)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler
