"""The store of replies that are paid for: on disk (`diskcache`, an SQLite file), or in memory for one process.

A key is a hash of everything a reply depends on: the model's identity with its dtype, the whole prompt, the kind and length
of the reply. Every reply is written as it arrives, so a killed run loses only the calls that were under way, and unreadable
replies too are paid for once. Values are JSON; nothing is unpickled and nothing is evicted.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import MutableMapping
from typing import Any

from reasongym.prm.judge.questions import Question
from reasongym.prm.judge.verdicts import Reply


def question_key(identity: str, question: Question) -> str:
    """The store's key of a question put to the model `identity`."""
    parts = [identity, question.kind, question.criterion, question.max_tokens, question.system, question.content]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=20).hexdigest()


class ReplyStore:
    """Replies by key.

    Args:
        folder: where they are kept, made when it does not exist; None: in memory.
    """

    def __init__(self, folder: str | os.PathLike | None) -> None:
        self.folder = None if folder is None else os.fspath(folder)
        self._replies: MutableMapping[str, Any] | Any = {} if self.folder is None else _on_disk(self.folder)

    def get(self, key: str) -> Reply | None:
        """The reply, or None."""
        found = self._replies.get(key)
        return None if found is None else Reply.from_dict(found)

    def put(self, key: str, reply: Reply) -> None:
        """Keeps a reply; it is on disk when this returns."""
        self._replies[key] = reply.to_dict()

    def __len__(self) -> int:
        return len(self._replies)


def _on_disk(folder: str) -> Any:
    try:
        import diskcache
    except ImportError as missing:
        raise ImportError("a judge's cache on disk needs diskcache; run: pip install 'reasongym[llm]'") from missing
    return diskcache.Cache(folder, disk=diskcache.JSONDisk, eviction_policy="none", size_limit=1 << 50)
