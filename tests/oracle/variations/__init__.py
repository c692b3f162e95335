"""Small configs that move everything a family has, as the diff a config.json carries, and what transformers does
otherwise than the engine, by model type.

What equals its class's default is left out. `cases()` yields every config; "default" is the class itself, at full size.
A variation is merged into its type's small config, nested dicts key by key. Sizes differ from one another wherever the
family allows, so that a product of the wrong two cannot pass. Some carry older spellings the Hub still has (n_embed,
rope_scaling, sliding_window_pattern, full_attention_interval, torch_dtype), some a field the class does not declare but
the modelling code reads (head_dim).

Every module here may define, and none has to be put on a list:

  TYPES        model type -> (architecture, small config, {variation: changes})
  NO_DEFAULT   type -> why its class default does not build, or cannot be read
  CANNOT_RUN   (type, variation) -> why it builds and does not run
  NO_FORWARD   type -> why it builds and takes no text alone: its parameters are recorded, nothing is run
  CANNOT_SEE   (type, variation) -> why no image passes its tower
  TRANSPOSED   type -> endings of matrices that transformers stores as [inputs, outputs] (Conv1D, packed experts)
  RENAMED      type -> (pattern, replacement) from the checkpoint's names to those that transformers 5 would write: it
               shortens some paths, and where it reverses its own renames they hit names they should not, or miss some
  RESHAPED     type -> a function from the checkpoint's (name, shape) pairs to those that transformers would write
  BUFFERS      type -> endings of names that are buffers there (otherwise "e_score_correction_bias")
  SCANS        type -> what its scan counts; those FLOPs are left out of the comparison
  NOTES        type -> what else is to be known about a recording
  BEYOND       type -> functions of (model, workload): FLOPs that transformers counts beyond the engine
  ADDED        type -> function of model: (name, shape) of tensors that transformers builds and no checkpoint holds
  UNLOADED     type -> function of model: elements that a checkpoint holds and transformers leaves out when it loads it
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from variations import core

GROUPS = {found.name: import_module(f"variations.{found.name}") for found in iter_modules(__path__)}


def _merged(name: str) -> dict[Any, Any]:
    """One of the modules' dicts, all together."""
    return {key: value for module in GROUPS.values() for key, value in getattr(module, name, {}).items()}


TYPES = _merged("TYPES")
GROUP_OF = {kind: name for name, module in GROUPS.items() for kind in getattr(module, "TYPES", {})}
NO_DEFAULT, CANNOT_RUN, CANNOT_SEE = _merged("NO_DEFAULT"), _merged("CANNOT_RUN"), _merged("CANNOT_SEE")
NO_FORWARD = _merged("NO_FORWARD")
TRANSPOSED, RENAMED, BUFFERS = _merged("TRANSPOSED"), _merged("RENAMED"), _merged("BUFFERS")
RESHAPED = _merged("RESHAPED")
SCANS, NOTES, BEYOND = _merged("SCANS"), _merged("NOTES"), _merged("BEYOND")
ADDED, UNLOADED = _merged("ADDED"), _merged("UNLOADED")

# Recorded with fewer workloads, without saved bytes and without the towers' FLOPs.
BRIEF = TYPES.keys() - core.TYPES.keys()

# Patches (frames, rows, columns) of the image or video each vision tower is run on; a tower of a fixed size takes none.
GRIDS = ((1, 28, 28), (2, 6, 10))


def cases() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(model type, name, config) of the class default and of every variation."""
    for model_type, (architecture, small, changed) in TYPES.items():
        head = {"model_type": model_type, "architectures": [architecture]}
        if model_type not in NO_DEFAULT:
            yield model_type, "default", head
        for name, changes in changed.items():
            yield model_type, name, head | merged(small, changes)


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, a nested dict merged in turn."""
    both = {key: merged(base[key], changes[key]) for key in base.keys() & changes.keys() if isinstance(base[key], dict)}
    return base | changes | both
