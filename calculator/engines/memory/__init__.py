"""The memory of a device as an inference engine divides it: weights, activations, what is reserved, and the cache."""

from calculator.engines.memory.fit import Fit, fit
from calculator.engines.memory.log import Reading, read_log

__all__ = ["Fit", "Reading", "fit", "read_log"]
