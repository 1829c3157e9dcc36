"""How many tokens a `transformers` model can read at once, and the error for a text that has more.

A model with learned positions dies past its window; one with rotary positions goes on, and answers by positions that it was
never trained on. Both are refused here, before the model is asked.
"""

from __future__ import annotations

from typing import Any

from reasongym.errors import PRMError


class WindowError(PRMError, ValueError):
    """A text is longer than the model that should score it can read."""


def window_of(model: Any) -> int | None:
    """Tokens that a model has positions for; None where it sets no limit.

    Embeddings that set rows apart for padding (RoBERTa's) count positions from behind these.
    """
    most = getattr(model.config, "max_position_embeddings", None)
    if not isinstance(most, int) or most < 1:
        return None
    learned = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    padding = getattr(learned, "padding_idx", None)
    return most if padding is None else most - padding - 1


def limit(asked: int, model: Any) -> int:
    """The tokens that are read at most: those asked for, or the model's window where that is less.

    Raises:
        ValueError: fewer than one is asked for.
    """
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 1:
        raise ValueError(f"max_tokens must be a whole number of at least 1, got {asked!r}")
    window = window_of(model)
    return asked if window is None else min(asked, window)


def too_long(what: str, tokens: int, most: int, model: Any) -> WindowError:
    """The error: what is too long, by how much, and what can be done."""
    window = window_of(model)
    cure = "take a model with a longer window" if most == window else "raise max_tokens"
    whose = f"the window of {type(model).__name__}" if most == window else "max_tokens"
    return WindowError(f"{what} has {tokens} tokens, but {whose} is {most}: cut it into shorter ones, or {cure}")
