"""The same package under the name it is installed by: `import transformer_calculator` is `import calculator`."""

from __future__ import annotations

from typing import Any

import calculator
from calculator import __all__ as __all__


def __getattr__(name: str) -> Any:
    return getattr(calculator, name)


def __dir__() -> list[str]:
    return sorted(__all__)
