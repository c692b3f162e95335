"""The short run of the fuzzers, with a fixed seed; and what longer ones found."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from calculator.config import DATA, kinds_in
from calculator.engines.memory import fit
from calculator.errors import CalculatorError, ConfigError
from calculator.estimation import estimate
from calculator.families import FAMILIES
from calculator.limits import SERVER, applied
from calculator.parallel.layout import Layout
from calculator.sources.load import load_model, model_from_config
from tests.fuzz import configs, kinds, questions, words
from tests.fuzz.judge import judged

ROOT = Path(__file__).parents[2]
COUNTS = {"configs": 300, "safetensors": 200, "gguf": 150, "commands": 300, "links": 150, "pages": 25}
COUNTS |= {"devices": 100, "logs": 200, "adapters": 200}


@pytest.mark.parametrize("kind", COUNTS)
def test_a_result_or_a_sentence(kind: str) -> None:
    make, run = kinds.KINDS[kind]
    verdict = judged(make(COUNTS[kind], 20), run)
    assert verdict.faults == []
    assert verdict.results
    assert verdict.sentences


def test_a_part_of_the_sweep() -> None:
    """Every hundredth of the systematic inputs."""
    inputs = (config for i, config in enumerate(configs.sweep()) if i % 100 == 7)
    assert judged(inputs, configs.run).faults == []


@pytest.mark.parametrize(
    "given",
    [
        ["google/gemma-4-31B-it", "--table=--"],
        ["--checkpoint", "state-spaces/mamba-370m-hf", "--config=--"],
        ["openai-community/gpt2", "--output", "a" * 300],
        ["facebook/opt-66b", "--token=\u00e9\udcff", "--share-experts", "nan"],
    ],
)
def test_command_lines_that_were_found(given: list[str]) -> None:
    with pytest.raises(CalculatorError):
        words.run_command(given)


XMOD = {"model_type": "xmod", "vocab_size": 1009, "hidden_size": 192, "intermediate_size": 352, "num_hidden_layers": 3}
XMOD |= {"num_attention_heads": 6, "languages": ["en_XX", "en_XX"]}


def test_configs_that_were_found() -> None:
    """A language that is listed twice has one adapter, as transformers' ModuleDict has; a word is no list of them."""
    once = model_from_config(XMOD | {"languages": ["en_XX"]})
    assert model_from_config(XMOD).parameters.total == once.parameters.total
    with pytest.raises(ConfigError, match=r"languages in .* must be a list of names"):
        model_from_config(XMOD | {"languages": "en_XX"})


MILLIONS = {"model_type": "granitemoehybrid", "num_local_experts": 10**12, "num_experts_per_tok": 3}


def test_experts_in_one_tensor_are_counted_too() -> None:
    """A tensor of all experts has no copies; who asks how many a pass reads goes through them one by one."""
    with pytest.raises(ConfigError, match="num_local_experts"):
        model_from_config(MILLIONS)
    with applied(SERVER), pytest.raises(ConfigError, match="num_local_experts"):
        model_from_config(MILLIONS | {"num_local_experts": 20_001})


@pytest.mark.parametrize("engine", configs.ENGINES)
@pytest.mark.parametrize("kind", ["bert", "gemma4_assistant"])
def test_what_keeps_no_cache_has_no_pool(kind: str, engine: str) -> None:
    with pytest.raises(CalculatorError, match="keeps no cache from one pass to the next"):
        fit(model_from_config({"model_type": kind}), "h100-sxm-80gb", engine)


def test_a_stage_without_a_cache_is_a_stage() -> None:
    """Nemotron-H has layers that keep nothing, each alone on its device here: the others are the tightest."""
    model = model_from_config({"model_type": "nemotron_h"})
    for engine in configs.ENGINES[:3]:
        found = fit(model, "h100-sxm-80gb", engine, layout=Layout(pp=model.layers), max_model_len=4096)
        assert found.fits
        assert 0 < found.cache_tokens < 2**31


def test_every_type_by_its_defaults_on_devices() -> None:
    """A result or a sentence by every engine's rules, for the types whose defaults build a model."""
    kinds_of = [{"model_type": kind} for kind in sorted(FAMILIES)]
    assert judged(kinds_of[::7], configs.run).faults == []


