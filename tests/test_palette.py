"""The colours: the theme's are the vocabulary's, they read on both pages and stay apart in every kind of vision."""

from __future__ import annotations

import itertools
import math
import tomllib
from pathlib import Path

import pytest

from calculator.record.vocabulary import COMPONENT_LIST, MEMORY_LIST
from calculator.report.charts import KINDS, PARTS
from calculator.report.charts.base import DARK, LIGHT, ink_on, luminance

CONFIG = tomllib.loads((Path(__file__).parents[1] / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
PAGES = [LIGHT.page, DARK.page]
# Machado, Oliveira and Fernandes 2009, severity 1: on linear RGB.
VISIONS = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def lab(color, vision):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    r, g, b = (min(max(sum(m * c for m, c in zip(row, linear, strict=True)), 0), 1) for row in VISIONS[vision])
    x, y, z = (
        (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047,
        0.2126 * r + 0.7152 * g + 0.0722 * b,
        (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883,
    )
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_has_the_vocabulary_s_colours(theme):
    assert CONFIG["theme"][theme]["chartCategoricalColors"] == [c.color for c in COMPONENT_LIST]
    assert CONFIG["theme"][theme]["backgroundColor"] == {"light": LIGHT, "dark": DARK}[theme].page
    assert CONFIG["theme"][theme]["textColor"] == {"light": LIGHT, "dark": DARK}[theme].text


@pytest.mark.parametrize("color", sorted({*PARTS.values(), *KINDS.values()}))
def test_a_colour_reads_on_both_pages_and_a_word_on_it(color):
    assert min(contrast(color, page) for page in PAGES) >= 3
    assert contrast(color, ink_on(color)) >= 4.5


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("group", [PARTS, {k.title: k.color for k in MEMORY_LIST}], ids=["components", "memory"])
def test_colours_of_one_chart_stay_apart(group, vision):
    for one, other in itertools.combinations(group, 2):
        assert math.dist(lab(group[one], vision), lab(group[other], vision)) >= 13, (one, other)
