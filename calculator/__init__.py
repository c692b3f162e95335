"""Exact parameters, memory, FLOPs and bytes of transformer models, for pretraining, prefill and decode.

import calculator
model = calculator.load_model("Qwen/Qwen2.5-7B")
e = calculator.estimate(model, calculator.Workload(mode="decode", batch_size=8, sequence_length=4096))
e.memory.total, e.flops.total, e.intensity
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from calculator.errors import CalculatorError
from calculator.estimate import Estimate, estimate
from calculator.explain import explain
from calculator.model import Model
from calculator.operation import COMPONENTS, Operation
from calculator.operations import operations
from calculator.workload import Workload

if TYPE_CHECKING:
    from calculator.checkpoint import Checkpoint, Comparison, load_checkpoint
    from calculator.checkpoint.compare import compare
    from calculator.compatibility import TransformerCalculator
    from calculator.manual import DataType, ModelConfig, ModelType, OperationMode
    from calculator.sources import load_model

__all__ = [
    "COMPONENTS",
    "CalculatorError",
    "Checkpoint",
    "Comparison",
    "DataType",
    "Estimate",
    "Model",
    "ModelConfig",
    "ModelType",
    "Operation",
    "OperationMode",
    "TransformerCalculator",
    "Workload",
    "compare",
    "estimate",
    "explain",
    "load_checkpoint",
    "load_model",
    "operations",
]

LATER = {
    "load_model": "sources",
    "load_checkpoint": "checkpoint",
    "compare": "checkpoint",
    "Checkpoint": "checkpoint",
    "Comparison": "checkpoint",
    "DataType": "manual",
    "ModelConfig": "manual",
    "ModelType": "manual",
    "OperationMode": "manual",
    "TransformerCalculator": "compatibility",
}
"""Names whose modules load when they are first used. (A name that is also a module's must not wait: whoever imports the
module first would find it under the name.)"""


def __getattr__(name: str) -> Any:
    if name not in LATER:
        raise AttributeError(f"module 'calculator' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"calculator.{LATER[name]}"), name)