def test_sizes_of_gguf_tensors_are_those_that_were_built() -> None:
    """What a text_config leaves to its type's defaults counts as if it were stated; MiniCPM3 states no v_head_dim."""
    heads = {"qk_nope_head_dim": 128, "v_head_dim": 128}
    configs_of = ({"model_type": "kimi_k25"}, {"model_type": "kimi_k25", "text_config": heads})
    held = [fit(model_from_config(config), "h100-sxm-80gb", "llama.cpp", dtype="q4_k_m") for config in configs_of]
    assert held[0].weights == held[1].weights
    assert fit(model_from_config({"model_type": "minicpm3"}), "h100-sxm-80gb", "llama.cpp", dtype="q4_k_m").fits


def test_adapters_devices_and_logs_that_were_found() -> None:
    prompts = {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 20}
    adapters = [prompts | {"token_dim": {"a": 1}}, prompts | {"num_layers": float("inf")}, prompts | {"token_dim": "x"}]
    found = judged(adapters, questions.run_adapter)
    assert (found.faults, found.sentences) == ([], 3)
    logs = [f"Model loading took {'9' * 1_000_000}x", f"-tp {'9' * 5000}\nModel loading took 1 GiB"]
    assert judged(logs, questions.run_log).faults == []
    for given in (["--fits", "..GiB"], ["--fits", "1.1.1GB"], ["--provision", "gb300-nvl72", "--ttft", "nan"]):
        with pytest.raises(CalculatorError):
            words.run_command(["Qwen/Qwen2.5-7B", *given])
    for given in (["--requests-per-second", "nan"], ["--requests-per-second", "1e300"]):
        with pytest.raises(CalculatorError, match="requests_per_second of the traffic"):
            words.run_command(["Qwen/Qwen2.5-7B", "--provision", "gb300-nvl72", *given])


