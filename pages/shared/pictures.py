"""Save the page's pictures as SVG, which Streamlit's own toolbar does not: a button that hands over what is drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence

import streamlit as st

BUTTON = """<button type="button">Pictures (SVG)</button>"""
LOOK = """
button {
  font: inherit; color: inherit; cursor: pointer; width: 100%; padding: 0.4rem 0.75rem;
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


def save(names: Sequence[str]) -> None:
    """The button. The names are those of the files, in the order of the page's pictures."""
    component = st.components.v2.component("pictures_as_svg", html=BUTTON, css=LOOK, js=SAVE)
    component(data=json.dumps(list(names)), key="svg")
