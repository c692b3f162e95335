"""How long what strangers send may keep a server busy, as ratios against a reference measured in the same run."""

from __future__ import annotations

import base64
import json
import zlib

import pytest
from models import DEEPSEEK, folder, tensors
from test_patterns import BACKTRACKING
from test_speed import REFERENCE_MS, best, reference

from calculator import compare, load_checkpoint, load_model
from calculator.errors import CalculatorError
from calculator.formats.automaton import Automaton, Pattern
from calculator.limits import SERVER, applied
from calculator.sources.load import from_hub


def milliseconds(function) -> float:
    """The shortest of several timings in milliseconds of a quiet core."""
    return best(function, 3) / best(reference, 15) * REFERENCE_MS


@pytest.mark.parametrize("pattern", BACKTRACKING)
def test_patterns_that_make_others_backtrack(pattern):
    assert milliseconds(lambda: Automaton([(0, Pattern(pattern))]).matches("a" * 335)) < 500


@pytest.mark.parametrize(
    "text", ["A" * 100_000, base64.urlsafe_b64encode(zlib.compress(b" " * 5_000_000, 9)).decode(), "é", "eJw"]
)
def test_a_link_that_is_damaged_or_a_bomb(text):
    from pages.shared.model import unpacked

    def ask():
        with applied(SERVER), pytest.raises(CalculatorError):
            unpacked(text)

    assert milliseconds(ask) < 500


@pytest.mark.parametrize("content", ["[" + "{}," * 1_000_000 + "{}]", "[" * 100_000, '{"a": ' + "9" * 5000 + "}"])
def test_a_pasted_config_of_any_size(content):
    def ask():
        with applied(SERVER), pytest.raises(CalculatorError):
            from_hub('{"model_type": "llama", "x": ' + content)

    assert milliseconds(ask) < 1000


def test_seven_thousand_tensors(tmp_path):
    wide = DEEPSEEK | {"n_routed_experts": 512, "num_hidden_layers": 6}
    path = folder(tmp_path, wide, tensors(wide))

    def ask():
        assert compare(load_model(path), load_checkpoint(path)).equal
        (path / "config.json").write_text(json.dumps(wide))

    assert milliseconds(ask) < 10_000
