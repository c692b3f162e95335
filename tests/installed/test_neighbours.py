"""With packages that the tests elsewhere do not need: a notebook's kernel, and a cluster of two workers. Run with
`pip install nbclient ipykernel "dask[distributed]"`, `python -m pytest -o addopts= tests/installed`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_a_notebook_that_was_run_shows_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = nbformat.read(ROOT / "docs" / "notebook.ipynb", as_version=4)
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute()
    model, estimate, frame, chart = (cell.outputs[-1].data for cell in book.cells if cell.cell_type == "code")
    assert "8,190,735,360" in model["text/html"]
    assert model["text/plain"].startswith("<Model Qwen/Qwen3-8B: qwen3, 8.19B parameters, 36 layers")
    assert "<table>" in estimate["text/html"]
    assert "<table" in frame["text/html"]
    assert any("vegalite" in kind or "html" in kind for kind in chart)


def test_dask_makes_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    text = (ROOT / "docs" / "RECIPES.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python dask\n(.*?)^```", text, re.M | re.S)
    file = tmp_path / "recipe.py"
    file.write_text(code, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    subprocess.run([sys.executable, str(file)], check=True, timeout=300, cwd=tmp_path)
