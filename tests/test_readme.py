"""What README.md shows runs as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from calculator.cli import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python -m calculator (.+?)(?: +#.*)?$", README, re.M)
HUB = {"--checkpoint"}  # asks the Hub


def test_the_readme_shows_commands() -> None:
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", [c for c in COMMANDS if not HUB & set(shlex.split(c))])
def test_a_command_answers(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(command)) == 0
    assert capsys.readouterr().out


def test_the_python_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["model"].parameters.total == 7_615_616_512
    assert names["grid"].memory.total.shape == (1000, 1000)
