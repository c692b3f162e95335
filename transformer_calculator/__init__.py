"""The same package under the name it is installed by: `import transformer_calculator` is `import calculator`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import calculator
from calculator import __all__ as __all__

if TYPE_CHECKING:
    from calculator import *  # noqa: F403  # the names that __all__ lists
else:

    def __getattr__(name: str) -> Any:
        return getattr(calculator, name)

    def __dir__() -> list[str]:
        return sorted(__all__)
