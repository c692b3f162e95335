"""Command lines and links: options with values of every kind, in any order, and the links that a visitor opens."""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from calculator.arguments import parser
from calculator.cli import main
from calculator.errors import CalculatorError
from calculator.sources.catalogue import entries

from . import configs

WORDS = (
    *("", "0", "-1", "1", "7", "4096", "max", "inf", "nan", "1e9", "10**9", "9" * 5000, str(10**12), str(10**13)),
    *("0.5", "--", "-", "--config=--", "x", "a" * 300, "a" * 5000, "\x1b[31m", "=1+1", "\0", "/", "/dev/null"),
    *("/nonexistent/x", "Qwen/Qwen2.5-7B", "gpt2", "org/name", "org/name@", "org/name:Q4_K_M", "http://[", "{}"),
    *("file:///etc/passwd", "é\udcff", "memory", "all", "json", "csv", "text", "markdown", "decode", "prefill"),
    *("pretraining", "int4", "q4_k", "fp8", "auto"),
    *("h100-sxm-80gb", "mi300x", "80GiB", "..GB", "1e400GiB", "999999999999999GiB", "local", "gb300-nvl72", "dgx-h100"),
    *("vllm", "llama.cpp", "sglang", "lora", "qlora", "adamw", "bf16", "fused", "chunked:0", "chunked:16", "selective"),
    *(
        "torchtitan",
        "deepspeed",
        "megatron",
        "axolotl",
        "trl",
        "max-batch",
        "min-devices",
        "cheapest",
        "mtp",
        "8",
        "64",
    ),
    *(
        "q_proj,v_proj",
        "((.+))+Z",
        "optimizer,parameters",
        "nf4",
        "1000000",
        "1e308",
        "-inf",
        "0x10",
        "1,2,4",
        "8k:32k",
    ),
)
PLACES = ("device.json", "own.json", "vllm.log", "adapter", "config.json", "broken.json", "empty")
"""Files of `workplace`, which options may name too."""


@cache
def workplace() -> Path:
    """A folder with small files of every kind that an option reads."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    own = {"name": "=1+1", "memory_gib": 24, "bandwidth_gb_s": 1000, "peak_tflops": {"bf16": 165}, "link_gb_s": 64}
    lora = {"peft_type": "LORA", "r": 8, "target_modules": ["q_proj"], "base_model_name_or_path": "Qwen/Qwen2.5-7B"}
    (folder / "own.json").write_text(json.dumps(own))
    (folder / "device.json").write_text(json.dumps(own | {"peak_tflops": {"bf16": -1}}))
    (folder / "vllm.log").write_text("Model loading took 14.25 GiB\nGPU KV cache size: 1,000 tokens\n-tp 2\n")
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(lora))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "num_hidden_layers": 2}))
    (folder / "broken.json").write_bytes(b"\xff\xfe{")
    (folder / "empty").write_text("")
    return folder


@cache
def flags() -> list[str]:
    known = [flag for action in parser("x")._actions for flag in action.option_strings]
    return [flag for flag in known if flag not in ("-h", "--help")] + ["--help", "-h", "--unknown"]


def command_lines(count: int, seed: int) -> Iterator[list[str]]:
    """Arguments; nothing is asked of the Hub, which is switched off."""
    rng = random.Random(seed)
    for _ in range(count):
        given = [] if rng.random() < 0.2 else [rng.choice(entries()).id]
        for _ in range(rng.randint(0, 5)):
            flag = rng.choice(flags())
            if flag == "--output":
                given += [flag, rng.choice(("/dev/null", "", "/", "/nonexistent/x", "a" * 5000, "\0"))]
            elif rng.random() < 0.25:
                given.append(f"{flag}={rng.choice(WORDS)}")
            else:
                given.append(flag)
                if rng.random() < 0.2:
                    given.append(str(workplace() / rng.choice(PLACES)))
                elif rng.random() < 0.75:
                    given.append(rng.choice(WORDS))
        if rng.random() < 0.2:
            rng.shuffle(given)
        yield given


def run_command(given: list[str]) -> None:
    """The command line ends with a known status, and says why in one line if it is not zero."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    os.environ["HF_HUB_OFFLINE"] = "1"
    stdin, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(b"{}"), "utf-8")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(given)
    finally:
        sys.stdin = stdin
    said = err.getvalue()
    assert status in (0, 1, 2), status  # 1: --fits answers that it does not
    assert "Traceback" not in said, said
    assert "fault of its own" not in said, said
    if status == 2:
        lines = [line for line in said.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, said
        raise CalculatorError(lines[0])
    written = out.buffer.getvalue()
    assert b"\x1b" not in written


def links(count: int, seed: int) -> Iterator[str]:
    """What stands after `config=`: packed configs, whole, damaged, and bombs."""
    from pages.shared.model import packed

    rng = random.Random(seed)
    for config in configs.mutations(count, seed):
        try:
            text = packed(config)
        except (ValueError, RecursionError):
            continue
        choice = rng.random()
        if choice < 0.2:
            place = rng.randrange(len(text))
            text = text[:place] + rng.choice(("", "A", "é", "%", "=", "\0")) + text[place + rng.randint(0, 3) :]
        elif choice < 0.23:
            text = urlsafe_b64encode(zlib.compress(rng.choice((b" ", b"[", b"{},")) * 10**7, 9)).decode()
        elif choice < 0.25:
            text = rng.choice(("", "A" * 100_000, "eJw", "😀"))
        yield text


def run_link(text: str) -> None:
    from calculator.limits import SERVER, applied
    from pages.shared.model import unpacked

    with applied(SERVER):
        configs.run(unpacked(text))
