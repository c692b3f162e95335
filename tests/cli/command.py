"""The command line as the tests run it, and its output taken apart."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from calculator.sources import catalogue

QWEN, LLAMA, DEEPSEEK = "Qwen/Qwen2.5-7B", "meta-llama/Llama-2-7b-hf", "deepseek-ai/DeepSeek-V3.1-Terminus"
MIXTRAL = "mistralai/Mixtral-8x7B-v0.1"
ROOT = Path(__file__).parents[2]
HEAVY = ("streamlit", "pandas", "numpy", "altair", "huggingface_hub")
TOKEN = "hf_abcdefghijklmnopqrstuvwxyz0123456789"


Run = Callable[..., tuple[int, str, str]]


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


def write_config(path: Path, model: str, **changes: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    found = catalogue.find(model)
    assert found is not None
    path.write_text(json.dumps({**found.config, **changes}))
    return path
