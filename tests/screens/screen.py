"""What the tests of pages share: models of every kind, and readers of tables, files and charts."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest

PAGES = ("overview", "scaling", "compare", "experts", "methods")
ASKED = ("model", "mode", "batch", "length", "weights_as", "precision")
CHARTS = {"overview": 4, "scaling": 5, "compare": 1, "experts": 3, "methods": 0}
FOLDS = ("breakdown", "engines", "formulas")
OPENED = {"overview": dict.fromkeys(FOLDS, "true"), "scaling": {"sweep": "true"}, "methods": {"section": "model"}}
QWEN, MIXTURE = "Qwen/Qwen2.5-7B", "Qwen/Qwen3-30B-A3B"
GPT2, MAMBA = "openai-community/gpt2", "state-spaces/mamba-370m-hf"
LATENT, HYBRID, VISION = "deepseek-ai/DeepSeek-V3.1", "Qwen/Qwen3-Next-80B-A3B-Instruct", "Qwen/Qwen3-VL-8B-Instruct"
MODELS = (QWEN, MIXTURE, LATENT, HYBRID, MAMBA, GPT2, VISION)
ROOT = Path(__file__).parents[2]
GIB = 2**30
UNITS_OF_MEMORY = {"GiB": 2**30, "MiB": 2**20}


def values(rows, *names):
    return [tuple(row[name] for name in names) for row in rows]


def shown(at, place=0):
    """The rows of a table."""
    return at.dataframe[place].value.to_dict("records")


def parsed(text):
    """A CSV file with its numbers as numbers."""

    def number(cell):
        for kind in (int, float):
            try:
                return kind(cell)
            except ValueError:
                continue
        return cell

    return [{name: number(cell) for name, cell in row.items()} for row in csv.DictReader(io.StringIO(text))]


def bare(rows):
    """Rows of a file without what was asked, which every row repeats."""
    assert all(name in row for row in rows for name in ASKED)
    return [{k: v for k, v in row.items() if k not in ASKED} for row in rows]


def approximately(expected):
    return pytest.approx(expected, rel=1e-12, abs=1e-12)


ENCODERS = {
    "bert": {"model_type": "bert", "architectures": ["BertForSequenceClassification"]},
    "modernbert": {"model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"]},
    "albert": {"model_type": "albert", "architectures": ["AlbertModel"]},
}


def check(chart):
    """It says in words what it finds; every mark has a place: fields exist, numbers are finite, logarithms defined."""
    assert chart.alt.endswith(".")
    assert "nan" not in chart.alt.lower()
    assert chart.alt.split()[0] not in ("Chart", "Bars", "Lines")
    encodings = list(chart.encodings())
    assert {"x", "y"} <= {channel for channel, *_ in encodings}
    for channel, definition, cells in encodings:
        assert cells
        if definition.get("type") == "quantitative":
            assert all(math.isfinite(cell) and cell >= 0 for cell in cells), (chart.alt, channel)
            scale = definition.get("scale", {})
            if scale.get("type") == "log":
                assert min(cells) > 0, (chart.alt, channel)
            if channel in ("x", "y") and "domain" in scale:
                low, high = scale["domain"]
                assert low < high
                assert low <= min(cells) <= max(cells) <= high * 1.0001, (chart.alt, channel)
        elif channel == "color" and definition.get("scale"):
            assert set(cells) <= set(definition["scale"]["domain"]), (chart.alt, channel)


UNITS = {
    "B": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
    "FLOP/B": 1,
    "FLOP": 1,
    "MFLOP": 1e6,
    "GFLOP": 1e9,
    "TFLOP": 1e12,
    "PFLOP": 1e15,
    "EFLOP": 1e18,
}


def line(chart, series, unit):
    """The values of a line, from left to right."""
    return [row[unit] for row in chart.rows if row["series"] == series]
