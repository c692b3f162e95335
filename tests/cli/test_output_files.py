"""Interruptions, pipes and files: nothing is destroyed, and nothing is left half written."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import LLAMA, QWEN, ROOT, Run, process

from calculator import asked, terminal
from calculator.sources.load import load_model


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


def test_the_name_of_the_file_says_the_format(outcome: Callable[..., str], tmp_path: Path) -> None:
    for name, form in (("a.json", "json"), ("a.CSV", "csv"), ("a.md", "markdown"), ("a.txt", "text"), ("a", "text")):
        file = tmp_path / name
        assert outcome(QWEN, "--output", str(file)) == ""
        assert file.read_text(encoding="utf-8") == outcome(QWEN, "--format", form)
    assert outcome(QWEN, "--format", "text", "--output", str(tmp_path / "b.json")) == ""
    assert (tmp_path / "b.json").read_text(encoding="utf-8") == outcome(QWEN)
