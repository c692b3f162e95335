"""The families' modules: each group is installed, and a module says what belongs there."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAMILIES = ROOT / "calculator" / "families"
MODULES = sorted(FAMILIES.rglob("*.py"))


def test_every_package_is_installed():
    """setuptools finds the folders that are packages, and takes only the files of data/ beside them."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert build["packages"]["find"]["include"] == ["calculator", "calculator.*"]
    folders = {p.parent for p in (ROOT / "calculator").rglob("*.py")}
    assert [f for f in sorted(folders) if not (f / "__init__.py").is_file()] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(FAMILIES)))
def test_a_module_says_what_belongs_there(module: Path):
    assert ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
