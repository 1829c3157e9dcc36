"""Natural text made to order: encyclopedic passages and tales, from a small world of people, places, things, times and causes.

`passages` and `tales` return sources. Two genres share one machinery: *frames* (what can be told and asked, `frames`), a
*teller* (events to sentences, `telling`), an *asker* (questions, `asking`), and for each genre its frames and its plot.
"""

from __future__ import annotations

from reasongym.tasks.prose.source import ProseSource, passages, tales

__all__ = ["ProseSource", "passages", "tales"]
