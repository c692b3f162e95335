"""Runs of the command line in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from command import Run

from calculator import cli


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def running(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return running


@pytest.fixture
def outcome(run: Run) -> Callable[..., str]:
    """What a run that must succeed without a word on standard error writes."""

    def succeeding(*arguments: str) -> str:
        code, out, err = run(*arguments)
        assert (code, err) == (0, "")
        return out

    return succeeding
