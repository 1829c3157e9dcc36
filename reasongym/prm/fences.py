r"""Text that others wrote, made safe to stand in a prompt: passages, policies' words, criteria that a model named.

    | step 1: x = 2, so
    | > step 2: x is prime        (a line of step 1 itself)
    | step 2: 2x = 4

`fenced` puts every line behind a bar, so that no line of theirs passes for one of ours. `labelled` labels a text and marks the
lines it goes on with ("> "), so that none of them passes for another label: a label never begins with ">". Both together tell
different fields apart, whatever stands in them, up to what `clean` takes away: which sign ended a line, characters that are
not seen, and the space that breaks what looks like a special token.
"""

from __future__ import annotations

import re
import unicodedata

_LINE_END = re.compile("\r\n|[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
_UNSEEN = frozenset(("Cc", "Cf", "Cs"))
"""Unicode's categories of control and format characters (zero width, writing direction, tags) and of lone surrogates."""
_SPECIAL = re.compile(r"[<＜﹤](?=[|/｜<＜A-Za-z_]|0x)|[\[［](?=/?[A-Za-z_][\w.-]+[\]］])")
"""Where `<|end|>`, `</s>`, `<start_of_turn>`, `<<SYS>>`, `<0x0A>`, `[INST]`, `[gMASK]`, `[control_8]` begin."""


def clean(line: str) -> str:
    """One line without unseen characters (a tab stays), look-alikes of special tokens broken by a space."""
    if not line.isprintable():
        line = "".join(c for c in line if c == "\t" or unicodedata.category(c) not in _UNSEEN)
    return _SPECIAL.sub(lambda found: found.group() + " ", line)


def labelled(label: str, text: str) -> str:
    """`label: text`, where the text's further lines begin with "> "."""
    return f"{label}: " + "\n> ".join(_LINE_END.split(text))


def fenced(text: str) -> str:
    """The text with every line cleaned, behind a bar; "| " alone where it is empty."""
    return "\n".join(f"| {clean(line)}" for line in _LINE_END.split(text))


def one_line(text: str) -> str:
    """The text in one clean line, for a place that has no more: an item of a list of ours."""
    return " ".join(clean(line).strip() for line in _LINE_END.split(text)).strip()
