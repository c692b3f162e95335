"""The families: each turns the config of its model types into a description of what is built.

Every module here registers its families when it is imported; a new module needs no list to be put on.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from calculator.families.common import FAMILIES, Blueprint

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["FAMILIES", "Blueprint"]
