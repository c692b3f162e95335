"""The methods and the validation as pages, and every formula of a model."""

from __future__ import annotations

import csv
import io
import re
from urllib.parse import parse_qsl

import pytest
from screen import (
    HYBRID,
    LATENT,
    QWEN,
    ROOT,
    shown,
)

from calculator import load_model
from calculator.record.options import MODES
from calculator.record.workload import Workload
from calculator.report.why import explain


def test_the_methods_and_the_validation_are_pages_with_links(open_page):
    for section, file in (("methods", "METHODS.md"), ("validation", "VALIDATION.md")):
        chapters = re.findall(r"(?m)^## (.+)$", (ROOT / "docs" / file).read_text(encoding="utf-8"))
        at = open_page("methods", section=section)
        links = [e.proto for e in at.get("page_link")]
        assert [link.label for link in links[:-1]] == chapters[1:]  # the first one is shown
        assert links[-1].label == f"Next: {chapters[1]}"
        assert f"**{chapters[0]}**" in [m.value for m in at.markdown]
        assert [h.value for h in at.header] == [chapters[0]]
        for title, link in zip(chapters[1:], links, strict=False):
            named = dict(parse_qsl(link.query_string))
            assert named.get("section", "methods") == section
            part = open_page("methods", section=section, chapter=named["chapter"])
            assert [h.value for h in part.header] == [title]
            said = [m.value for m in part.markdown]
            assert not any(line.startswith("# ") for text in said for line in text.splitlines())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [QWEN, LATENT, HYBRID])
def test_every_formula_of_a_model(open_page, downloads, name, mode):
    at = open_page("methods", section="model", model=name, mode=mode)
    expected = [
        {
            "operation": x.operation.name,
            "layers": x.operation.layers,
            "amount": amount,
            "formula": f.symbols,
            "values": f.values,
            "value": f.value,
            "count": x.operation.count,
        }
        for x in explain(load_model(name), Workload(mode=mode))
        for amount, f in x.formulas.items()
    ]
    assert shown(at) == expected
    found = list(csv.DictReader(io.StringIO(downloads["formulas.csv"]())))
    assert [{k: row[k] for k in expected[0]} for row in found] == [
        {k: str(v) for k, v in row.items()} for row in expected
    ]
    assert "| B | batch size | 1 |" in "\n".join(m.value for m in at.markdown)