def test_searches_over_any_number_of_devices_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in layouts that are asked, not in seconds."""
    from calculator.search import solve

    asked = []
    fit = solve.fit
    monkeypatch.setattr(solve, "fit", lambda *args, **options: asked.append(1) or fit(*args, **options))
    llama = load_model("meta-llama/Llama-3.1-8B")
    with pytest.raises(CalculatorError, match="from 1 to 1,048,576"):
        solve.solve(llama, "max-batch", "h100-sxm-80gb", devices=10**9)
    for goal in ("max-batch", "min-devices"):
        solve.solve(llama, goal, "h100-sxm-80gb", devices=2**20, concurrency=10**9)
    assert len(asked) < 2000
    monkeypatch.setattr(solve, "MOST_ASKED", 10)
    with pytest.raises(CalculatorError, match="more than 10 layouts to try"):
        solve.solve(llama, "cheapest", concurrency=10**9)


HOSTILE = {
    "altup_num_inputs": ({"model_type": "gemma3n_text", "altup_num_inputs": 10**9}, "altup_num_inputs"),
    "cycles": ({"model_type": "hrm_text", "H_cycles": 10**8}, "H_cycles"),
    "nested cycles": ({"model_type": "hrm_text", "H_cycles": 3, "L_cycles": 2, "num_hidden_layers": 3003}, "parts"),
    "layers": ({"model_type": "llama", "num_hidden_layers": 10**9}, "num_hidden_layers"),
    "list for a number": (
        {"model_type": "deepseek_v3", "n_shared_experts": [0] * 1000, "moe_intermediate_size": 10**9},
        "n_shared_experts",
    ),
    "no experts": ({"model_type": "mixtral", "num_local_experts": 0}, "num_local_experts"),
    "no vocabulary": ({"model_type": "llama", "vocab_size": 0}, "vocab_size"),
    "no heads": ({"model_type": "llama", "num_attention_heads": 0}, "num_attention_heads"),
    "heads that do not divide": ({"model_type": "llama", "hidden_size": 4097}, "hidden_size"),
    "negative heads": ({"model_type": "qwen3", "num_attention_heads": -8}, "num_attention_heads"),
    "negative padding": ({"model_type": "roberta", "pad_token_id": -(10**6)}, "pad_token_id"),
    "a fraction of a width": ({"model_type": "llama", "hidden_size": 4096.5}, "hidden_size"),
    "infinite": ({"model_type": "llama", "intermediate_size": float("inf")}, "intermediate_size"),
    "a number of 5000 digits": ({"model_type": "llama", "intermediate_size": 10**5000}, "intermediate_size"),
    "experts without end": ({"model_type": "qwen3_moe", "num_experts": 10**9}, "num_experts"),
    "inside a tower": (
        {"model_type": "llava", "vision_config": {"model_type": "clip_vision_model", "num_attention_heads": 0}},
        "num_attention_heads",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_numbers_without_sense_are_refused_by_the_field(name: str) -> None:
    config, field = HOSTILE[name]
    verdict = judged([config], configs.run)
    assert verdict.faults == []
    with pytest.raises(ConfigError) as caught:
        model_from_config(config)
    assert field in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_many_layers_that_differ_are_refused_and_many_alike_are_not() -> None:
    heads = {"model_type": "deci", "num_hidden_layers": 3000, "num_attention_heads": 6000, "hidden_size": 6000}
    heads |= {"intermediate_size": 64, "vocab_size": 64, "head_dim": 1}
    divisors = [d for d in range(1, 6001) if 6000 % d == 0]
    alike = heads | {"num_key_value_heads_per_layer": [divisors[i % len(divisors)] for i in range(3000)]}
    assert model_from_config(alike).layers == 3000
    with applied(SERVER), pytest.raises(ConfigError, match=r"that differ from one another"):
        model_from_config(all_different(151))
    with pytest.raises(ConfigError, match=r"more than 6,000 operations that differ from one another"):
        model_from_config(all_different(172))
    assert judged([alike, all_different(171)], configs.run).faults == []


def all_different(layers: int) -> dict[str, object]:
    """Layers of 35 operations each, no two alike."""
    return {
        "model_type": "gemma3n_text",
        "num_hidden_layers": layers,
        "num_kv_shared_layers": 0,
        "intermediate_size": [64 * k for k in range(1, layers + 1)],
        "activation_sparsity_pattern": None,
        "layer_types": ["full_attention"] * layers,
    }


THOUSANDS = (
    {"model_type": "umt5", "num_layers": 5005, "num_decoder_layers": 1, "d_model": 10**12, "d_ff": 352, "d_kv": 24},
    {"model_type": "cohere_compass_text", "num_hidden_layers": 6006, "hidden_size": 192, "vocab_size": 1009},
    {"model_type": "llama", "num_hidden_layers": 10_000},
)


def test_a_mixture_has_rules_for_so_many_tensors() -> None:
    """A mixture of llama.cpp has a rule a tensor: 60,000 of them took seconds, again for each precision tried."""
    assert judged(THOUSANDS, configs.run).faults == []
    llama = model_from_config(THOUSANDS[2])
    assert estimate(llama, dtype="int4").memory.weights > 0  # one rule for all matrices tells no layers apart
    assert estimate(llama, dtype="q4_k").memory.weights > 0
    with pytest.raises(ConfigError, match=r"has 90,000 tensors in its layers; .* of 20,000 at most"):
        estimate(llama, dtype="q4_k_m")
    few = model_from_config(THOUSANDS[2] | {"num_hidden_layers": 2000})
    assert estimate(few, dtype="q4_k_m").memory.weights > 0
    gptq = {"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {r"-:.*layers\.7\..*": {}}}
    assert judged([THOUSANDS[2] | {"quantization_config": gptq}], configs.run).faults == []


def test_a_file_s_own_sizes_are_taken_where_a_head_s_size_is_stated() -> None:
    config = {"model_type": "llama", "hidden_size": 4000, "num_attention_heads": 32, "num_key_value_heads": 8}
    assert model_from_config(config | {"head_dim": 128}).text.width == 4000
    assert model_from_config({"model_type": "glm4_moe"}).text.width == 4096  # 96 heads, by its type's own defaults


def test_numbers_of_a_config_become_loops_in_one_way_only() -> None:
    """Every range() and every repeated list in a family has a constant, a length, or `times(...)` for its count."""
    found = []
    for file in sorted((ROOT / "calculator" / "families").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for count in _counts(node):
                if not _bounded(count):
                    found.append(f"{file.name}:{node.lineno}: {ast.unparse(node)}")  # type: ignore[attr-defined]
    assert found == []


def _counts(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        return [node.args[0] if len(node.args) == 1 else node.args[1]] if len(node.args) < 3 else []
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        sides = ((node.left, node.right), (node.right, node.left))
        return [count for repeated, count in sides if isinstance(repeated, ast.List | ast.Tuple)]
    return []


def _bounded(count: ast.expr) -> bool:
    if isinstance(count, ast.BinOp):
        return any(map(_bounded, (count.left, count.right)))
    return isinstance(count, ast.Constant) or (
        isinstance(count, ast.Call) and isinstance(count.func, ast.Name) and count.func.id in ("times", "len", "isqrt")
    )


def test_the_kinds_of_fields_are_those_of_the_defaults() -> None:
    """Where this fails, data/kinds.json is to be written anew from `kinds_in(every_default())`."""
    assert json.loads((DATA / "kinds.json").read_text(encoding="utf-8")) == kinds_in(configs.every_default())
