"""What the command line imports, and what it tells a person who waits."""

from __future__ import annotations

import csv
import io
import json
import shlex
import subprocess
import sys
import time

import pytest
from command import HEAVY, QWEN, ROOT, Run

from calculator import terminal
from calculator.errors import WorkloadError


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
