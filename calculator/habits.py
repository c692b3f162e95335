"""What people type out of habit: words for options, other tools' names of them, and a help that fits a screen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from calculator.errors import SourceError, nearest

MODES = {
    "train": "pretraining",
    "training": "pretraining",
    "pretrain": "pretraining",
    "pre-training": "pretraining",
    "finetune": "pretraining",
    "fine-tune": "pretraining",
    "finetuning": "pretraining",
    "fine-tuning": "pretraining",
    "sft": "pretraining",
    "generate": "decode",
    "decoding": "decode",
    "generation": "decode",
    "prompt": "prefill",
}
"""Other names of the modes. A full fine-tuning step does what a pretraining step does."""

OTHERWISE = dict.fromkeys(
    ("inference", "infer", "serve", "serving"), "Reading the prompt is prefill, generating is decode."
) | {method: f"Did you mean --mode train --method {method}?" for method in ("full", "lora", "qlora")}
"""What people call a mode that is two here, or an option of one."""

METHODS = {
    "awq": "int4",
    "gptq": "int4",
    "w4a16": "int4",
    "w8a8": "int8",
    "float8": "fp8",
    "f16": "fp16",
    "f32": "fp32",
}
"""Names of ways to quantize, as --dtype: the format that they store weights in."""

ELSEWHERE = {
    "--batch": "--batch-size",
    "--bs": "--batch-size",
    "-b": "--batch-size",
    "--num-prompts": "--batch-size",
    "--context": "--seq-len",
    "--ctx-size": "--seq-len",
    "--ctx": "--seq-len",
    "-c": "--seq-len",
    "--input-len": "--seq-len",
    "--length": "--seq-len",
    "--prompt-len": "--seq-len",
    "--output-len": "--decode-len",
    "--max-tokens": "--decode-len",
    "--max-new-tokens": "--decode-len",
    "--kv-cache-dtype": "--kv-dtype",
    "--quantization": "--dtype",
    "--model": "--hf-model",
    "-m": "--hf-model",
    "-o": "--output",
    "-v": "--version",
    "--tensor-parallel-size": "--tp",
    "--tp-size": "--tp",
    "-tp": "--tp",
    "--pipeline-parallel-size": "--pp",
    "--pp-size": "--pp",
    "-pp": "--pp",
    "--data-parallel-size": "--dp",
    "--dp-size": "--dp",
    "-dp": "--dp",
    "--expert-parallel-size": "--ep",
    "--enable-expert-parallel": "--ep",
    "--ep-size": "--ep",
    "--context-length": "--max-model-len",
    "--gpu": "--device",
    "--hardware": "--device",
    "--flavor": "--device",
    "--quant": "--dtype",
    "--list": "--list-models",
    "--qps": "--requests-per-second",
    "--rate": "--requests-per-second",
    "--request-rate": "--requests-per-second",
    "--concurrency": "--users",
    "--max-concurrency": "--users",
    "--num-users": "--users",
    "--gpus": "--tp, or --devices with --solve and --serve",
    "--num-gpus": "--tp, or --devices with --solve and --serve",
    "--n-gpus": "--tp, or --devices with --solve and --serve",
    "--gpu-count": "--tp, or --devices with --solve and --serve",
    "--load-in-4bit": "--dtype nf4, or --mode train --method qlora",
    "--load-in-8bit": "--dtype int8",
    "--fp8": "--dtype fp8",
    "--bf16": "--dtype bf16",
    "--fp16": "--dtype fp16",
    "--finetune": "--mode train",
    "--fine-tune": "--mode train",
    "--train": "--mode train",
    "--training": "--mode train",
    "--decode": "--mode decode",
    "--prefill": "--mode prefill",
    "--lora": "--mode train --method lora",
    "--qlora": "--mode train --method qlora",
    "--fsdp": "--zero 3",
    "--deepspeed": "--zero",
    "--zero-stage": "--zero",
    "--gradient-checkpointing": "--recompute full",
    "--activation-checkpointing": "--recompute full",
    "--recompute-activations": "--recompute selective",
    "--gradient-accumulation-steps": "--micro-batches",
    "--grad-accum": "--micro-batches",
    "--micro-batch-size": "--batch-size",
    "--per-device-train-batch-size": "--batch-size",
    "--global-batch-size": "--batch-size with --micro-batches and --dp",
    "--max-seq-len": "--seq-len",
    "--max-seq-length": "--seq-len",
    "--max-length": "--seq-len",
    "--seq-length": "--seq-len",
    "--n-ctx": "--seq-len",
    "--optim": "--optimizer",
    "--lora-r": "--rank",
    "-ngl": "--n-gpu-layers",
    "--framework": "--engine",
    "--backend": "--engine",
    "--csv": "--format csv",
    "--markdown": "--format markdown",
    "--md": "--format markdown",
}
"""What vLLM, SGLang, llama.cpp and hf call our options."""

GOALS = {
    "min-gpus": "min-devices",
    "fewest": "min-devices",
    "max-users": "max-concurrency",
    "max-batch-size": "max-batch",
    "max-seq-len": "max-context",
    "max-model-len": "max-context",
    "max-context-length": "max-context",
    "cost": "cheapest",
    "speed": "fastest",
}
"""Other names of --solve's goals."""

