"""What people type out of habit: lists, other tools' names, words for options, the models on their machine."""

from __future__ import annotations

import csv
import io
import json
import re
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from calculator import arguments, cli, habits, load_model
from calculator.lists import Listed, listed
from calculator.sources import ollama
from calculator.sources.hub import ids

QWEN = "Qwen/Qwen3-8B"


@pytest.fixture
def outcome(capsys):
    def running(*arguments: str, code: int = 0) -> str:
        assert cli.main(list(arguments)) == code
        said = capsys.readouterr()
        return said.err if code else said.out

    return running


# Lists


def test_lists_are_rows(outcome):
    text = outcome(QWEN, "--mode", "decode", "--batch-size", "1,2,4,8", "--seq-len", "1k,8k,32k")
    rows = text[text.index("-" * 20) :].splitlines()[1:]
    assert len(rows) == 12
    assert rows[0].split()[:2] == ["1", "1,024"]
    # 36 layers × 2 × 8 heads × 128 × 2 bytes = 144 KiB a token
    assert rows[11].split()[:6] == ["8", "32,768", "15.26", "GiB", "36.00", "GiB"]


def test_lists_of_formats_and_models(outcome):
    found = csv.DictReader(
        io.StringIO(
            outcome(QWEN, "gpt2", "--seq-len", "64", "--dtype", "bf16,awq", "--table", "memory", "--format", "csv")
        )
    )
    rows = list(found)
    assert {(r["model"], r["dtype"]) for r in rows} == {
        (m, d) for m in (QWEN, "openai-community/gpt2") for d in ("bf16", "int4")
    }
    assert sum(int(r["weights"]) for r in rows if r["model"] == QWEN and r["dtype"] == "bf16") == 8_190_735_360 * 2
    assert "| Model | Batch | Tokens | dtype |" in outcome(QWEN, "gpt2", "--dtype", "bf16,int4", "--format", "markdown")


@pytest.mark.parametrize(
    "asked",
    [
        ("--fits", "h100"),
        ("--solve", "max-context", "--device", "h100"),
        ("--provision", "dgx-h100"),
        ("--mode", "decode", "--device", "h100"),
        ("--explain", "q_proj"),
        ("--mode", "train", "--device", "h100"),
    ],
)
def test_every_answer_in_json_says_which_schema_it_has(asked, outcome):
    found = json.loads(outcome("Qwen/Qwen3-8B", *asked, "--json"))
    assert list(found)[:2] == ["schema", "tool"]
    assert found["schema"] == 1
    assert found["tool"]["name"] == "transformer-calculator"


LOCAL = "model place path on_disk parameters weights kv_cache memory error"


@pytest.mark.parametrize(
    ("option", "key", "columns"),
    [
        ("--list-models", "models", "id name type date"),
        ("--list-types", "types", "type example"),
        ("--list-devices", "devices", "id name year GiB GB/s 16-bit_TFLOP/s"),
        ("--local", "models", LOCAL),
    ],
)
def test_lists_in_json_say_which_schema_they_have(option, key, columns, outcome, machine):
    found = json.loads(outcome(option, "--json"))
    assert list(found) == ["schema", "tool", key]
    assert (found["schema"], found["tool"]["name"]) == (1, "transformer-calculator")
    assert [name.replace(" ", "_") for name in found[key][0]] == columns.split()


def test_json_of_lists_is_a_list(outcome):
    found = json.loads(outcome(QWEN, "--batch-size", "1,2", "--seq-len", "128", "--json"))
    assert [e["workload"]["batch_size"] for e in found] == [1, 2]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("32,768", 32768),
        ("131,072", 131_072),
        ("1,048,576", 1_048_576),
        ("1,2,4", Listed((1, 2, 4))),
        ("128,256,512", Listed((128, 256, 512))),
        ("4096,8192", Listed((4096, 8192))),
        ("1k, 8k", Listed((1024, 8192))),
        ("4,194,304,", Listed((4, 194, 304))),
        ("1,1,2", Listed((1, 2))),
    ],
)
def test_a_list_of_lengths_is_told_from_a_number(text, value):
    assert listed(arguments._length, lengths=True)(text) == value


def test_a_batch_with_commas_is_a_list():
    assert listed(arguments._count)("128,256") == Listed((128, 256))
    assert listed(arguments._count)("1,024") == 1024
    with pytest.raises(ArgumentTypeError, match="may be one number or a list; write 10485760, or 10,485,760, for"):
        listed(arguments._length, lengths=True)("10,485,760")


def test_options_that_show_one_workload_refuse_lists(outcome):
    for option in (["--explain"], ["--table", "cache"], ["--draft", "mtp"], ["--local"]):
        said = outcome(QWEN, "--batch-size", "1,2", *option, code=2)
        assert "shows one workload; give single values rather than lists with it." in said
    long = ",".join(map(str, range(1, 60)))
    assert "make 3,481 rows, and at most 2,000" in outcome(QWEN, "--batch-size", long, "--decode-len", long, code=2)


