"""docs/RECIPES.md and docs/notebook.ipynb run as they stand."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from calculator import cli

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "RECIPES.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)


def test_there_are_recipes() -> None:
    assert len(PYTHON) == 7


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_a_recipe_runs(code: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.py"
    file.write_text(code, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_lines_of_recipes_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = re.findall(r"^transformer-calculator (.+?)(?: \|.*)?$", TEXT, re.M)
    assert len(lines) == 3
    for line in lines:
        assert cli.main(shlex.split(line.replace("./config.json", "Qwen/Qwen3-8B"))) == 0
        assert capsys.readouterr().out


def test_the_notebook_shows_tables() -> None:
    """As a notebook does: the last line of a cell by its richest form."""
    cells = json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    shown = []
    for cell in cells:
        if cell["cell_type"] == "code":
            *before, last = "".join(cell["source"]).splitlines()
            exec("\n".join(before), names)
            value = eval(last, names)
            html = getattr(value, "_repr_html_", None)
            shown.append(html() if html else value._repr_mimebundle_())
    model, estimate, frame, chart = shown
    for html in (model, estimate, frame):
        assert "<table" in html
    assert "8,190,735,360" in model
    assert "9.00 GiB" in estimate  # 8 × 8192 tokens of 147,456 bytes
    assert chart
