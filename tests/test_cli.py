"""The command line: exact numbers in every format, errors as one sentence, nothing imported or destroyed needlessly."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from writers import write_gguf, write_safetensors

from calculator import asked, cli, terminal
from calculator.errors import WorkloadError
from calculator.families import FAMILIES
from calculator.sources import catalogue
from calculator.sources.load import load_model

QWEN, LLAMA, DEEPSEEK = "Qwen/Qwen2.5-7B", "meta-llama/Llama-2-7b-hf", "deepseek-ai/DeepSeek-V3.1-Terminus"
MIXTRAL = "mistralai/Mixtral-8x7B-v0.1"
ROOT = Path(__file__).parents[1]
HEAVY = ("streamlit", "pandas", "numpy", "altair", "huggingface_hub")
TOKEN = "hf_abcdefghijklmnopqrstuvwxyz0123456789"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def running(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return running


@pytest.fixture
def outcome(run: Run) -> Callable[..., str]:
    """What a run that must succeed without a word on standard error writes."""

    def succeeding(*arguments: str) -> str:
        code, out, err = run(*arguments)
        assert (code, err) == (0, "")
        return out

    return succeeding


def process(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "calculator", *arguments]
    environment = {**os.environ, **variables}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False)


def tables(text: str) -> dict[str, list[list[str]]]:
    """The aligned tables of a text by title: rows of cells, header first, total last."""
    found = {}
    for block in text.split("\n\n"):
        lines = block.splitlines()
        if len(lines) > 2 and set(lines[2]) == {"-"}:
            body = [line for line in lines[1:] if set(line) != {"-"} and not line.startswith("Activations: ")]
            found[lines[0]] = [re.split(r" {2,}", line) for line in body]
    return found


def sheet(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# Numbers


def test_json_holds_the_exact_numbers(outcome: Callable[..., str]) -> None:
    found = json.loads(outcome(QWEN, "--seq-len", "2048", "--logits", "all", "--format", "json"))
    assert found["parameters"]["total"] == 7_615_616_512
    assert found["parameters"]["active"] == 7_615_616_512
    assert found["flops"]["matmul"] == 30_643_517_915_136
    assert found["memory"]["weights"] == 7_615_616_512 * 2
    assert found["memory"]["kv_cache"] == 2048 * 2 * 4 * 128 * 28 * 2
    assert found["workload"]["sequence_length"] == 2048


def test_kv_cache_of_4096_tokens_is_224_mib(outcome: Callable[..., str]) -> None:
    text = outcome(QWEN, "--mode", "decode", "--seq-len", "4096", "--table", "memory")
    rows = tables(text)["Memory (1 GiB = 2^30 bytes)"]
    assert rows[0] == ["Component", "Weights", "KV cache", "Activations", "Total", "Share"]
    assert rows[-1][:3] == ["Total", "14.19 GiB", "224.00 MiB"]
    assert rows[-1][-2:] == ["14.40 GiB", "100.00 %"]
    found = json.loads(outcome(QWEN, "--mode", "decode", "--seq-len", "4096", "--format", "json"))
    assert found["memory"]["kv_cache"] == 224 * 2**20


def test_decode_step_of_a_batch(outcome: Callable[..., str]) -> None:
    found = json.loads(outcome(QWEN, "--mode", "decode", "--seq-len", "4096", "--batch-size", "4", "--format", "json"))
    matrices = 28 * (2 * 3584 * 3584 + 2 * 3584 * 512 + 3 * 3584 * 18944) + 152064 * 3584
    assert found["flops"]["matmul"] == 4 * (2 * matrices + 28 * 4 * 4097 * 28 * 128)
    assert found["generation"]["tokens"] == 64
    assert found["generation"]["kv_cache"] == 4 * (4096 + 64) * 2 * 4 * 128 * 28 * 2


def test_int8_keeps_embedding_head_and_norms_in_16_bit(outcome: Callable[..., str]) -> None:
    found = json.loads(outcome(LLAMA, "--dtype", "int8", "--format", "json"))
    matrices = 32 * (4 * 4096 * (4096 + 2) + 2 * 11008 * (4096 + 2) + 4096 * (11008 + 2))
    assert found["memory"]["weights"] == matrices + 2 * (2 * 32000 * 4096 + 65 * 4096)


def test_pretraining_columns(outcome: Callable[..., str]) -> None:
    rows = sheet(outcome(QWEN, "--mode", "pretraining", "--table", "memory", "--format", "csv"))
    (row,) = [row for row in rows if row["component"] == "norm"]
    assert (row["weights"], row["kv_cache"]) == (str(57 * 3584 * 2), "0")
    assert (row["gradients"], row["optimizer_states"]) == (str(57 * 3584 * 2), str(57 * 3584 * 12))


def test_deepseek_latent_cache(outcome: Callable[..., str]) -> None:
    found = json.loads(outcome(DEEPSEEK, "--mode", "decode", "--seq-len", "4096", "--format", "json"))
    assert found["parameters"]["total"] == 671_026_404_352
    assert found["memory"]["kv_cache"] == 61 * (512 + 64) * 4096 * 2


def test_options_reach_the_workload(run: Run) -> None:
    options = (
        "--mode decode --seq-len max --batch-size 2 --decode-len 3 --dtype INT4 --kv-dtype float16 --attention eager "
        "--attention-flops causal --logits last --routing uniform --expert-capacity-factor 1.5 --share-experts "
        "--flash-block-size 64 --no-flash-decode --flash-decode-block-size 32 --gradient-dtype fp32 "
        "--encoder-len 77 --kernels plain --format json"
    )
    code, out, err = run(MIXTRAL, *shlex.split(options))
    assert code == 0
    assert err.splitlines() == [
        "warning: --gradient-dtype changes nothing in --mode decode; it is of --mode pretraining.",
        "warning: --kernels changes nothing in --mode decode; it is of --mode pretraining.",
        "warning: --flash-block-size changes nothing in --mode decode; it is of --mode prefill and --mode pretraining.",
    ]
    assert json.loads(out)["workload"] == {
        "mode": "decode",
        "batch_size": 2,
        "sequence_length": 32768,
        "decode_length": 3,
        "dtype": "int4",
        "kv_dtype": "fp16",
        "attention": "eager",
        "attention_flops": "causal",
        "logits": "last",
        "flash_decode": False,
        "flash_block_size": 64,
        "flash_decode_block_size": 32,
        "expert_capacity_factor": 1.5,
        "routing": "uniform",
        "share_experts_across_layers": True,
        "gradient_dtype": "fp32",
        "encoder_length": 77,
        "past_length": 0,
        "kernels": "plain",
    }


@pytest.mark.parametrize(
    "command",
    [
        '--hf-model "Qwen/Qwen2.5-7B" --mode prefill --table all',
        '--hf-model "deepseek-ai/DeepSeek-V3.1-Terminus" --mode decode --table memory',
        '--hf-model "Qwen/Qwen2.5-7B" --seq-len 4096 --mode prefill --table all',
        '--hf-model "deepseek-ai/DeepSeek-V3.1-Terminus" --batch-size 4 --mode decode --table memory',
        '--hf-model "meta-llama/Llama-2-7b-hf" --mode prefill --table all',
        '--hf-model "meta-llama/Llama-2-7b-hf" --dtype int8 --mode prefill --table all',
        '--hf-model "Qwen/Qwen2.5-72B" --batch-size 1 --mode prefill --table memory',
    ],
)
def test_the_earlier_readme_s_commands(command: str, outcome: Callable[..., str]) -> None:
    titles = list(tables(outcome(*shlex.split(command))))
    kinds = ["Memory", "FLOPs", "Arithmetic"] if command.endswith("all") else ["Memory"]
    assert [title.split()[0] for title in titles] == kinds


# Text


def test_text_header_names_the_model_and_the_conventions(outcome: Callable[..., str]) -> None:
    lines = outcome(QWEN).splitlines()
    assert lines[0] == QWEN
    assert lines[2:8] == [
        "  model       qwen2, 28 layers, hidden 3,584, vocabulary 152,064, context 131,072",
        "  parameters  7,615,616,512 (7.62B)",
        "  precision   weights bfloat16; KV cache bf16",
        "  workload    prefill, batch 1, 4,096 tokens a sequence",
        "  counted     a multiply-add is 2 FLOPs; flash attention, counted full (S × S); logits for the last position",
        "  note        No sequence length was given: 4,096 tokens are taken.",
    ]


def test_text_header_of_a_mixture_names_experts_and_active_parameters(outcome: Callable[..., str]) -> None:
    options = "--mode pretraining --seq-len 8 --attention eager --attention-flops causal --routing uniform"
    text = outcome(MIXTRAL, *options.split(), "--expert-capacity-factor", "1.25", "--share-experts")
    assert "8 experts, 2 per token" in text
    assert "parameters  46,702,792,704 (46.70B); active per token 12,879,925,248 (12.88B)" in text
    assert "eager attention, counted causal (S × S / 2); logits for all positions; expert capacity factor 1" in text
    assert "1.25; uniform random routing; what if all layers shared one set of experts" in text
    assert "KV cache" not in text
    assert "Activations: what the forward pass keeps for the backward pass." in text


def test_a_length_beyond_the_context_is_warned_about(run: Run) -> None:
    warned = "200,000 tokens are more than the 131,072 that Qwen/Qwen2.5-7B was configured for"
    code, out, err = run(QWEN, "--seq-len", "200000")
    assert (code, err) == (0, "")
    assert f"  warning     {warned}" in out
    code, out, err = run(QWEN, "--seq-len", "200000", "--format", "csv")
    assert (code, warned in out) == (0, False)
    assert err.startswith(f"warning: {warned}")


@pytest.mark.parametrize("mode", ["prefill", "decode", "pretraining"])
@pytest.mark.parametrize("model", [QWEN, DEEPSEEK, "state-spaces/mamba-370m-hf"])
def test_columns_are_aligned(mode: str, model: str, outcome: Callable[..., str]) -> None:
    blocks = [b.splitlines() for b in outcome(model, "--mode", mode).split("\n\n")[1:]]
    for lines in blocks:
        table = [line for line in lines[1:] if not line.startswith("Activations: ")]
        assert len({len(line) for line in table}) == 1
        assert len({len(re.split(r" {2,}", line)) for line in table if set(line) != {"-"}}) == 1


def test_shares_and_totals(outcome: Callable[..., str]) -> None:
    found = tables(outcome(QWEN))
    assert [row[0] for row in found["FLOPs (a multiply-add is 2)"]] == [
        "Component",
        "Attention",
        "MLP",
        "Norms and residuals",
        "LM head",
        "Total",
    ]
    assert found["FLOPs (a multiply-add is 2)"][-1][1:] == ["60.19 TFLOP", "84.38 GFLOP", "60.28 TFLOP", "100.00 %"]
    assert found[next(t for t in found if t.startswith("Arithmetic"))][-1] == [
        "Total",
        "60.28 TFLOP",
        "56.05 GiB",
        "1,002 FLOP/B",
        "high",
    ]


def test_operations_table(outcome: Callable[..., str]) -> None:
    (rows,) = tables(outcome(QWEN, "--table", "operations")).values()
    assert rows[0][0] == "Operation"
    q_proj = ["self_attn.q_proj", "model.layers.0-27", "matmul", "28", "359,761,920", "686.19 MiB"]
    assert q_proj in [row[:6] for row in rows]
    assert rows[-1][:2] == ["Total", "7,615,616,512"]


# Markdown, CSV, JSON


def test_markdown_has_the_cells_of_the_text(outcome: Callable[..., str]) -> None:
    text = tables(outcome(QWEN))
    lines = outcome(QWEN, "--format", "markdown").splitlines()
    rows = [[c.strip().strip("*") for c in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert [r for r in rows if set(r) - {"---", "---:"}] == [row for table in text.values() for row in table]
    assert "| --- | ---: | ---: | ---: | ---: | ---: |" in lines
    assert "- **parameters**: 7,615,616,512 (7.62B)" in lines


def test_markdown_escapes_a_name_with_a_bar(tmp_path: Path, outcome: Callable[..., str]) -> None:
    path = write_config(tmp_path / "a|b.json", QWEN)
    assert "| a\\|b | 7.62B |" in outcome(QWEN, "--config", str(path), "--format", "markdown")


@pytest.mark.parametrize("table", ["memory", "flops"])
def test_csv_sums_to_the_total(table: str, outcome: Callable[..., str]) -> None:
    rows = sheet(outcome(DEEPSEEK, "--table", table, "--format", "csv", "--mode", "decode"))
    whole = json.loads(outcome(DEEPSEEK, "--format", "json", "--mode", "decode"))
    assert sum(int(row["total"]) for row in rows) == whole[table]["total"]
    assert {(r["model"], r["mode"], r["batch_size"], r["sequence_length"]) for r in rows} == {
        (DEEPSEEK, "decode", "1", "4096")
    }


def test_csv_of_operations_has_every_amount(outcome: Callable[..., str]) -> None:
    rows = sheet(outcome(QWEN, "--table", "operations", "--format", "csv"))
    assert sum(int(row["parameters"]) for row in rows) == 7_615_616_512
    assert sum(int(row["cache_bytes"]) for row in rows) == 224 * 2**20
    (row,) = [row for row in rows if row["operation"] == "mlp.down_proj"]
    assert (row["layers"], row["count"], row["flops"]) == ("model.layers.0-27", "28", str(28 * 2 * 4096 * 3584 * 18944))


def test_csv_of_all_is_one_long_table(outcome: Callable[..., str]) -> None:
    rows = sheet(outcome(QWEN, LLAMA, "--format", "csv"))
    assert list(rows[0]) == ["model", "mode", "batch_size", "sequence_length", "table", "component", "field", "value"]
    assert {row["table"] for row in rows} == {"summary", "memory", "flops", "reuse"}
    values = {(r["model"], r["table"], r["component"], r["field"]): float(r["value"]) for r in rows}
    assert len(values) == len(rows)
    assert values[QWEN, "summary", "", "parameters"] == 7_615_616_512
    assert values[LLAMA, "summary", "", "parameters"] == 6_738_415_616
    assert values[QWEN, "memory", "attention", "kv_cache"] == values[QWEN, "summary", "", "kv_cache"] == 224 * 2**20


def test_csv_long_table_has_the_totals_of_a_generation(outcome: Callable[..., str]) -> None:
    rows = sheet(outcome(QWEN, "--mode", "decode", "--decode-len", "10", "--format", "csv"))
    summary = {row["field"]: row["value"] for row in rows if row["table"] == "summary"}
    assert summary["generated_tokens"] == "10"
    assert summary["generation_kv_cache"] == str((4096 + 10) * 57344)


def test_json_is_an_object_or_a_list(outcome: Callable[..., str]) -> None:
    one, two = (json.loads(outcome(*models, "--format", "json")) for models in ([QWEN], [QWEN, LLAMA]))
    assert one == two[0]
    assert [found["model"]["name"] for found in two] == [QWEN, LLAMA]


# Several models


def test_models_are_compared_in_the_order_named(outcome: Callable[..., str]) -> None:
    text = outcome("--hf-model", LLAMA, QWEN, "--hf-model", "gpt2", "--mode", "decode", DEEPSEEK)
    found = tables(text)
    assert [row[0] for row in found["Comparison"]] == [
        "Model",
        "Qwen2.5-7B",
        "DeepSeek-V3.1-Terminus",
        "Llama-2-7b-hf",
        "gpt2",
    ]
    assert found["Comparison"][1][1:4] == ["7.62B", "7.62B", "4,096"]
    assert found["Comparison"][4][3] == "1,024"
    assert found["Memory (1 GiB = 2^30 bytes)"][0][1:] == [row[0] for row in found["Comparison"][1:]]
    assert "workload  decode, batch 1\n" in text


def test_side_by_side_cells_are_those_of_each_model_alone(outcome: Callable[..., str]) -> None:
    both = tables(outcome(QWEN, MIXTRAL))["FLOPs (a multiply-add is 2)"]
    alone = [tables(outcome(m))["FLOPs (a multiply-add is 2)"] for m in (QWEN, MIXTRAL)]
    for place, table in enumerate(alone, 1):
        cells = {row[0]: row[place] for row in both[1:] if row[place] != "-"}
        assert cells == {row[0]: row[3] for row in table[1:]}


def test_equal_last_names_are_kept_apart(tmp_path: Path, outcome: Callable[..., str]) -> None:
    path = write_config(tmp_path / "Qwen2.5-7B.json", LLAMA)
    rows = tables(outcome(QWEN, "--config", str(path)))["Comparison"]
    assert [row[0] for row in rows[1:]] == ["Qwen/Qwen2.5-7B", "Qwen2.5-7B"]


def test_operations_of_several_models_follow_each_other(outcome: Callable[..., str]) -> None:
    text = outcome(QWEN, LLAMA, "--table", "operations")
    titles = [title for title in tables(text) if title.startswith("Operations")]
    assert titles == [f"Operations of {QWEN}", f"Operations of {LLAMA}"]


def test_of_several_models_the_failing_one_is_named(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text('{"model_type": "teapot"}')
    code, out, err = run(QWEN, "--config", str(path))
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {path}: Model type 'teapot' is not known here;")


# Sources


def write_config(path: Path, model: str, **changes: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**catalogue.find(model).config, **changes}))
    return path


def test_a_config_file_or_its_folder(tmp_path: Path, outcome: Callable[..., str]) -> None:
    path = write_config(tmp_path / "mine" / "config.json", QWEN, num_hidden_layers=1)
    for arguments in (["--config", str(path)], ["--config", str(path.parent)], [str(path.parent)]):
        found = json.loads(outcome(*arguments, "--format", "json"))
        assert found["model"]["name"] == "mine"
        assert found["parameters"]["total"] == 7_615_616_512 - 27 * 233_057_792


ENCODERS = {
    "classifier": {"model_type": "bert", "architectures": ["BertForSequenceClassification"]},
    "masked": {"model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"]},
    "shared layers": {"model_type": "albert", "architectures": ["AlbertModel"]},
    "distances": {"model_type": "deberta-v2", "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_encoder_reads_and_does_not_generate(
    kind: str, tmp_path: Path, run: Run, outcome: Callable[..., str]
) -> None:
    path = str(tmp_path / "config.json")
    Path(path).write_text(json.dumps(ENCODERS[kind] | {"torch_dtype": "float32"}), encoding="utf-8")
    text = outcome("--config", path, "--seq-len", "96")
    assert "logits for all positions" in text
    assert "KV cache" not in text
    assert json.loads(outcome("--config", path, "--format", "json"))["memory"]["kv_cache"] == 0
    for options in (("--mode", "pretraining"), ("--explain",), ("--format", "csv"), ("--format", "markdown")):
        assert outcome("--config", path, *options)
    code, out, said = run("--config", path, "--mode", "decode")
    assert (code, out) == (2, "")
    assert said.endswith(
        "is an encoder and generates no tokens, so it has no decode mode; choose prefill or pretraining.\n"
    )


def test_config_is_a_path_even_where_a_bundled_model_has_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Callable[..., str]
) -> None:
    write_config(tmp_path / "gpt2" / "config.json", QWEN)
    monkeypatch.chdir(tmp_path)
    assert json.loads(outcome("--config", "gpt2", "--format", "json"))["parameters"]["total"] == 7_615_616_512


# Formulas


def test_explain_fills_in_the_numbers(outcome: Callable[..., str]) -> None:
    lines = outcome(QWEN, "--explain", "mlp.gate_proj").splitlines()
    assert "mlp.gate_proj: matmul, model.layers.0-27, 28 layers" in lines
    assert "  flops         2·B·S·d·d_ff = 2·1·4096·3584·18944 = 556,198,264,832" in lines
    assert lines[-1].endswith(
        "d = 3,584 (hidden size), d_ff = 18,944 (MLP width), B = 1 (batch size), S = 4,096 (sequence length)"
    )


def test_explain_all_in_csv_and_json(outcome: Callable[..., str]) -> None:
    rows = sheet(outcome(QWEN, "--explain", "--format", "csv"))
    parameters = [r for r in rows if r["quantity"] == "parameters"]
    assert sum(int(r["value"]) * int(r["count"]) for r in parameters) == 7_615_616_512
    found = json.loads(outcome(QWEN, "--explain", "--format", "json"))
    assert [str(f["value"]) for f in found["formulas"]] == [r["value"] for r in rows]
    assert found["parameters"]["total"] == 7_615_616_512


def test_explain_of_several_models_in_markdown(outcome: Callable[..., str]) -> None:
    lines = outcome(QWEN, LLAMA, "--explain=lm_head", "--format", "markdown").splitlines()
    assert [line for line in lines if line.startswith("## ")] == [
        f"## {QWEN}",
        "## lm_head: matmul, once",
        f"## {LLAMA}",
        "## lm_head: matmul, once",
    ]
    assert "- **parameters**: V·d = 32000·4096 = 131,072,000" in lines


# Lists, help, version


def test_list_models(outcome: Callable[..., str]) -> None:
    listed = json.loads(outcome("--list-models", "--format", "json"))["models"]
    assert [row["id"] for row in listed] == [entry.id for entry in catalogue.entries()]
    (row,) = [row for row in listed if row["id"] == QWEN]
    assert (list(row), row["name"], row["type"]) == (["id", "name", "type", "date"], "Qwen2.5 7B", "qwen2")
    assert f"{QWEN} " in outcome("--list-models")
    assert sheet(outcome("--list-models", "--format", "csv")) == listed


def test_list_types(outcome: Callable[..., str]) -> None:
    rows = sheet(outcome("--list-types", "--format", "csv"))
    assert [row["type"] for row in rows] == sorted(FAMILIES)
    assert outcome("--list-types").startswith(f"Model types: {len(FAMILIES)}\nType ")
    assert "| gpt2 | openai-community/gpt2 |" in outcome("--list-types", "--format", "markdown")


def test_help_documents_every_option(outcome: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = outcome("--help", "all")
    for option in ("MODEL", "--hf-model", "--config", "--seq-len", "--kv-dtype", "--attention-flops", "--output"):
        assert option in text
    assert "1 GiB = 2^30 bytes" in text
    assert max(map(len, text.splitlines())) <= 120


def test_every_example_of_the_help_runs(
    outcome: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = re.findall(r"^  transformer-calculator (.+)$", outcome("--help", "all"), re.M)
    write_config(tmp_path / "my-model" / "config.json", QWEN)
    stored = {name: ("BF16", shape) for name, shape in load_model(QWEN).tensors()}
    write_safetensors(tmp_path / "my-model" / "model.safetensors", stored)
    layers = {f"blk.0.attn_{name}.weight": ("Q4_K", (256, 256)) for name in ("q", "k", "v", "output")}
    write_gguf(tmp_path / "my-model-Q4_K_M.gguf", layers, {"general.architecture": "llama"})
    adapter = {"peft_type": "LORA", "r": 8, "target_modules": ["q_proj"], "base_model_name_or_path": "gone/away"}
    (tmp_path / "my-lora").mkdir()
    (tmp_path / "my-lora" / "adapter_config.json").write_text(json.dumps(adapter))
    write_config(tmp_path / "my-draft" / "config.json", QWEN, architectures=["Qwen2ForCausalLMEagle3"])
    monkeypatch.chdir(tmp_path)
    assert len(examples) == 13
    for example in examples:
        assert bool(outcome(*shlex.split(example))) is ("--output" not in example)
    assert (tmp_path / "operations.csv").read_text().startswith("model,mode,")


def test_version(outcome: Callable[..., str]) -> None:
    assert re.fullmatch(r"transformer-calculator \d+\.\d+\.\d+\n", outcome("--version"))


# Errors


ERRORS = {
    "": "No model was named; give one, for instance Qwen/Qwen2.5-7B, or see --list-models.",
    "--explain gpt2": "No model was named ('gpt2' was taken for an operation to explain); give one, for instance "
    "Qwen/Qwen2.5-7B, or see --list-models.",
    "gpt2 --frob": "Unrecognized arguments: --frob; see transformer-calculator --help.",
    "gpt2 --seq-len long": "Argument --seq-len: 'long' is no whole number such as 4096, 32k or 1e6, nor max; see "
    "transformer-calculator --help.",
    "gpt2 --batch-size many": "Argument --batch-size: 'many' is no whole number such as 4096, 32k or 1e6; see "
    "transformer-calculator --help.",
    "gpt2 --batch-size 0": "batch_size must be a whole number from 1 to 1,000,000,000,000, not 0.",
    "gpt2 --seq-len -5": "sequence_length must be a whole number from 1 to 1,000,000,000,000, not -5.",
    "gpt2 --dtype int3": "Precision 'int3' is not known; choose one of auto, fp32, fp16, bf16, fp8, int8, int4, "
    "mxfp4, nvfp4, nf4, or a mixture of llama.cpp such as q4_k_m.",
    "gpt2 --kv-dtype nf4": "The KV cache cannot be kept in 'nf4'; choose one of auto, fp32, fp16, bf16, fp8, int8, "
    "fp8_ds_mla, fp8_per_token_head, int8_per_token_head, nvfp4, fp4_e2m1, mxfp4, int4, q8_0, q5_1, q5_0, q4_1, q4_0, "
    "iq4_nl, f16, fp8_e4m3, fp8_e5m2, or two of them for keys and values, as q8_0/q4_0. Did you mean nvfp4?",
    "gpt2 --expert-capacity-factor nan": "expert_capacity_factor must be a positive number or None, not nan.",
    "gpt2 --explain frob": "openai-community/gpt2 has no operation 'frob'; choose one of transformer.wte, "
    "transformer.wpe, ln_1, attn.c_attn, attn.attention, attn.attention.softmax, attn.c_proj, mixer_residual, ln_2, "
    "mlp.c_fc, mlp.activation, mlp.c_proj, channel_residual, transformer.ln_f, lm_head.",
    "state-spaces/mamba-370m-hf --seq-len max": "state-spaces/mamba-370m-hf states no longest context, so --seq-len "
    "max has no meaning; give a number.",
    "--config /nowhere/config.json": "There is no file '/nowhere/config.json'; give the path of a config.json or of "
    "the folder that holds one.",
    "gpt2 --output /nowhere/out.txt": "--output '/nowhere/out.txt' lies in no existing folder; make '/nowhere' first.",
    "gpt2 --output /": "--output '/' does not name a file; give the name of one.",
    "gpt2 --output ''": "--output '' does not name a file; give the name of one.",
}


@pytest.mark.parametrize("arguments", ERRORS)
def test_an_error_is_one_sentence(arguments: str, run: Run) -> None:
    assert run(*shlex.split(arguments)) == (2, "", f"error: {ERRORS[arguments]}\n")


@pytest.mark.parametrize(
    ("content", "start"),
    [
        ("{", "is not valid JSON (Expecting property name"),
        ("[1]", "holds a JSON list, not an object; a model's config.json is needed."),
        ('{"model_type": "teapot\\n\\u001b[31m"}', ""),
        ('{"hidden_size": 4}', ""),
        ('{"model_type": "llama", "hidden_size": "wide"}', ""),
    ],
)
def test_a_bad_config_is_one_line(content: str, start: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    code, out, err = run("--config", str(path))
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {path} {start}" if start else "error: ")
    assert err.count("\n") == 1
    assert err[:-1].isprintable()


def test_errors_in_a_process_of_its_own() -> None:
    ended = process("gpt2", "--mode", "sideways")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: Argument --mode: invalid choice: 'sideways'")
    assert ended.stderr.endswith("; see python -m calculator --help.\n")


def test_a_model_out_of_reach_is_a_sentence(tmp_path: Path) -> None:
    ended = process("no-such-org/no-such-model", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: no-such-org/no-such-model was not read from the Hugging Face Hub")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--token", TOKEN, "--frob", TOKEN],
        ["--token", "secret-token", "--config", "/nowhere/secret-token.json"],
        ["--token=secret-token", "--config", "/nowhere/secret-token.json"],
        ["--config", f"/nowhere/{TOKEN}"],
        [TOKEN],
        ["--token", TOKEN, QWEN, "--format", "json"],
        ["--token", TOKEN, QWEN],
    ],
)
def test_a_token_is_never_shown(arguments: list[str], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    code, out, err = run(*arguments)
    assert code in (0, 2)
    assert TOKEN not in out + err
    assert "secret-token" not in out + err


# Interruptions and files


def test_interrupting_ends_quietly_and_leaves_the_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    kept = tmp_path / "out.txt"
    kept.write_text("kept")
    monkeypatch.setattr(asked, "load_model", interrupt)
    assert run("gpt2", "--output", str(kept)) == (130, "", "")
    assert kept.read_text() == "kept"


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices of Unix")
def test_a_closed_pipe_ends_quietly() -> None:
    for arguments in (["--list-models"], ["--help"], [QWEN]):
        command = [sys.executable, "-m", "calculator", *arguments]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as ended:
            ended.stdout.close()
            assert ended.stderr.read() == b""
            assert ended.wait() == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_sentence(run: Run) -> None:
    command = [sys.executable, "-m", "calculator", "gpt2"]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "error: Standard output could not be written: No space left on device.\n"
    code, _, err = run("gpt2", "--output", "/dev/full")
    assert (code, err) == (2, "error: --output '/dev/full' could not be written: No space left on device.\n")


def test_output_is_what_would_have_been_printed(outcome: Callable[..., str], tmp_path: Path) -> None:
    for form in ("text", "json", "csv", "markdown"):
        path = tmp_path / form
        assert outcome(QWEN, "--format", form, "--output", str(path)) == ""
        assert path.read_bytes().decode() == outcome(QWEN, "--format", form)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["csv", "json", "markdown", "text"]


def test_a_failed_run_leaves_the_file_as_it_was(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("kept")
    for arguments in (["gpt2", "--dtype", "int3"], ["--config", "/nowhere"], ["gpt2", "--explain", "frob"]):
        assert run(*arguments, "--output", str(path))[0] == 2
    assert path.read_text() == "kept"
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]


def test_a_write_that_fails_leaves_the_file_as_it_was(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path, target: Path) -> None:
        raise OSError(5, "Input/output error")

    path = tmp_path / "out.json"
    path.write_text("kept")
    monkeypatch.setattr(Path, "replace", fail)
    said = f"error: --output {str(path)!r} could not be written: Input/output error.\n"
    assert run("gpt2", "--output", str(path)) == (2, "", said)
    assert path.read_text() == "kept"
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of Unix")
def test_links_and_permissions_survive(outcome: Callable[..., str], tmp_path: Path) -> None:
    path, link = tmp_path / "real.txt", tmp_path / "link.txt"
    path.write_text("old")
    path.chmod(0o600)
    link.symlink_to(path)
    outcome("gpt2", "--output", str(link))
    assert link.is_symlink()
    assert path.read_text().startswith("openai-community/gpt2\n")
    assert path.stat().st_mode & 0o777 == 0o600


def test_progress_is_for_a_person_watching(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(QWEN, LLAMA)[2] == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    code, out, err = run(QWEN, LLAMA)
    assert code == 0
    assert "Reading" not in out
    assert err == ""  # in less than a second nobody needs to be told anything
    monkeypatch.setattr(terminal, "PATIENCE", 0.001)
    monkeypatch.setattr(asked, "load_model", lambda *a, **k: time.sleep(0.05) or load_model(*a, **k))
    code, _, err = run(QWEN, LLAMA)
    assert code == 0
    assert err.startswith(f"\r\x1b[KReading {QWEN} (1 of 2) (0 s)")
    assert f"\r\x1b[K\r\x1b[KReading {LLAMA} (2 of 2) (0 s)" in err
    assert err.endswith("\r\x1b[K")


def test_a_terminal_without_greek_still_gets_the_numbers() -> None:
    ended = process(QWEN, "--explain", "mlp", PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "2*1*4096*3584*18944 = 556,198,264,832" in ended.stdout


# Start-up


@pytest.mark.parametrize("arguments", [[QWEN], ["--list-models"], [QWEN, "--format", "csv"], [QWEN, "--explain"]])
def test_a_bundled_model_needs_no_heavy_import(arguments: list[str]) -> None:
    script = (
        "import sys; from calculator.cli import main; code = main(sys.argv[1:]); "
        f"print(code, [m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert ended.stderr == "0 []\n"


def test_settings_of_engines_and_llama_cpp_s_cache_flags(run: Run) -> None:
    said = "openai/gpt-oss-20b --mode decode --seq-len 32768 --table engines --format csv --max-num-batched-tokens 2048"
    code, out, _ = run(*shlex.split(said))
    rows = {row["engine"]: row for row in csv.DictReader(io.StringIO(out))}
    assert code == 0
    assert int(rows["vllm"]["bytes"]) == (2048 + -(-(127 + 2048) // 16) + 1) * 12 * 16 * 2048
    base = "meta-llama/Llama-3.1-8B --mode decode --seq-len 8192 --format json"
    for flags, size in {"-ctk q8_0 -ctv q4_0": 436_207_616, "--cache-type-k q8_0": 822_083_584}.items():
        assert json.loads(run(*shlex.split(f"{base} {flags}"))[1])["memory"]["kv_cache"] == size
    assert "say the same" in run(*shlex.split(f"{base} -ctk q8_0 --kv-dtype fp8"))[2]


class Terminal(io.StringIO):
    """Standard error that a person watches."""

    def isatty(self) -> bool:
        return True


def test_what_takes_longer_than_a_second_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Terminal()
    monkeypatch.setattr(sys, "stderr", watched)
    monkeypatch.setattr(terminal, "PATIENCE", 0.01)
    with terminal.working("Trying layouts"):
        while "Trying layouts (0 s)" not in watched.getvalue():
            time.sleep(0.01)
    assert watched.getvalue().endswith("\r\x1b[K")
    monkeypatch.setattr(terminal, "PATIENCE", 60.0)
    watched.truncate(watched.seek(0))
    with pytest.raises(WorkloadError), terminal.working("Trying layouts"):
        raise WorkloadError("It cannot be.")
    assert watched.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(terminal, "PATIENCE", 0.001)
    with terminal.working("Trying layouts"):
        time.sleep(0.02)
    assert sys.stderr.getvalue() == ""
