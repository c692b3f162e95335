"""What one model on the command line loads: its own family, its own defaults, its own line of the catalogue."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import make_index

from calculator import parts
from calculator.config import DATA, defaults_of
from calculator.families import registry

ROOT = Path(__file__).parents[1]


def loaded(*arguments: str) -> set[str]:
    """The modules that a run of the command line imports."""
    code = "import sys; from calculator.cli import main; code = main(sys.argv[1:]); "
    code += "print(*sorted(sys.modules), file=sys.stderr); sys.exit(code)"
    run = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ})
    return set(done.stderr.split())


def test_a_bundled_model_loads_only_what_it_needs():
    found = loaded("Qwen/Qwen3-8B")
    heavy = {"numpy", "pandas", "altair", "huggingface_hub", "streamlit", "httpx", "concurrent.futures", "difflib"}
    assert found & heavy == set()
    families = {name for name in found if name.startswith("calculator.families.") and name.count(".") == 3}
    assert families == {"calculator.families.decoders.llama", "calculator.families.drafts.registry"}
    modules = {name.removeprefix("calculator.parts.") for name in found if name.startswith("calculator.parts.")}
    blocks = {"base", "symbols", "basic", "norm", "mlp", "attention", "attend", "heads"}
    assert modules == blocks | {"elsewhere", "positioned"}  # which the family and the heads by class import
    rooms = {name.split(".")[1] for name in found if name.startswith("calculator.")}
    assert rooms & {"training", "serving", "parallel", "hardware", "engines", "search"} == set()


def test_the_index_of_families_is_what_their_decorators_say():
    """After adding a model type: python docs/make_index.py."""
    assert registry.MODULES.read_text(encoding="utf-8") == make_index.text()


def test_every_module_of_drafts_is_read_before_one_is_chosen():
    """A draft on the command line, where no other test has loaded the readers."""
    folder = ROOT / "calculator" / "families" / "drafts"
    readers = {p.stem for p in folder.glob("*.py") if "@draft(" in p.read_text(encoding="utf-8")}
    source = (folder / "registry.py").read_text(encoding="utf-8")
    assert readers == set(re.findall(r'"(\w+)"', source.partition("for module in (")[2].partition(")")[0]))


def test_every_type_is_found_in_its_module():
    for kind in registry.FAMILIES:
        assert registry.FAMILIES[kind].keywords["function"].__module__.startswith("calculator.families.")
    assert len(registry.FAMILIES) == len(registry.REGISTERED) > 300
    assert "no such type" not in registry.FAMILIES


def test_the_parts_that_load_later_are_those_that_are_imported_for_the_types():
    source = Path(parts.__file__).read_text(encoding="utf-8")
    named = {
        alias.name: node.module.removeprefix("calculator.parts.")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("calculator.parts.")
        for alias in node.names
    }
    assert {name: module for module, names in parts.PARTS.items() for name in names.split()} == named
    assert sorted(named) == sorted(parts.__all__)
    for name in named:
        assert getattr(parts, name).__name__ == name or name.isupper() or name == "Part"


def test_the_defaults_of_a_type_are_its_line_of_the_file():
    types = json.loads((DATA / "defaults.json").read_text(encoding="utf-8"))["model_types"]
    assert len(types) > 800
    for kind, entry in types.items():
        assert defaults_of(kind) == (types[entry] if isinstance(entry, str) else entry)
    assert defaults_of("no such type") == {}
