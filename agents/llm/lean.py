"""How readily a model says one thing rather than another, and the lean that makes it say it as often as is wanted.

Turns to learn from are chosen, so that what matters is not drowned in turns of reading on; a model that learned from them keeps
too much of a text in which one sentence in hundreds is needed. What it learned is the order, and what differs is the share: a
constant in the log-odds (Elkan, 2001, theorem 2).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from agents.llm.chat import Message
from agents.llm.models import LocalModel
from agents.llm.sampling import mixed, padded, positions


@torch.inference_mode()
def log_odds(local: LocalModel, chats: Sequence[Sequence[Message]], of: str, against: str) -> np.ndarray:
    """(B,) log-odds that the reply to each of B chats begins as the text `of` does rather than as `against` does.

    Raises:
        ValueError: both begin with the same token.
    """
    one, other = local.encode(of)[0], local.encode(against)[0]
    if one == other:
        raise ValueError(f"{of!r} and {against!r} begin with the same token")
    prompts = [local.prompter(chat) for chat in chats]
    order, found = sorted(range(len(prompts)), key=lambda i: len(prompts[i])), np.zeros(len(prompts))
    for start in range(0, len(order), local.batch_size):
        rows = order[start : start + local.batch_size]
        ids, seen = padded([prompts[i] for i in rows], local.pad, local.model.device)
        with mixed(local.model):
            out = local.model(
                input_ids=ids, attention_mask=seen, position_ids=positions(seen), logits_to_keep=1, use_cache=False
            )
        logits = out.logits[:, -1].float()
        found[rows] = (logits[:, one] - logits[:, other]).cpu().numpy()
    return found


def lean_to(odds: np.ndarray, share: float) -> float:
    """What to add to log-odds for so large a share of them to be positive.

    Raises:
        ValueError: there are none, or the share is not in (0, 1).
    """
    if not len(odds) or not 0 < share < 1:
        raise ValueError(f"a share in (0, 1) of some log-odds is needed, got {share!r} of {len(odds)}")
    return -float(np.quantile(odds, 1 - share))
