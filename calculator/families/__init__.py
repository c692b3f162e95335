"""The families: each turns the config of its model types into a description of what is built.

Every module here and in the groups registers its families when it is imported; a new one needs no list to be put on.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import walk_packages

from calculator.families.registry import FAMILIES, Blueprint

for _module in walk_packages(__path__, f"{__name__}."):
    import_module(_module.name)

__all__ = ["FAMILIES", "Blueprint"]
