"""Exact parameters, memory, FLOPs and bytes of transformer models, for pretraining, prefill and decode.

import calculator
model = calculator.load_model("Qwen/Qwen2.5-7B")
e = calculator.estimate(model, calculator.Workload(mode="decode", batch_size=8, sequence_length=4096))
e.memory.total, e.flops.total, e.intensity
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from calculator.errors import CalculatorError
from calculator.estimation import Estimate, estimate
from calculator.model import Model
from calculator.passes.forward import operations
from calculator.record.operation import Operation
from calculator.record.vocabulary import COMPONENTS
from calculator.record.workload import Workload
from calculator.report.why import explain

if TYPE_CHECKING:
    __version__: str
    from calculator.batches import many, rows_of, tasks
    from calculator.compatibility import TransformerCalculator
    from calculator.engines.memory import Fit, fit, read_log
    from calculator.hardware import Device, device, devices
    from calculator.hardware.rented import rented
    from calculator.parallel import Layout
    from calculator.search.fixes import Fix
    from calculator.search.map import fit_map
    from calculator.search.plan import Plan
    from calculator.search.provision import provision
    from calculator.search.racks import Rack, Traffic, racks
    from calculator.search.solve import Solution, solve
    from calculator.serving.serve import Serving, serve
    from calculator.sources.checkpoint import Checkpoint, Comparison, load_checkpoint
    from calculator.sources.checkpoint.compare import compare
    from calculator.sources.checkpoint.stored import with_headers
    from calculator.sources.load import load_model
    from calculator.sources.manual import DataType, ModelConfig, ModelType, OperationMode
    from calculator.speculation import Speculation, own_draft, speculate
    from calculator.training import Trained, Training, TrainingSolution, solve_training, train

__all__ = [
    "COMPONENTS",
    "CalculatorError",
    "Checkpoint",
    "Comparison",
    "DataType",
    "Device",
    "Estimate",
    "Fit",
    "Fix",
    "Layout",
    "Model",
    "ModelConfig",
    "ModelType",
    "Operation",
    "OperationMode",
    "Plan",
    "Rack",
    "Serving",
    "Solution",
    "Speculation",
    "Traffic",
    "Trained",
    "Training",
    "TrainingSolution",
    "TransformerCalculator",
    "Workload",
    "__version__",
    "compare",
    "device",
    "devices",
    "estimate",
    "explain",
    "fit",
    "fit_map",
    "load_checkpoint",
    "load_model",
    "many",
    "operations",
    "own_draft",
    "provision",
    "racks",
    "read_log",
    "rented",
    "rows_of",
    "serve",
    "solve",
    "solve_training",
    "speculate",
    "tasks",
    "train",
    "with_headers",
]

LATER = {
    "load_model": "sources.load",
    "load_checkpoint": "sources.checkpoint",
    "compare": "sources.checkpoint",
    "with_headers": "sources.checkpoint.stored",
    "Checkpoint": "sources.checkpoint",
    "Comparison": "sources.checkpoint",
    "DataType": "sources.manual",
    "ModelConfig": "sources.manual",
    "ModelType": "sources.manual",
    "OperationMode": "sources.manual",
    "TransformerCalculator": "compatibility",
    "Device": "hardware",
    "device": "hardware",
    "devices": "hardware",
    "Layout": "parallel",
    "Fit": "engines.memory",
    "fit": "engines.memory",
    "read_log": "engines.memory",
    "Fix": "search.fixes",
    "fit_map": "search.map",
    "Solution": "search.solve",
    "Plan": "search.plan",
    "Rack": "search.racks",
    "Traffic": "search.racks",
    "provision": "search.provision",
    "racks": "search.racks",
    "solve": "search.solve",
    "Serving": "serving.serve",
    "serve": "serving.serve",
    "Trained": "training",
    "Training": "training",
    "TrainingSolution": "training",
    "solve_training": "training",
    "train": "training",
    "Speculation": "speculation",
    "own_draft": "speculation",
    "speculate": "speculation",
    "rented": "hardware.rented",
    "rows_of": "batches",
    "tasks": "batches",
    "many": "batches",
}
"""Names whose modules load when they are first used. (A name that is also a module's must not wait: whoever imports the
module first would find it under the name.)"""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from calculator.version import version

        return version()
    if name not in LATER:
        raise AttributeError(f"module 'calculator' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"calculator.{LATER[name]}"), name)
