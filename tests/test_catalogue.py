"""The bundled models: each with its exact count, its source and date, and nothing parsed that is not asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calculator import estimate, load_model
from calculator.sources import catalogue

COUNTS = json.loads((Path(__file__).parent / "data" / "catalogue.json").read_text(encoding="utf-8"))
PARAMETERS = {model: count for group, found in COUNTS.items() if group != "about" for model, count in found.items()}


def test_every_bundled_model_has_a_recorded_count():
    assert set(PARAMETERS) == {entry.id for entry in catalogue.entries()}
    assert len(PARAMETERS) >= 250
    assert len(COUNTS["transformers"]) >= 260


@pytest.mark.parametrize("model", PARAMETERS)
def test_parameters(model: str):
    loaded = load_model(model)
    assert loaded.parameters.total == PARAMETERS[model]
    assert estimate(loaded, sequence_length=128).memory.total > 0


def test_every_entry_says_where_it_came_from():
    for entry in catalogue.entries():
        assert entry.source.startswith(("https://", "arXiv:", "reconstructed")), entry.id
        assert entry.date[:3] == "202"
        assert "/" in entry.id
        assert entry.config["model_type"]


def test_names_are_of_one_model_each():
    ids = [entry.id.lower() for entry in catalogue.entries()]
    names = [entry.name.lower() for entry in catalogue.entries()]
    assert len(set(ids)) == len(ids)
    assert len(set(names)) == len(names)
    for entry in catalogue.entries():
        assert catalogue.find(entry.id) is entry


def test_a_config_is_parsed_when_it_is_asked_for():
    catalogue.entries.cache_clear()
    catalogue._by_name.cache_clear()
    found = catalogue.find("Qwen/Qwen3-8B")
    assert found is not None
    assert found.config["model_type"] == "qwen3"
    assert [e.id for e in catalogue.entries() if "config" in vars(e)] == ["Qwen/Qwen3-8B"]