def test_a_wrong_value_in_a_list_is_refused_as_alone(outcome):
    alone = outcome(QWEN, "--batch-size", "0", code=2)
    assert outcome(QWEN, "--batch-size", "1,0", code=2) == alone
    assert "'x' is no whole number" in outcome(QWEN, "--batch-size", "1,x", code=2)


# Words and names


def test_the_short_help_fits_a_screen_and_names_real_options(outcome):
    text = outcome("--help")
    assert text == outcome("help") == outcome("-h")
    assert len(text.splitlines()) <= 24
    assert max(map(len, text.splitlines())) <= 100
    known = arguments.parser("p")._option_string_actions
    assert set(re.findall(r"--[a-z-]+", text)) <= set(known)
    full = outcome("help", "all")
    assert "--expert-capacity-factor" in full


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ((QWEN, "--tensor-parallel-size", "2"), "Did you mean --tp?"),
        ((QWEN, "--pipeline-parallel-size=2"), "Did you mean --pp?"),
        ((QWEN, "--enable-expert-parallel"), "Did you mean --ep?"),
        ((QWEN, "--gpu", "h100"), "Did you mean --device?"),
        ((QWEN, "--mode", "trian"), "Did you mean pretraining?"),
        ((QWEN, "--mode", "decod"), "Did you mean decode?"),
        ((QWEN, "--mode", "inference"), "Reading the prompt is prefill, generating is decode."),
        ((QWEN, "--mode", "qlora"), "Did you mean --mode train --method qlora?"),
        ((QWEN, "--solve"), "; see transformer-calculator --help all."),
        ((QWEN, "--fits"), "; see transformer-calculator --help."),
        (("--list",), "Did you mean --list-models?"),
        ((QWEN, "--csv"), "Did you mean --format csv?"),
        ((QWEN, "--dtype", "fpp8"), "Did you mean fp8?"),
        ((QWEN, "--dtype", "q4km"), "Did you mean q4_k_m?"),
        ((QWEN, "--fits", "80G"), "is written 80GiB (2^30 bytes) or 80GB (10^9)."),
        ((QWEN, "--fits", "80"), "is written 80GiB (2^30 bytes) or 80GB (10^9)."),
        ((QWEN, "--fits", "h10"), "the nearest are h100-"),
        ((QWEN, "--table", "memroy"), "Did you mean memory?"),
        ((QWEN, "--engine", "trtllm"), "Did you mean tensorrt-llm?"),
        (("serve", QWEN), f"serve is no command here; leave it out: the first word is the model, {QWEN}."),
    ],
)
def test_words_of_other_tools_and_slips(typed, said, outcome):
    assert said in outcome(*typed, code=2)


def test_what_is_like_nothing_gets_no_guess(outcome):
    assert "Did you mean" not in outcome(QWEN, "--mode", "xyzzy", code=2)
    assert outcome(QWEN, "--engine", "vlm", code=2).rstrip().endswith("Did you mean vllm?")


def test_words(outcome):
    assert outcome("version") == outcome("-V") == outcome("--version")
    assert outcome("models") == outcome("list") == outcome("--list-models")
    assert outcome("devices", "--json") == outcome("--list-devices", "--json")
    assert outcome("types") == outcome("--list-types")


def test_a_file_called_help_is_a_model(outcome, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "help").mkdir()
    assert habits.translated(["help"]) == ["help"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("--batchsize", "--batch-size"),
        ("--batch", "--batch-size"),
        ("--seqlen", "--seq-len"),
        ("--ctx-size", "--seq-len"),
        ("--kv_dtype", "--kv-dtype"),
        ("--kv-cache-dtype", "--kv-dtype"),
        ("--outptu", "--output"),
        ("-m", "--hf-model"),
    ],
)
def test_did_you_mean(outcome, given, meant):
    assert outcome(QWEN, given, "8", code=2).endswith(f" Did you mean {meant}?\n")


def test_an_empty_pipe_says_so(outcome, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b" \n")))
    assert outcome("-", code=2).startswith("error: Nothing came on standard input;")


def test_a_wrong_model_is_met_with_the_nearest(outcome, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "Did you mean Qwen/Qwen3-32B or" in outcome("Qwen/Qwen3-32", code=2)


@pytest.mark.parametrize(
    ("mode", "meant"),
    [
        *((mode, "pretraining") for mode in ("train", "training", "finetune", "fine-tuning", "SFT")),
        ("generate", "decode"),
        ("prompt", "prefill"),
    ],
)
def test_modes_by_other_names(outcome, mode, meant):
    assert json.loads(outcome("gpt2", "--mode", mode, "--seq-len", "64", "--json"))["workload"]["mode"] == meant


def test_methods_of_quantization_as_dtype(outcome):
    def weights(dtype: str) -> int:
        return json.loads(outcome(QWEN, "--dtype", dtype, "--json"))["memory"]["weights"]

    assert weights("awq") == weights("gptq") == weights("AWQ") == weights("int4")


# Neighbours


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("qwen3:8b", QWEN),
        ("llama3.1:8b", "meta-llama/Llama-3.1-8B"),
        ("gpt-oss:20b", "openai/gpt-oss-20b"),
        ("gemma3:27b", "google/gemma-3-27b-it"),
    ],
)
def test_names_of_ollama(name, model):
    found = load_model(name)
    assert found.name == model
    assert f"{name} is taken for {model} as its makers publish it" in found.notes[-1]


