"""docs/METHODS.md says what the code does: its worked numbers, formulas, symbols and tables are recomputed here."""

from __future__ import annotations

import re
from functools import cache, reduce
from pathlib import Path
from typing import Any

import pytest

import calculator
from calculator import parts
from calculator.families import FAMILIES
from calculator.formats.cache import CACHE_TYPES
from calculator.formats.named import FORMATS, GGML_FORMATS
from calculator.formats.quantization import READERS
from calculator.model import Model
from calculator.numbers.symbols import MEANINGS, Symbol
from calculator.parts import base, recurrent
from calculator.passes.training import ADAMW_FLOPS
from calculator.record.workload import Workload
from calculator.report.why import Explained, explain
from calculator.sources import catalogue
from docs import make_methods

PAGE = (Path(__file__).parents[1] / "docs" / "METHODS.md").read_text(encoding="utf-8")
BUNDLED = [e.id for e in catalogue.entries() if e.config.get("model_type") in FAMILIES]


def table(header: str) -> list[list[str]]:
    """The cells of all tables whose header line starts so."""
    found = []
    for block in re.findall(rf"^{re.escape(header)}.*\n\|[-:| ]+\n((?:\|.*\n)+)", PAGE, flags=re.MULTILINE):
        found += [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in block.splitlines()]
    assert found, f"METHODS.md has no table with the header {header}"
    return found


@cache
def model(name: str) -> Model:
    return calculator.load_model(name)


def workload(words: str) -> Workload:
    """ "decode, sequence_length=4096, batch_size=8" as a Workload."""
    mode, *options = words.split(", ")
    return Workload(mode=mode, **{name: option(value) for name, value in (o.split("=") for o in options)})


def option(value: str) -> Any:
    if value.isdigit():
        return int(value)
    if value in ("True", "False"):
        return value == "True"
    return float(value) if re.fullmatch(r"\d+\.\d+", value) else value


@cache
def explained(name: str, words: str) -> list[Explained]:
    return explain(model(name), workload(words))


@pytest.mark.parametrize(
    ("name", "words", "operation", "amount", "formula", "value"), table("| model | workload | operation |")
)
def test_operation(name: str, words: str, operation: str, amount: str, formula: str, value: str) -> None:
    found = next(x for x in explained(name, words) if x.operation.name == operation)
    number = getattr(found.operation, amount)
    assert found.formulas[amount].symbols == formula
    assert found.formulas[amount].value == number
    assert (f"{number:,}" if isinstance(number, int) else f"{number:,.3f}") == value


@pytest.mark.parametrize(("name", "words", "quantity", "value"), table("| model | workload | quantity |"))
def test_estimate(name: str, words: str, quantity: str, value: str) -> None:
    e = calculator.estimate(model(name), workload(words))
    found = kept_by_layers(e) if quantity == "layers.saved" else reduce(getattr, quantity.split("."), e)
    assert found == int(value.replace(",", ""))


@pytest.mark.parametrize(("name", "words", "engine", "size"), table("| model | workload | engine |"))
def test_engine(name: str, words: str, engine: str, size: str) -> None:
    found = {r.engine: r.bytes for r in calculator.estimate(model(name), workload(words)).reserved}
    assert found[engine] == int(size.replace(",", ""))


def kept_by_layers(e: calculator.Estimate) -> int:
    return sum(op.saved * op.count for op in e.operations if op.layers)


def test_korthikanti_formula_is_the_sum_of_the_list() -> None:
    gpt2, s, b = model("openai-community/gpt2-xl"), 640, 3
    h, a = gpt2.config["n_embd"], gpt2.config["n_head"]
    e = calculator.estimate(gpt2, mode="pretraining", batch_size=b, sequence_length=s, attention="eager")
    assert kept_by_layers(e) == gpt2.layers * (34 * s * b * h + 5 * a * s * s * b)
    assert e.memory.activations - kept_by_layers(e) == 4 * s * b * (h + gpt2.vocabulary_size)


