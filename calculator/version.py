"""The version: of the installed package; in a checkout that is not installed, the one pyproject.toml names."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path


@cache
def version() -> str:
    """For instance "0.1.0"; "unknown" where neither names one."""
    from importlib import metadata

    project = Path(__file__).parents[1] / "pyproject.toml"
    if project.is_file():  # a checkout, whatever else is installed beside it
        found = re.search(r'^version = "(.+)"$', project.read_text(encoding="utf-8"), re.M)
        if found:
            return found[1]
    try:
        return metadata.version("transformer-calculator")
    except metadata.PackageNotFoundError:
        return "unknown"