COMMANDS = frozenset(("serve", "run", "pull", "estimate", "predict", "bench", "chat", "download"))
"""First words of other tools' commands; here a command is the name of a model."""
TOOLS = frozenset(("vllm", "sglang", "ollama", "llama-server", "llama-cli", "hf", "huggingface-cli", "trtllm-serve"))
"""Other tools, whose whole line is given here."""

WORDS = {
    "help": "--help",
    "version": "--version",
    "models": "--list-models",
    "list": "--list-models",
    "types": "--list-types",
    "devices": "--list-devices",
    "local": "--local",
}


def translated(given: Sequence[str]) -> list[str]:
    """The arguments, with a first word such as `help` as the option that it means, unless a file has its name.

    Raises:
        SourceError: the first word is another tool's command, with a model behind it.
    """
    first, *rest = given or [""]
    if first not in COMMANDS | TOOLS | WORDS.keys() or Path(first).exists():
        return list(given)
    words = [first, *rest]
    while words and words[0] in COMMANDS | TOOLS:
        words.pop(0)
    if first not in WORDS and words and not words[0].startswith("-"):
        said = " ".join([first, *rest][: len(rest) + 1 - len(words)])
        raise SourceError(f"{said} is no command here; leave it out: the first word is the model, {words[0][:80]}.")
    return [WORDS[first], *rest] if first in WORDS else list(given)


def guessed(complaint: str, known: Iterable[str]) -> str:
    """For argparse's complaint about an unknown option, or about a value that is none of a few, what was meant as a
    question; "" without one."""
    refused = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", complaint)
    if refused is not None and "prefill" in refused[2] and refused[1].lower() in OTHERWISE:
        return f" {OTHERWISE[refused[1].lower()]}"
    if refused is not None:
        meant = nearest(refused[1], re.findall(r"[\w.-]+", refused[2]))
        if not meant and "prefill" in refused[2]:
            meant = MODES.get(nearest(refused[1], MODES), "")
        return f" Did you mean {meant}?" if meant else ""
    found = re.match(r"(?:unrecognized arguments|ambiguous option): (-[^\s=]*)", complaint)
    if found is None:
        return ""
    said = found[1].lower().replace("_", "-") if found[1].startswith("--") else found[1]
    import difflib

    flags = sorted(known)
    near = difflib.get_close_matches(said, flags, 1, 0.7)
    longer = [flag for flag in flags if flag.startswith(said) and len(said) > 4]
    flag = ELSEWHERE.get(said) or next(iter((*near, *longer)), "")
    return f" Did you mean {flag}?" if flag else ""


SHORT = """\
usage: {program} MODEL [MODEL ...] [options]

Exact parameters, memory, FLOPs and bytes of transformer models.

  MODEL              bundled name, Hugging Face id or URL, config.json, GGUF file; - is a pipe
  --mode MODE        prefill (default), decode, pretraining
  --batch-size N     sequences that run together; a list such as 1,2,4 gives rows
  --seq-len N|max    tokens of a sequence, such as 4096 or 32k; a list gives rows
  --dtype FORMAT     weights: auto (default), bf16, fp8, int4, awq, gptq, q4_k_m, ...
  --kv-dtype FORMAT  KV cache: auto (default), fp8, q8_0, ...
  --table TABLE      memory, flops, reuse, operations, cache, engines, formats, device
  --device NAME      adds what a device holds and how long it takes; --tp N divides
  --fits DEVICE      whether it fits, by an engine's rules, and what to change
  --explain [NAME]   the formula behind every number, filled in
  --checkpoint       the formula against the headers of the checkpoint's files
  --json             raw numbers; also --format csv or markdown, --output FILE
  --list-models      the bundled models; --local: those on this machine
  --help all         every option, formats, exit status, examples
  app                start the app in a browser

  {program} Qwen/Qwen3-8B --mode decode --batch-size 1,8,64 --seq-len 32k
  {program} Qwen/Qwen3-8B meta-llama/Llama-3.1-8B --mode decode --json
"""


def in_short_help(complaint: str) -> bool:
    """Whether the short help has the option that argparse complains about; so it is of complaints about none."""
    found = re.match(r"argument (?:-\w+/)?(--[\w-]+)", complaint)
    return found is None or found[1] in SHORT
