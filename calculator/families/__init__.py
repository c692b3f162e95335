"""The families: each turns the config of its model types into a description of what is built.

Every module here and in the groups registers its families when it is imported, which happens when one of its model
types is first asked for; data/families.json says which module that is (docs/make_index.py writes it).
"""

from __future__ import annotations

from calculator.families.registry import FAMILIES, Blueprint

__all__ = ["FAMILIES", "Blueprint"]
