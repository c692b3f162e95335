"""The engine against published and measured numbers (tests/data/published.json), and the page that shows them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calculator.families import FAMILIES
from calculator.sources import catalogue
from docs import make_validation
from docs.make_validation import Row

ROWS = make_validation.rows()


def title(row: Row) -> str:
    return f"{row.group}: {row.model}, {row.what}"


@pytest.mark.parametrize("row", [r for r in ROWS if r.tolerance == "exact" and not r.excuse], ids=title)
def test_exact(row: Row) -> None:
    assert row.predicted == row.expected


@pytest.mark.parametrize("row", [r for r in ROWS if r.tolerance != "exact" and not r.excuse], ids=title)
def test_within_the_tolerance_of_the_source(row: Row) -> None:
    assert row.verdict in ("exact", "within"), f"{row.predicted} against {row.expected} {row.unit}, {row.tolerance}"


@pytest.mark.parametrize("row", [r for r in ROWS if r.excuse], ids=title)
def test_a_row_with_a_reason_for_being_off_is_off(row: Row) -> None:
    assert row.verdict == "off"


def test_every_bundled_model_has_a_published_or_counted_total() -> None:
    counts = json.loads((Path(__file__).parent / "data" / "catalogue.json").read_text(encoding="utf-8"))
    stated = {name for name, total, *_ in make_validation.data()["parameters"] if total}
    stated |= {*counts["transformers"], *counts["published"]}
    without = {e.id for e in catalogue.entries() if e.config.get("model_type") in FAMILIES} - stated
    assert without <= {name for name, total, *_ in make_validation.data()["parameters"] if total is None}


def test_every_row_names_a_known_group_source_and_quantity() -> None:
    data = make_validation.data()
    for record in data["rows"]:
        assert record["group"] in data["groups"]
        assert record["source"] in data["sources"]
        assert record["quantity"] in make_validation.QUANTITIES
        assert record["unit"] in make_validation.UNITS


def test_the_data_file_has_one_row_a_line() -> None:
    text = make_validation.DATA.read_text(encoding="utf-8")
    assert json.loads(text) == make_validation.data()
    assert sum(line.startswith('  {"group"') for line in text.splitlines()) == len(make_validation.data()["rows"])


def test_the_page_is_fresh() -> None:
    written = make_validation.PAGE.read_text(encoding="utf-8")
    assert written == make_validation.page(), "stale; run python docs/make_validation.py"
    readme = make_validation.README.read_text(encoding="utf-8")
    assert readme == make_validation.readme(), "stale; run python docs/make_validation.py"
