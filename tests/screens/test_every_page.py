"""Every page in every mode for models of very different kinds: drawn, and its charts whole."""

from __future__ import annotations

import math

import pytest
from screen import (
    CHARTS,
    ENCODERS,
    MAMBA,
    MODELS,
    OPENED,
    PAGES,
    check,
)

from calculator import load_model
from calculator.record.options import MODES
from calculator.report.charts import KINDS, PARTS
from calculator.sources import catalogue
from pages.shared.model import packed

# Every page, every mode, every kind of model


@pytest.mark.parametrize("name", MODELS, ids=lambda name: name.split("/")[-1])
@pytest.mark.parametrize("page", PAGES)
def test_every_page_in_every_mode(open_page, charts_of, page, name):
    at = open_page(page, model=name, mode=MODES[0], **OPENED.get(page, {}))
    for mode in MODES:
        at.segmented_control(key="mode").set_value(mode).run()
        assert [e.value for e in at.exception] == []
        assert len(at.title) == 1
        empty = page == "experts" and name == MAMBA  # it has no MLP to turn into experts
        assert not at.error
        assert len(at.info) == empty
        if empty:
            continue
        charts = charts_of(at)
        no_cache = page == "overview" and mode == "pretraining"
        assert len(charts) == CHARTS[page] - no_cache
        for chart in charts:
            check(chart)
        assert len({chart.alt for chart in charts}) == len(charts)
        assert len(at.dataframe) == {"overview": 1, "experts": 1 if load_model(name).experts else 2}.get(page, 1)
        for table in at.dataframe:
            assert len(table.value) > 0
            assert table.proto.alt
            assert not table.value.map(lambda cell: isinstance(cell, float) and math.isinf(cell)).to_numpy().any()


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("page", PAGES)
def test_every_page_of_an_encoder(open_page, charts_of, page, kind):
    link = {"source": "upload", "config": packed(ENCODERS[kind])}
    at = open_page(page, **link, mode=MODES[0], **({"section": "model"} if page == "methods" else {}))
    for mode in MODES:
        at.segmented_control(key="mode").set_value(mode).run()
        assert [e.value for e in at.exception] == []
        if mode == "decode":
            assert [e.value for e in at.error if "generates no tokens" in e.value]
            continue
        assert not at.error
        assert len(at.info) == (page == "experts")
        for chart in charts_of(at):
            check(chart)
    if page == "overview":
        at.segmented_control(key="mode").set_value("prefill").run()
        assert any(c.value.endswith("logits of all positions.") for c in at.caption)


@pytest.mark.parametrize("name", MODELS, ids=lambda name: name.split("/")[-1])
def test_a_component_has_one_colour_on_every_chart(open_page, charts_of, name):
    known = PARTS | KINDS | {"Links": "#0B7780", "Engine": "#6B655C", "Temporary": "#8F897E"}
    found = 0
    for page in ("overview", "speed", "experts"):
        for chart in charts_of(open_page(page, model=name)):
            for channel, definition, _ in chart.encodings():
                if channel == "color" and definition["field"] in ("component", "part"):
                    scale = definition["scale"]
                    pairs = dict(zip(scale["domain"], scale["range"], strict=True))
                    assert pairs == {n: known[n] for n in pairs}
                    found += 1
    assert found >= 2


# All architectures


def test_a_model_of_every_type_is_drawn(open_page):
    at = open_page()
    by_type = {}
    for entry in catalogue.entries():
        by_type.setdefault(entry.config["model_type"], entry.id)
    wrong = []
    for name in by_type.values():
        at.selectbox(key="model").set_value(name).run()
        if at.exception or at.error or name.split("/")[-1] not in at.title[0].value or len(at.metric) != 4:
            wrong.append(name)
    assert len(by_type) >= 45
    assert wrong == []
