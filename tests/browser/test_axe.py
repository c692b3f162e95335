"""Every page under axe-core in both themes. AXE names axe.min.js of the npm package axe-core, not kept here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

AXE = os.environ.get("AXE", "")
PAGES = [
    "?mode=decode",
    "fit",
    "speed",
    "serving",
    "training",
    "compare",
    "scaling",
    "experts",
    "methods",
    "?source=hub",
]
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
# What stands in Streamlit's own front end, where no app reaches it.
OF_STREAMLIT = {"scrollable-region-focusable"}


@pytest.mark.skipif(not AXE, reason="AXE does not name axe.min.js")
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("link", PAGES)
def test_a_page_has_no_violation(visit, server, link, color_scheme):
    page = visit(server, color_scheme=color_scheme).open(link)
    page.wait_for_timeout(500)
    page.evaluate(Path(AXE).read_text(encoding="utf-8"))
    found = page.evaluate("tags => axe.run(document, { runOnly: tags })", TAGS)
    wrong = {
        v["id"]: [node["html"][:160] for node in v["nodes"][:3]]
        for v in found["violations"]
        if v["id"] not in OF_STREAMLIT
    }
    assert wrong == {}
