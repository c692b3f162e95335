"""The names of tensors in GGUF files against gguf-py's own map."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

gguf = pytest.importorskip("gguf")
sys.path.insert(0, str(Path(__file__).parents[1] / "checkpoint"))

from test_gguf_families import CASES  # noqa: E402

from calculator.formats.gguf_names import stored_as  # noqa: E402
from calculator.sources.load import model_from_config  # noqa: E402

BY_NAME = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}
BY_CONVERTER = (  # named by modify_tensors of the converters, not by the map
    *("kv_b_proj", "in_proj_qkvz", "experts", "input_linear", "altup_", "output_linear", "wqkv"),
    *("correction_bias", "expert_bias", "dt_bias", "sinks", "scalar", "pre_ff_layernorm", "correct_output_scale"),
    *("mtp.", "embedding_norm", "gate_up_proj"),
)


@pytest.mark.parametrize(("architecture", "kind", "config", "_more"), CASES.values(), ids=CASES)
def test_names_are_those_of_gguf_py(architecture: str, kind: str, config: dict[str, Any], _more: Any) -> None:
    model = model_from_config(config | {"model_type": kind})
    known = gguf.get_tensor_name_map(BY_NAME[architecture], model.layers + 1)
    compared = 0
    for name, _ in model.tensors():
        if any(part in name for part in BY_CONVERTER):
            continue
        theirs = known.get_name(name, try_suffixes=(".weight", ".bias"))
        if architecture == "rwkv6" and theirs and not theirs.endswith((".weight", ".bias")):
            theirs += ".weight"  # its converter's modify_tensors ends every name so
        assert theirs in {way[0] for way in stored_as(name, architecture, model.layers)}, name
        compared += 1
    assert compared > model.layers
