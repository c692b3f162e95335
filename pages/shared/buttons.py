"""Buttons that do in the browser what Streamlit has no call for: save the page's pictures as SVG, copy the link, open
the drawer."""

from __future__ import annotations

import json
from collections.abc import Sequence

import streamlit as st

LOOK = """
button {
  font: inherit; font-size: 0.93rem; color: inherit; cursor: pointer; padding: 0.4rem 0.75rem;
  background: transparent; border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius);
}
button:hover, button:focus-visible { border-color: var(--st-primary-color); color: var(--st-primary-color); }
"""
SAVE = """
export default function ({ data, parentElement }) {
  const names = JSON.parse(data);
  parentElement.querySelector("button").onclick = () => {
    document.querySelectorAll("[data-testid=stVegaLiteChart]").forEach((chart, place) => {
      const drawn = chart.querySelector("svg");
      if (!drawn || !names[place]) return;
      const copy = drawn.cloneNode(true);
      copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
      const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
      title.textContent = chart.getAttribute("aria-label");
      copy.prepend(title);
      const saved = document.createElement("a");
      saved.href = URL.createObjectURL(new Blob([copy.outerHTML], { type: "image/svg+xml" }));
      saved.download = `${names[place]}.svg`;
      saved.click();
      setTimeout(() => URL.revokeObjectURL(saved.href), 10000);
    });
  };
}
"""


# A block of code has a button of its own, which a phone never shows: it waits for a pointer to hover. Without HTTPS the
# browser keeps its clipboard from pages, so there the text is selected and copied as by hand.
COPY = """
export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button");
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(data);
    } catch {
      const text = document.createElement("textarea");
      text.value = data;
      parentElement.append(text);
      text.select();
      document.execCommand("copy");
      text.remove();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  };
}
"""


# The drawer remembers that it was closed, by hand or on the way to another page; its own button always opens it.
OPEN = """
export default function ({ parentElement }) {
  parentElement.querySelector("button").onclick = () =>
    document.querySelector("[data-testid=stExpandSidebarButton]")?.click();
}
"""


def save_pictures(names: Sequence[str]) -> None:
    """Saves what is drawn. The names are those of the files, in the order of the page's pictures."""
    html = "<button type='button'>Pictures (SVG)</button>"
    component = st.components.v2.component("pictures_as_svg", html=html, css=LOOK, js=SAVE)
    component(data=json.dumps(list(names)), key="svg")


def copy_link(address: str) -> None:
    """Copies the address."""
    html = "<button type='button'>Copy</button>"
    st.components.v2.component("copy_link", html=html, css=LOOK, js=COPY)(data=address, key="copy")


def open_drawer() -> None:
    """Opens the sidebar where it is a drawer, on a phone."""
    html = "<button type='button'>Settings and pages</button>"
    st.components.v2.component("open_drawer", html=html, css=LOOK, js=OPEN)(key="change")
