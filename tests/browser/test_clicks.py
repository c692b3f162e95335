"""How long a click takes until the last thing on the page has been painted anew, against the same click in an app that
shows nothing but a word: what a page itself costs, whatever the machine."""

from __future__ import annotations

import statistics

import pytest
from playwright.sync_api import Page, expect

CLICKS = 10
MODES = ("decode", "prefill")
EMPTY = """
import streamlit as st

modes = ["pretraining", "prefill", "decode"]
st.title(st.sidebar.segmented_control("Mode", modes, default="prefill", required=True, key="mode"))
"""
# Milliseconds from the click to the last change of the page, after which it stays as it is for a while. What a table's
# canvas holds for screen readers follows a moment later and is not painted.
CLICK = """
(button) => new Promise((done) => {
  const app = document.querySelector("[data-testid=stApp]");
  const started = performance.now();
  let last = 0;
  const painted = (change) => !(change.target.parentElement ?? change.target).closest("canvas");
  const watch = new MutationObserver((changes) => { if (changes.some(painted)) last = performance.now(); });
  const page = document.querySelector("[data-testid=stMain]");
  watch.observe(page, { subtree: true, childList: true, characterData: true, attributes: true });
  button.click();
  const timer = setInterval(() => {
    if (last && app.dataset.testScriptState === "notRunning" && performance.now() - last > 500) {
      clearInterval(timer);
      watch.disconnect();
      done(last - started);
    }
  }, 20);
})
"""


def click(page: Page, mode: str) -> float:
    return page.locator(".st-key-mode").get_by_text(mode, exact=True).element_handle().evaluate(CLICK)


@pytest.mark.parametrize("link", ["", "scaling", "compare"])
def test_a_click_costs_a_small_multiple_of_an_empty_page(visit, server, start, tmp_path, link):
    script = tmp_path / "empty" / "empty.py"
    script.parent.mkdir()
    script.write_text(EMPTY, encoding="utf-8")
    empty, page = visit(start(script)).open(), visit(server).open(link)
    expect(page.get_by_test_id("stVegaLiteChart").last.locator("svg")).to_be_attached()
    expect(empty.locator("h1")).to_have_text("prefill")
    times: dict[str, list[float]] = {"page": [], "empty": []}
    for turn in range(CLICKS + 2):
        for name, each in (("page", page), ("empty", empty)):  # in turn, so that both meet the same machine
            times[name].append(click(each, MODES[turn % 2]))
    expect(empty.locator("h1")).to_have_text(MODES[(CLICKS + 1) % 2])
    medians = {name: statistics.median(found[2:]) for name, found in times.items()}
    print({name: round(value) for name, value in medians.items()})
    assert medians["page"] < 10 * medians["empty"], medians
