"""Training: what a step holds and when, how long it takes, and on how many devices."""

from __future__ import annotations

from calculator.training.recipe import Training
from calculator.training.result import Trained
from calculator.training.solve import TrainingSolution, solve_training
from calculator.training.train import train

__all__ = ["Trained", "Training", "TrainingSolution", "solve_training", "train"]