@pytest.mark.parametrize(
    "name", ["meta-llama/Llama-3.1-8B", "meta-llama/Meta-Llama-3.1-70B", "mistralai/Mistral-Nemo-Instruct-2407"]
)
def test_gated_decoder_formula(name: str) -> None:
    c, tokens = model(name).config, 512
    heads, kv_heads = c["num_attention_heads"], c["num_key_value_heads"]
    head_dim = c.get("head_dim") or c["hidden_size"] // heads
    per_token = 8 * c["hidden_size"] + 4 * (heads + kv_heads) * head_dim + 4 * heads + 6 * c["intermediate_size"]
    e = calculator.estimate(model(name), mode="pretraining", batch_size=2, sequence_length=tokens // 2)
    assert kept_by_layers(e) == model(name).layers * tokens * per_token


@pytest.mark.parametrize("name", BUNDLED)
def test_every_symbol_is_in_the_table_and_has_a_meaning(name: str) -> None:
    listed = {cells[0].strip("`") for cells in table("| symbol | meaning |")}
    workloads = (
        Workload(mode="decode", routing="uniform"),
        Workload(mode="pretraining", attention="eager", sequence_length=64),
    )
    printed = {
        symbol
        for w in workloads
        for found in explain(model(name), w)
        for formula in found.formulas.values()
        for atom in formula.legend
        for symbol in re.findall(r"[^\W\d_]\w*", atom)
    } - {"min", "max"}
    assert printed - listed == set()
    assert printed - set(MEANINGS) == set()


def test_every_meaning_is_in_the_table() -> None:
    assert set(MEANINGS) <= {cells[0].strip("`") for cells in table("| symbol | meaning |")}


def test_bits_per_weight() -> None:
    stated = {cells[0].strip("`"): cells[1] for cells in table("| format | bits per weight |")}
    assert stated == {name: f"{form.bits_per_weight():.5f}" for name, form in FORMATS.items()}


def test_bits_of_gguf_types() -> None:
    stated = {cells[0].strip("`"): tuple(cells[1:]) for cells in table("| GGUF type | bits per weight |")}
    forms = GGML_FORMATS.items()
    assert stated == {name: (f"{form.bits_per_weight():.5f}", str(form.tile_columns)) for name, form in forms}


def test_quantities_of_a_model_from_headers() -> None:
    stated = [cells[0] for cells in table("| quantity | what it is |")]
    assert stated == ["parameters", "weight bytes", "FLOPs of the linear layers", "FLOPs of attention, KV cache"]


def test_cache_bits() -> None:
    """Of a head of 128 elements."""
    stated = {cells[0].strip("`"): tuple(cells[1:]) for cells in table("| cache format | bits per element |")}
    types = {name: t for name, t in CACHE_TYPES.items() if not t.latent}
    assert stated == {name: (f"{t.row(1, 128) * 8 / 128:.4f}", t.title) for name, t in types.items()}


def test_elementwise_prices() -> None:
    stated = {cells[0]: int(cells[1]) for cells in table("| elementwise step | FLOPs |")}
    assert stated == {
        "RMSNorm": base.RMS_NORM_FLOPS,
        "LayerNorm": base.LAYER_NORM_FLOPS,
        "activation": base.ACTIVATION_FLOPS,
        "softmax": base.SOFTMAX_FLOPS,
        "rotary embedding": base.ROTARY_FLOPS,
        "selective scan": recurrent.SELECTIVE_SCAN_FLOPS,
        "state-space dual scan": recurrent.SSD_FLOPS,
        "gated delta rule": recurrent.DELTA_FLOPS,
        "AdamW": ADAMW_FLOPS,
    }


def test_quantization_methods() -> None:
    stated = {method for cells in table("| `quant_method` | stored |") for method in re.findall(r"`([^`]+)`", cells[0])}
    assert stated == set(READERS)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (2, 2, 12)),
        ({"gradient_dtype": "fp32"}, (2, 4, 12)),
        ({"dtype": "fp32"}, (4, 4, 8)),
    ],
)
def test_bytes_per_parameter(options: dict[str, Any], expected: tuple[int, int, int]) -> None:
    memory = calculator.estimate(model("openai-community/gpt2"), mode="pretraining", **options).memory
    total = model("openai-community/gpt2").parameters.total
    assert (memory.weights, memory.gradients, memory.optimizer_states) == tuple(n * total for n in expected)
    rows = [tuple(int(n) for n in cells[1:]) for cells in table("| bytes a parameter |")]
    assert (expected[0], expected[1], 8, expected[2] - 8, sum(expected)) in rows


def test_generation_is_the_sum_of_its_steps() -> None:
    for name in ("openai/gpt-oss-20b", "deepseek-ai/DeepSeek-V2-Lite-Chat", "Qwen/Qwen3-Next-80B-A3B-Instruct"):
        w = Workload(mode="decode", batch_size=3, sequence_length=100, decode_length=300)
        whole = calculator.estimate(model(name), w).generation
        steps = [calculator.estimate(model(name), w, sequence_length=100 + i) for i in range(300)]
        assert whole is not None
        assert whole.flops.total == sum(e.flops.total for e in steps)
        assert whole.traffic.total == sum(e.traffic.total for e in steps)


def test_the_page_renders_as_markdown_alone() -> None:
    assert not re.search(r"</?[a-zA-Z!]", PAGE)
    assert PAGE.count("$") % 2 == 0
    assert {c for c in PAGE if not c.isprintable()} == {"\n"}


def test_the_tables_that_the_code_declares_are_fresh() -> None:
    page = make_methods.PAGE.read_text(encoding="utf-8")
    assert make_methods.written(page) == page


def test_a_symbol_has_one_meaning_and_every_part_says_its_own() -> None:
    with pytest.raises(RuntimeError, match="d means both 'hidden size' and 'depth'"):
        Symbol("d", "depth")
    described = [getattr(parts, name) for name in parts.__all__]
    assert all(hasattr(part, "SYMBOLS") for part in described if issubclass(part, parts.Part))
    for part in described:  # records inside a part may have sizes of their own
        assert all(isinstance(symbol, Symbol) for symbol in getattr(part, "SYMBOLS", {}).values()), part
