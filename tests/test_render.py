"""Pictures: everything a scene says can be read off the terminal picture, and images keep their size."""

from __future__ import annotations

import builtins
import re
from dataclasses import replace

import numpy as np
import pytest

from reasongym.render import RENDER_MODES, Scene, SlotScene, ansi, number, rgb_array
from reasongym.render.image import HEIGHT, WIDTH

START = Scene(
    title="qa2/train/17", question=None, desk="Mary went to the office.", units_read=0, num_units=9, steps=0, max_steps=86,
    chain_length=10, slots=(SlotScene(),) * 4,
)  # fmt: skip
LATER = replace(
    START,
    question="Where is the milk?",
    desk=None,
    units_read=9,
    steps=12,
    slots=(
        SlotScene(("John took the milk.", "John went to the garden."), 0.75, 2),
        SlotScene(("Mary went to the office.",), 0.25, 0, ("recall",)),
        SlotScene(),
    ),
    chain=(("John took the milk.",),),
    action="recall 1",
    scores={"logic": np.nan, "goal": 0.5, "outcome": 0.0},
    terms={"logic": 0.0, "goal": 0.15, "outcome": 0.0, "memory": -0.15},
    reward=0.0,
    total=0.3,
)
ENDED = replace(LATER, action="answer kitchen", invalid="the chain is full", verdict="wrong: garden was right")


def words(scene):
    return re.sub(r"\x1b\[[0-9;]*m", "", ansi(scene))


def test_the_terminal_picture_says_all():
    text = words(LATER)
    for part in (
        "Where is the milk?", "(empty: the text is over)", "John took the milk. / John went to the garden.", "0.75", "██████░░",
        "2×", "recall", "chain 1/10", "1. John took the milk.", "read 9/9 · step 12/86",
        "recall 1 → reward +0.000, return +0.300", "–", "+0.500", "+0.150", "-0.150", "memory",
    ):  # fmt: skip
        assert part in text, part
    assert max(map(len, text.splitlines())) == 100


def test_the_start_and_the_end():
    assert "(not yet asked)" in words(START)
    assert "start of the episode" in words(START)
    assert "nothing recalled" in words(START)
    assert "illegal: the chain is full" in words(ENDED)
    assert "wrong: garden was right" in words(ENDED)


def test_markup_in_a_text_is_shown_as_it_is():
    assert "the [red]ball[/red] of [/]" in words(replace(START, desk="the [red]ball[/red] of [/]"))


@pytest.mark.parametrize(
    "scene",
    [
        START,
        LATER,
        ENDED,
        replace(LATER, slots=LATER.slots * 20, chain=LATER.chain * 30, question="Beyoncé 東京 " * 60),
        replace(START, slots=()),
    ],
)
def test_images_keep_their_size(scene):
    image = rgb_array(scene)
    assert (image.shape, image.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    assert image.std() > 5


def test_images_show_salience():
    low, high = (rgb_array(replace(START, slots=(SlotScene(("a",), s),))) for s in (0.1, 0.9))
    assert (low != high).any()
    np.testing.assert_array_equal(high, rgb_array(replace(START, slots=(SlotScene(("a",), 0.9),))))


def test_human_prints(capsys):
    assert RENDER_MODES["human"](LATER) is None
    assert "Where is the milk?" in capsys.readouterr().out


@pytest.mark.parametrize(("value", "shown"), [(np.nan, "–"), (0.0, "0"), (0.5, "+0.500"), (-1, "-1.000")])
def test_numbers(value, shown):
    assert number(value) == shown


@pytest.mark.parametrize(("mode", "package"), [("ansi", "rich"), ("human", "rich"), ("rgb_array", "PIL")])
def test_a_missing_extra_says_what_to_install(monkeypatch, mode, package):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}")
        return real(name, *args, **kwargs)

    def missing(name, package_name=None):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("reasongym.render.scene.import_module", missing)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=rf"render_mode='{mode}' needs .*pip install 'reasongym\[play\]'"):
        RENDER_MODES[mode](LATER)
