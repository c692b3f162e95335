"""What is installed: few dependencies, the same version everywhere, the app, an alias, facts for those who cite it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import calculator
import transformer_calculator
from calculator import CalculatorError, launch

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_one_version() -> None:
    assert calculator.__version__ == PROJECT["version"]
    assert f"\nversion: {PROJECT['version']}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_core_needs_the_client_of_the_hub_alone() -> None:
    assert [re.split(r"[<>=~]", d)[0] for d in PROJECT["dependencies"]] == ["huggingface_hub"]
    listed = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    for name in ("streamlit", "altair", "pandas", "huggingface_hub"):  # Streamlit's cloud installs these
        assert any(line.startswith(name) for line in listed)


def test_the_core_runs_without_the_extras() -> None:
    """A model, every mode and every format of output, in a process that cannot import them."""
    code = """
import sys
for name in ("numpy", "pandas", "altair", "streamlit"):
    sys.modules[name] = None
from calculator.cli import main
for mode in ("prefill", "decode", "train"):
    for form in ("text", "json", "csv", "markdown"):
        assert main(["openai/gpt-oss-20b", "--mode", mode, "--batch-size", "1,2", "--format", form]) == 0
assert main(["Qwen/Qwen3-8B", "--explain"]) == 0
import calculator
calculator.device("h200").memory
try:
    calculator.estimate(calculator.load_model("gpt2")).table("memory")
except calculator.CalculatorError as error:
    print(error, file=sys.stderr)
assert main(["app"]) == 2
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "A table as a DataFrame needs pandas, which is not installed: "
        'pip install "transformer-calculator[data]" brings it.',
        'error: The app needs streamlit, which is not installed: pip install "transformer-calculator[app]" brings it.',
    ]


def test_the_alias_is_the_same_package() -> None:
    assert transformer_calculator.load_model is calculator.load_model
    assert transformer_calculator.__version__ == calculator.__version__
    assert set(calculator.__all__) <= set(dir(transformer_calculator))
    with pytest.raises(AttributeError):
        _ = transformer_calculator.nothing


def test_public_names_exist() -> None:
    for name in calculator.__all__:
        assert getattr(calculator, name) is not None


def test_the_app_is_found_and_started(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    done = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(launch.subprocess, "run", lambda command, **options: called.append((command, options)) or done)
    from calculator.cli import main

    assert main(["app", "--server.port", "8600"]) == 0
    command, options = called[0]
    assert command[1:] == ["-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", "8600"]
    assert options["env"]["PYTHONPATH"].startswith(str(ROOT))
    monkeypatch.setattr(launch, "PLACES", ())
    with pytest.raises(CalculatorError, match="This installation has no app"):
        launch.run_app()


def test_images_of_the_readme_show_anywhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    images = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert images
    for address in images:
        assert address.startswith(PROJECT["urls"]["Repository"] + "/raw/main/")
        assert (ROOT / address.split("/raw/main/")[1]).is_file()


def test_the_project_has_one_address() -> None:
    """Declared in pyproject.toml; what else names it agrees."""
    address = PROJECT["urls"]["Repository"]
    assert all(url.startswith(address) for url in PROJECT["urls"].values())
    assert f"repository-code: {address}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    owner = address.removeprefix("https://github.com/").split("/")[0]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"hf extensions install (\S+)", readme) == [f"{owner}/hf-calculator"]


def test_the_container_asks_after_the_health_of_the_app() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 8
    assert any(line.startswith("HEALTHCHECK") and "/_stcore/health" in line for line in lines)
    assert any("--server.port=7860" in line for line in lines)  # where Hugging Face Spaces look for it
