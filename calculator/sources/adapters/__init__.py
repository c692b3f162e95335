"""Adapters of the peft library: adapter_config.json, what it adds to which modules, and the sum with its base model."""

from __future__ import annotations

from calculator.sources.adapters.build import adapted
from calculator.sources.adapters.settings import FILE, Settings, is_adapter

__all__ = ["FILE", "Settings", "adapted", "is_adapter"]
