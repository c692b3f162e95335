"""What is installed: few dependencies, the same version everywhere, the app, an alias, facts for those who cite it."""

from __future__ import annotations

import json
import os
import re
import runpy
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
for asked in (
    "--fits h100", "--serve h100 --users 4", "--provision dgx-h100", "--solve max-context --device h100",
    "--mode decode --device h100 --tp 2", "--mode train --device h100", "--mode train --solve fastest --device h100",
):
    for form in ("text", "json", "csv", "markdown"):
        assert main(["Qwen/Qwen3-8B", *asked.split(), "--format", form]) == 0, asked
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


def test_a_typed_script_runs() -> None:
    """mypy reads the same file."""
    runpy.run_path(str(ROOT / "tests" / "typed" / "script.py"))
    assert '"tests/typed/script.py"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for package in ("calculator", "transformer_calculator"):
        assert (ROOT / package / "py.typed").is_file()
        assert f'"{package}": ["py.typed"' in (ROOT / "setup.py").read_text(encoding="utf-8")


def test_public_names_exist() -> None:
    for name in calculator.__all__:
        assert getattr(calculator, name) is not None


SERVER = """
import json, os, sys
if __name__ == "__main__":
    print(json.dumps([os.getpid(), sys.argv[1:], os.environ["PYTHONPATH"]]))
    sys.exit(3)
"""


def test_the_app_is_found_and_started_from_any_folder(tmp_path: Path) -> None:
    """The server is the process that was started: signals reach it."""
    (tmp_path / "streamlit").mkdir()
    (tmp_path / "streamlit" / "__init__.py").touch()
    (tmp_path / "streamlit" / "__main__.py").write_text(SERVER, encoding="utf-8")
    paths = os.pathsep.join((str(tmp_path), str(ROOT)))
    command = [sys.executable, "-m", "calculator", "app", "--server.port", "8600"]
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE, text=True
    ) as process:
        said, _ = process.communicate(timeout=60)
    pid, arguments, path = json.loads(said)
    assert process.returncode == 3
    assert arguments == ["run", str(ROOT / "app.py"), "--server.port", "8600"]
    assert path.startswith(str(ROOT))
    if os.name == "posix":
        assert pid == process.pid


def test_an_installation_without_the_app_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_one_address_of_the_repository() -> None:
    home = PROJECT["urls"]["Repository"]
    assert re.fullmatch(r"https://github\.com/[\w-]+/hf-[\w-]+", home)  # `hf extensions install` needs that beginning
    for name, address in PROJECT["urls"].items():
        assert address == home or address.startswith(home + "/"), name
    assert f"\nrepository-code: {home}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"hf extensions install {home.removeprefix('https://github.com/')} " in readme
    assert "hf-calculator" in PROJECT["scripts"]
    for file in ("README.md", "CITATION.cff", "CONTRIBUTING.md", "pyproject.toml", "docs/RECIPES.md"):
        text = (ROOT / file).read_text(encoding="utf-8")
        assert "transformer-calculator/transformer-calculator" not in text
    release = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    assert 'grep -n "github.com/OWNER" pyproject.toml' in release  # nothing is published under a name nobody chose


def test_a_release_runs_the_checks_first_and_stores_no_password() -> None:
    flows = {f.stem: f.read_text(encoding="utf-8") for f in (ROOT / ".github" / "workflows").glob("*.yml")}
    assert set(flows) == {"checks", "release"}
    assert "  checks:\n    uses: ./.github/workflows/checks.yml\n\n  build:\n    needs: checks\n" in flows["release"]
    assert "  workflow_call:" in flows["checks"]
    for text in flows.values():
        assert "\npermissions:\n  contents: read\n" in text
        assert "secrets." not in text
    assert flows["release"].count("id-token: write") == 1
    assert 'test "$GITHUB_REF_NAME" = "v$(python' in flows["release"]  # the tag is the version


def test_the_account_is_set_by_one_command() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    pairs = re.findall(r"s\|([^|]+)\|([^|]*)\|", re.findall(r"`sed -i '(.+)' pyproject", text)[0])
    for file in ("pyproject.toml", "README.md", "CITATION.cff"):
        found = (ROOT / file).read_text(encoding="utf-8")
        for old, new in pairs:
            found = found.replace(old, new)
        assert "ACCOUNT/hf-calculator" in found
        assert "OWNER/" not in found


def test_the_container_starts_the_app_of_this_project() -> None:
    """Line by line, because where the tests run there is no Docker."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert [line.split()[0] for line in lines] == [
        "FROM",
        "RUN",
        "WORKDIR",
        "COPY",
        "RUN",
        "USER",
        "HEALTHCHECK",
        "CMD",
    ]
    base, _, place, copy, install, user, health, start = lines
    python = re.fullmatch(r"FROM python:(3\.\d+)-slim", base)
    assert python is not None
    assert f"Programming Language :: Python :: {python[1]}" in PROJECT["classifiers"]
    assert place.startswith("WORKDIR /home/user/")  # Spaces run as the user 1000, who may write below his home alone
    assert "--uid 1000 user" in lines[1]
    assert copy == "COPY --chown=user . ."
    assert install.endswith('".[app]"')
    assert "app" in PROJECT["optional-dependencies"]
    assert user == "USER user"
    command = json.loads(start.removeprefix("CMD "))
    assert command[0] in PROJECT["scripts"]
    assert command[1] == "app"
    port = dict(option.removeprefix("--").split("=") for option in command[2:])["server.port"]
    assert f"http://localhost:{port}/_stcore/health" in health
    code = re.search(r'python -c "(.*)"$', health)
    assert code is not None
    compile(code[1], "HEALTHCHECK", "exec")
    assert f"-p {port}:{port} calculator" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert int(port) == 7860  # where Hugging Face Spaces look for it