@pytest.mark.parametrize("name", ["deepseek-r1:70b", "qwen3", "qwen3:latest", "someone/qwen3:8b", "qwen3:8b/../x"])
def test_what_ollama_means_otherwise_is_not_guessed(name):
    assert ollama.bundled(name) is None


@pytest.mark.parametrize(
    ("address", "model"),
    [
        ("https://modelscope.cn/models/Qwen/Qwen3-8B", QWEN),
        ("https://www.modelscope.cn/models/Qwen/Qwen3-8B/summary?a=b", QWEN),
        ("modelscope.cn/models/ZhipuAI/GLM-4.5/files", "zai-org/GLM-4.5"),
        ("https://modelscope.cn/models/LLM-Research/Meta-Llama-3.1-8B", "meta-llama/Meta-Llama-3.1-8B"),
    ],
)
def test_addresses_of_modelscope(address, model):
    assert ids.parse_repo(address) == (model, None)
    assert ids.parse_file(address) == (model, None, None)


def pulled(store: Path, name: str, body: bytes) -> None:
    """A model as Ollama stores it."""
    digest = "sha256:" + "ab" * 32
    (store / "blobs").mkdir(parents=True)
    (store / "blobs" / digest.replace(":", "-")).write_bytes(body)
    manifest = store / "manifests" / "registry.ollama.ai" / "library" / name.replace(":", "/")
    manifest.parent.mkdir(parents=True)
    layers = [{"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": len(body)}]
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with a model in each store, one of them broken."""
    from huggingface_hub import constants
    from writers import write_gguf

    from calculator.sources import catalogue

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    monkeypatch.setenv("LLAMA_CACHE", str(tmp_path / "llama.cpp"))
    for name in ("org--one", "org--broken"):
        snapshot = tmp_path / "hub" / f"models--{name}" / "snapshots" / ("a" * 40)
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text(catalogue.find("gpt2").text)
    (snapshot / "config.json").write_text("{")
    write_gguf(tmp_path / "x.gguf", {"blk.0.attn_q.weight": ("Q4_K", (256, 256))}, {"general.architecture": "llama"})
    pulled(tmp_path / "ollama", "mine:8b", (tmp_path / "x.gguf").read_bytes())
    (tmp_path / "llama.cpp").mkdir()
    (tmp_path / "x.gguf").rename(tmp_path / "llama.cpp" / "x.gguf")
    return tmp_path


def test_the_models_of_this_machine(outcome, machine):
    rows = {(r["place"], r["model"]): r for r in json.loads(outcome("--local", "--seq-len", "64", "--json"))["models"]}
    assert set(rows) == {
        ("Hugging Face", "org/one"),
        ("Hugging Face", "org/broken"),
        ("Ollama", "mine:8b"),
        ("llama.cpp", "x"),
    }
    assert rows["Hugging Face", "org/one"]["parameters"] == 124_439_808
    assert "is not valid JSON" in rows["Hugging Face", "org/broken"]["error"]
    assert rows["Ollama", "mine:8b"]["weights"] == rows["llama.cpp", "x"]["weights"] == 256 * 256 // 256 * 144
    text = outcome("local")
    assert "org/broken: " in text
    assert "not read" in text
    assert load_model("mine:8b").name == "mine:8b"


def test_a_machine_without_models(outcome, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    monkeypatch.setenv("LLAMA_CACHE", str(tmp_path / "llama.cpp"))
    assert outcome("--local").startswith("No models lie in")


# Completion


def test_completion_knows_models_and_formats(monkeypatch):
    import sys
    from types import SimpleNamespace

    from calculator import completion

    asked = []
    fake = SimpleNamespace(
        ChoicesCompleter=lambda choices: tuple(choices), autocomplete=lambda parser, **_: asked.append(parser)
    )
    monkeypatch.setitem(sys.modules, "argcomplete", fake)
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    assert cli.main(["--version"]) == 0
    actions = {action.dest: action for action in asked[0]._actions}
    assert QWEN in actions["models"].completer("Qwen/Qwen3-8")
    assert completion.names("qwen3-8b")[0] == "Qwen3-8B"
    assert {"auto", "fp8", "int4"} <= set(actions["dtype"].completer)
    assert {"local", "h100-sxm-80gb"} <= set(actions["device"].completer) & set(actions["fits"].completer)
    assert "gb300-nvl72" in actions["provision"].completer
    assert {"max-context", "fastest"} <= set(actions["solve"].completer)
    assert actions["method"].completer == ("full", "lora", "qlora")
    assert {"adamw", "paged-adamw-8bit"} <= set(actions["optimizer"].completer)
    assert {"torchtitan", "trl"} <= set(actions["export"].completer)
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    assert cli.main(["--version"]) == 0
