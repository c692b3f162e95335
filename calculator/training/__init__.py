"""Training: what a step holds and when, how long it takes, and on how many devices."""

from __future__ import annotations

from calculator.training.recipe import Training
from calculator.training.train import Trained, train

__all__ = ["Trained", "Training", "train"]
