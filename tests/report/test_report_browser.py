"""The page in headless Chromium, opened from a file with the network off: filters, stepping by button and key, no errors.

Needs Debian's `chromium` and the pip package `playwright` (its own browsers are not downloaded).
"""

from __future__ import annotations

import json
import shutil

import pytest

from reasongym.report import write_report
from tests.report.conftest import curve, result, write_run

playwright = pytest.importorskip("playwright.sync_api", reason="needs the pip package playwright (extra test)")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
WAIT = 10_000
"""Milliseconds for anything to appear."""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser):
    """A function that opens a file and returns the page; what went wrong in it fails the test."""
    faults, contexts = [], []

    def open_file(path, **options):
        context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900}, reduced_motion="reduce", **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith("file:") else faults.append(request.url))
        page.on("dialog", lambda dialog: (faults.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.goto(path.as_uri())
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert not faults


@pytest.fixture(scope="module")
def report(played, tmp_path_factory):
    return write_report(played, tmp_path_factory.mktemp("browser") / "report.html")


def position(page):
    return page.inner_text("#position")


def test_an_episode_is_stepped_through(visit, report, played):
    page = visit(report)
    page.wait_for_selector("#shown:not([hidden])")
    page.select_option("select[name=agent]", "expert")
    page.select_option("select[name=setting]", "easy")
    page.wait_for_function("document.querySelector('#where').textContent.includes('expert')")
    lines = (played / "tiny" / "expert--easy--1" / "episodes.jsonl").read_text().splitlines()
    episode = json.loads(lines[0])
    steps = episode["steps"]
    assert position(page) == f"step 1 of {len(steps)}"
    assert page.inner_text("#question") == episode["question"]
    for t, step in enumerate(steps):
        assert page.inner_text("#action") == step["action"]
        desk = page.inner_text("#desk")
        assert (episode["units"][step["desk"]] in desk) if step["desk"] is not None else ("text is over" in desk)
        for link in step["chain"]:
            assert all(episode["units"][unit] in page.inner_text("#chain") for unit in link["units"])
        for slot in step["slots"]:
            assert all(episode["units"][unit] in page.inner_text("#slots") for unit in slot["units"])
        for reason in step["reasons"].values():
            assert reason in page.inner_text("#scores")
        assert page.get_attribute(".column.now", "data-step") == str(t)
        if t % 2:
            page.keyboard.press("ArrowRight")
        else:
            page.click("#forward")
    assert position(page) == f"the end, after {len(steps)} steps"
    assert page.is_disabled("#forward")
    page.keyboard.press("Home")
    assert position(page) == f"step 1 of {len(steps)}"
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#action") == steps[-1]["action"]
    page.click("#back")
    assert page.inner_text("#action") == steps[-2]["action"]
    page.locator(".column").nth(1).click()
    assert position(page) == f"step 2 of {len(steps)}"


def test_filters_and_the_list(visit, report):
    page = visit(report)
    count = page.locator("#count")
    assert count.inner_text() == "12 of 12 episodes"
    page.select_option("select[name=agent]", "random")
    assert count.inner_text() == "6 of 12 episodes"
    page.select_option("select[name=setting]", "small")
    assert count.inner_text() == "3 of 12 episodes"
    page.select_option("select[name=agent]", "")
    page.select_option("select[name=setting]", "")
    page.select_option("select[name=success]", "right")
    right = page.locator("#list button").count()
    page.select_option("select[name=success]", "wrong")
    assert page.locator("#list button").count() + right == 12
    assert right >= 6, "the expert is always right"
    page.select_option("select[name=success]", "")
    page.fill("input[name=words]", "no such words")
    assert page.is_visible("#nothing")
    assert not page.is_visible("#shown")
    page.fill("input[name=words]", "")
    before = page.inner_text("#where")
    page.locator("#list button").nth(2).click()
    page.wait_for_function("before => document.querySelector('#where').textContent !== before", arg=before)
    assert page.locator("#list button").nth(2).get_attribute("aria-current") == "true"
    page.locator("#same button").first.click()
    page.wait_for_function("document.querySelectorAll('#list button[aria-current]').length === 1")


def test_sorting_and_pointing(visit, report):
    page = visit(report)
    first = page.locator(".board tbody tr").first
    assert "expert" in first.inner_text()
    page.locator(".board thead th", has_text="Success").click()
    page.locator(".board thead th", has_text="Success").click()
    assert "random" in first.inner_text()
    plot = page.locator("svg.plot").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.5)
    assert "frames" in page.locator(".tip").inner_text()
    page.locator(".legend .chip", has_text="random").first.hover()
    assert page.locator(".dimmed [data-series].lit").count() > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen_in_both_schemes(visit, report, scheme):
    page = visit(report, color_scheme=scheme)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in dark[4:-1].split(",")) < 200) == (scheme == "dark")
    for width in (1280, 420):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_was_played_stays_text(visit, played, tmp_path):
    evil = "</script><img src=x onerror=\"document.title='broken'\"><b>bold</b>"
    episode = json.loads((played / "tiny" / "random--easy--1" / "episodes.jsonl").read_text().splitlines()[0])
    episode |= {"question": evil, "answer": evil, "units": [evil] * len(episode["units"]), "name": evil}
    episode["steps"][0] |= {"thought": evil, "command": evil, "prompt": evil, "action": evil, "reasons": {"logic": evil}}
    episode["steps"][1]["slots"] = [{"units": [], "words": evil, "salience": 0.5}]
    write_run(tmp_path, result("a", "s", 1, supervision=evil), curve(0.5), [episode])
    page = visit(write_report(tmp_path, tmp_path / "report.html", title=evil))
    page.wait_for_selector("#shown:not([hidden])")
    assert page.inner_text("#question") == evil
    page.click("#prompt summary")
    for name in ("#action", "#words", "#prompt", "#scores", "#text", "#desk"):
        assert evil in page.inner_text(name), name
    page.click("#forward")
    assert evil in page.inner_text("#slots")
    assert page.title() == evil
    assert page.locator("main img, #episode b b").count() == 0


def test_pages_without_episodes_and_with_several_suites(visit, tmp_path, runs):
    write_run(tmp_path, result("a", "s", 1))
    assert "nothing to step through" in visit(write_report(tmp_path, tmp_path / "bare.html")).inner_text("#episodes")
    for folder in list((runs / "tiny").iterdir())[:2]:
        write_run(runs, json.loads((folder / "result.json").read_text()) | {"suite": "other"})
    page = visit(write_report(runs, tmp_path / "two.html"))
    assert page.is_visible("text=other >> nth=0")
    page.click("[role=tab]:has-text('tiny')")
    assert page.inner_text("article.suite:not([hidden]) h1") == "tiny"
    assert page.get_attribute("[data-section=memory]", "href").startswith("#s1-")
