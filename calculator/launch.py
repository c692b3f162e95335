"""`transformer-calculator app`: starts the Streamlit app that the package brings, from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from calculator.errors import SourceError
from calculator.extras import needed

PLACES = (Path(__file__).parent / "web" / "app.py", Path(__file__).parents[1] / "app.py")
"""Where the app stands: in an installed package, and in a checkout."""


def script() -> Path:
    """The app's file.

    Raises:
        SourceError: the installation lacks it.
    """
    for place in PLACES:
        if place.is_file() and (place.parent / "pages").is_dir():
            return place
    raise SourceError("This installation has no app; install transformer-calculator[app] from its wheel.")


def run_app(arguments: Sequence[str] = ()) -> int:
    """Run the app until it is stopped, and return its exit status. Where a process can become another it becomes the
    server, so that whoever stops it (a shell, systemd, Docker) stops the server.

    Args:
        arguments: for `streamlit run`, for instance --server.port 8600.

    Raises:
        MissingExtraError: Streamlit is not installed. SourceError: the app is not.
    """
    needed("streamlit", "The app")
    place = script()
    # The calculator of this process, where it runs from a checkout that is not installed.
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", "streamlit", "run", str(place), *arguments]
    if os.name == "posix":
        os.execve(sys.executable, command, environment)
    return subprocess.run(command, check=False, env=environment).returncode
