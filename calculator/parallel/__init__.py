"""A model divided over devices: layouts, and the list of operations as each device sees it."""

from __future__ import annotations

from calculator.parallel.layout import Layout

__all__ = ["Layout"]
