"""The families' modules: each group is installed, and a module says what belongs there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAMILIES = ROOT / "calculator" / "families"
MODULES = sorted(FAMILIES.rglob("*.py"))


def test_every_package_is_installed():
    """setup.py finds the folders that are packages, and names those of the app."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    calls = {node.func.id: node for node in ast.walk(tree) if isinstance(node, ast.Call) and hasattr(node.func, "id")}
    include = next(k.value for k in calls["find_packages"].keywords if k.arg == "include")
    assert ast.literal_eval(include) == ["calculator", "calculator.*", "transformer_calculator"]
    folders = {p.parent for p in (ROOT / "calculator").rglob("*.py")}
    assert [f for f in sorted(folders) if not (f / "__init__.py").is_file()] == []
    (app,) = (n.value for n in tree.body if isinstance(n, ast.Assign))
    pages = {p.parent.relative_to(ROOT).as_posix() for p in (ROOT / "pages").rglob("*.py")}
    assert set(ast.literal_eval(app).values()) == {".", *pages}
    for name, folder in ast.literal_eval(app).items():
        assert name == ".".join(("calculator.web", *(folder.split("/") if folder != "." else ())))


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(FAMILIES)))
def test_a_module_says_what_belongs_there(module: Path):
    assert ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
