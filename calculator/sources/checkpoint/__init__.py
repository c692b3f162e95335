"""Checkpoints as they are: the headers of safetensors and GGUF files, held against the formulas."""

from __future__ import annotations

from calculator.sources.checkpoint.compare import Comparison, compare
from calculator.sources.checkpoint.load import load_checkpoint
from calculator.sources.checkpoint.tensors import Checkpoint, StoredTensor
from calculator.sources.checkpoint.unknown import model_from_checkpoint

__all__ = ["Checkpoint", "Comparison", "StoredTensor", "compare", "load_checkpoint", "model_from_checkpoint"]
