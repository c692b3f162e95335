"""The house as docs/ARCHITECTURE.md draws it: imports point down, and the engine knows nothing of the app."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = (
    ("app", "pages"),
    ("calculator.__main__",),
    ("calculator.cli",),
    ("calculator.arguments",),
    ("calculator.answers", "calculator.validation"),
    ("calculator.questions",),
    (
        "calculator.batches",
        "calculator.launch",
        "calculator.completion",
        "calculator.local",
    ),
    ("calculator.traffic",),
    ("calculator.asked", "calculator.recipes"),
    ("calculator.habits", "calculator.lists", "calculator.named", "calculator.terminal"),
    ("calculator.compatibility", "calculator.sources.manual"),
    ("calculator.report.output",),
    ("calculator.sources.checkpoint.report",),
    ("calculator.speculation", "calculator.placing"),
    ("calculator.estimation",),
    ("calculator.sources.load",),
    ("calculator.sources.checkpoint",),
    ("calculator.sources",),
    ("calculator.report",),
    (
        "calculator.search",
        "calculator.engines.memory",
        "calculator.serving.serve",
        "calculator.serving.case",
        "calculator.serving.waiting",
        "calculator.serving.speculation",
    ),
    ("calculator.engines",),
    ("calculator.training",),
    ("calculator.serving",),
    ("calculator.parallel",),
    ("calculator.hardware",),
    ("calculator.gate",),
    ("calculator.passes",),
    ("calculator.whatif",),
    ("calculator.families",),
    ("calculator.model",),
    ("calculator.parts",),
    ("calculator.record",),
    ("calculator.formats",),
    ("calculator.config",),
    ("calculator.numbers",),
    ("calculator.extras",),
    ("calculator.limits",),
    ("calculator.errors", "calculator.version"),
)
"""From the roof to the ground. A module belongs to the longest name that it begins with; it imports from its own row
and from those below."""

FILES = sorted([ROOT / "app.py", *ROOT.glob("pages/**/*.py"), *ROOT.glob("calculator/**/*.py")])
NAMES = {name: row for row, names in enumerate(LAYERS) for name in names}


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in FILES}


def floor(module: str) -> int:
    """The row of a module, counted from the roof."""
    words = module.split(".")
    found = next((".".join(words[:n]) for n in range(len(words), 0, -1) if ".".join(words[:n]) in NAMES), None)
    assert found is not None, f"{module} has no place in LAYERS"
    return NAMES[found]


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules of the project that code imports, wherever it does; annotations alone do not count."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                yield inside if inside in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            yield from imported(node)


def imports(module: str) -> set[str]:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    return {name for name in imported(tree) if name in MODULES and name not in (module, "calculator")}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"calculator"}))
def test_imports_point_down(module: str) -> None:
    up = {name for name in imports(module) if floor(name) < floor(module)}
    assert up == set()


def test_there_are_no_circles() -> None:
    """But for the one that Streamlit's cold deep links force between app.py and its pages."""
    edges = {m: {n for n in imports(m) if n.startswith("calculator")} for m in MODULES if m.startswith("calculator.")}
    done: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for name in edges.get(module, ()):
                walk(name, (*path, module))
            done.add(module)

    for module in edges:
        walk(module, ())


def test_the_engine_knows_nothing_of_the_app() -> None:
    for module, file in MODULES.items():
        if module.startswith("calculator"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            roots = {
                name.partition(".")[0]
                for node in ast.walk(tree)
                for name in (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
            }
            assert not roots & {"streamlit", "app", "pages"}, module
