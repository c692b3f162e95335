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
    """setuptools takes only the packages that pyproject.toml lists."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    found = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "calculator").rglob("__init__.py")}
    assert found == set(listed)


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(FAMILIES)))
def test_a_module_says_what_belongs_there(module: Path):
    assert ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
