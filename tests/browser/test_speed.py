"""How long a click takes until the last thing on the page has been painted anew, against the same click in an app that
shows nothing but a line of text: what a page itself costs, whatever the machine."""

from __future__ import annotations

import statistics

import pytest
from playwright.sync_api import Page, expect

CLICKS = 10
MODES = ("decode", "prefill")
EMPTY = """
import streamlit as st

mode = st.segmented_control("Mode", ["pretraining", "prefill", "decode"], default="prefill", required=True, key="mode")
st.title(mode)
"""
# Milliseconds from the click to the last change of the page; it is over once the script has run and nothing changed for
# a while.
CLICK = """
(button) => new Promise((done) => {
  const app = document.querySelector("[data-testid=stApp]");
  const started = performance.now();
  let last = started, ran = false;
  const watch = new MutationObserver((changes) => {
    const real = changes.some((change) => change.type !== "attributes" || change.target !== app);
    if (app.dataset.testScriptState === "running") ran = true;
    if (real) last = performance.now();
  });
  watch.observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
  button.click();
  const timer = setInterval(() => {
    if (ran && app.dataset.testScriptState === "notRunning" && performance.now() - last > 400) {
      clearInterval(timer);
      watch.disconnect();
      done(last - started);
    }
  }, 20);
})
"""


def click(page: Page, mode: str) -> float:
    return page.locator(".st-key-mode").get_by_text(mode, exact=True).element_handle().evaluate(CLICK)


@pytest.mark.parametrize(("link", "most"), [("", 8), ("scaling", 8), ("compare", 8)])
def test_a_click_costs_a_small_multiple_of_an_empty_page(visit, server, start, tmp_path, link, most):
    script = tmp_path / "empty.py"
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
    assert medians["page"] < most * medians["empty"], medians
