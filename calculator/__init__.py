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
from calculator.model import Model
from calculator.operation import COMPONENTS, Operation
from calculator.operations import operations
from calculator.sources import load_model
from calculator.workload import Workload

if TYPE_CHECKING:
    from calculator.compatibility import DataType, ModelConfig, ModelType, OperationMode, TransformerCalculator

__all__ = [
    "COMPONENTS",
    "CalculatorError",
    "DataType",
    "Estimate",
    "Model",
    "ModelConfig",
    "ModelType",
    "Operation",
    "OperationMode",
    "TransformerCalculator",
    "Workload",
    "estimate",
    "load_model",
    "operations",
]

COMPATIBILITY = ("DataType", "ModelConfig", "ModelType", "OperationMode", "TransformerCalculator")


def __getattr__(name: str) -> Any:
    if name in COMPATIBILITY:
        from calculator import compatibility

        return getattr(compatibility, name)
    raise AttributeError(f"module 'calculator' has no attribute {name!r}")
