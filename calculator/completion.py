"""Completion in the shell, by the argcomplete package where it is installed:
`eval "$(register-python-argcomplete transformer-calculator)"`."""

from __future__ import annotations

import argparse

from calculator.formats.cache import CACHE_TYPES
from calculator.formats.mixtures import BASES
from calculator.formats.named import FORMATS
from calculator.sources import catalogue


def names(prefix: str) -> list[str]:
    """The ids of bundled models, and their names without the owner, that begin with the prefix."""
    ids = [entry.id for entry in catalogue.entries()]
    wanted = prefix.lower()
    return [name for name in (*ids, *(i.split("/")[-1] for i in ids)) if name.lower().startswith(wanted)]


def values() -> dict[str, tuple[str, ...]]:
    """What options may be that are no choices of the parser: those of the catalogues."""
    from calculator.hardware import devices
    from calculator.search.racks import racks
    from calculator.search.solve import GOALS
    from calculator.training.export import FRAMEWORKS
    from calculator.training.recipe import BASE_FORMATS, METHODS, OFFLOADS, RECOMPUTE, tables
    from calculator.training.solve import GOALS as OF_TRAINING

    recipe = {
        "method": tuple(METHODS),
        "optimizer": tuple(tables()["optimizers"]),
        "precision": tuple(tables()["precisions"]),
        "loss": tuple(tables()["losses"]),
        "recompute": tuple(map(str, RECOMPUTE)),
        "offload": tuple(OFFLOADS),
        "base_format": tuple(BASE_FORMATS),
        "zero": ("0", "1", "2", "3"),
        "export": tuple(FRAMEWORKS),
    }
    cards = ("local", *(d.id for d in devices()))
    formats = {"dtype": ("auto", *FORMATS, *BASES), "kv_dtype": ("auto", *CACHE_TYPES)}
    goals = tuple(dict.fromkeys((*GOALS, *OF_TRAINING)))
    return {
        **formats,
        **recipe,
        "device": cards,
        "fits": cards,
        "serve": cards,
        "provision": tuple(r.id for r in racks()),
        "solve": goals,
    }


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell and exit, where argcomplete is installed; do nothing where it is not."""
    try:
        import argcomplete
    except ModuleNotFoundError:
        return
    known = values()
    for action in parser._actions:
        if action.dest in ("models", "hf_model"):
            action.completer = lambda prefix, **_: names(prefix)  # type: ignore[attr-defined]
        elif action.dest in known:
            action.completer = argcomplete.ChoicesCompleter(known[action.dest])  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser, always_complete_options="long")
