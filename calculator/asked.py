"""From the options of the command line to models, and from those to estimates."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from calculator.errors import CalculatorError, SourceError, WorkloadError
from calculator.estimation import Estimate
from calculator.lists import Listed
from calculator.model import Model
from calculator.record.workload import Workload
from calculator.sources import catalogue
from calculator.sources.load import load_model
from calculator.terminal import hide, progress, working

if TYPE_CHECKING:
    from calculator.sources.checkpoint import Comparison
    from calculator.speculation import Speculation


def sources(options: argparse.Namespace) -> list[str]:
    """What was named, in the order: MODEL, --hf-model, --config.

    Raises:
        SourceError: nothing was named.
    """
    # "./name" is a path to load_model even where "name" is also a bundled model.
    paths = [p if os.path.isabs(p) or p.startswith("~") else f"./{p}" for p in options.config]
    found = [*options.models, *options.hf_model, *paths]
    if not found:
        hint = f" ({options.explain!r} was taken for an operation to explain)" if options.explain else ""
        raise SourceError(f"No model was named{hint}; give one, for instance Qwen/Qwen2.5-7B, or see --list-models.")
    for named in options.models:
        if SEVERAL.fullmatch(named) and not os.path.exists(named):
            raise SourceError(f"{named[:160]!r} are several models; give one after the other, with spaces between.")
    return found


SEVERAL = re.compile(r"[\w.-]+/[\w.-]+(?:[,;\s]+[\w.-]+/[\w.-]+)+")
"""org/one,org/two as a single argument."""


def one_of(runs: Sequence[Workload], option: str) -> Workload:
    """The only workload.

    Raises:
        WorkloadError: several were listed, and the option shows one.
    """
    if len(runs) > 1:
        raise WorkloadError(f"{option} shows one workload; give single values rather than lists with it.")
    return runs[0]


def estimated(models: Sequence[Model], runs: Sequence[Workload], **placed: Any) -> list[Estimate]:
    """An estimate for every model and workload, with a line of progress where there are many.

    Args:
        placed: the device and the layout, as `Estimate` takes them.
    """
    found, whole = [], len(models) * len(runs)
    for model in models:
        for run in runs:
            found.append(Estimate(model, run, **placed))
            if whole > PROGRESS and len(found) % PROGRESS == 0:
                progress(f"Estimating ({len(found):,} of {whole:,})")
    progress("") if whole > PROGRESS else None
    return found


PROGRESS = 100
"""Estimates between two lines of progress: about a quarter of a second."""


def with_draft(options: argparse.Namespace, models: Sequence[Model], workload: Workload) -> list[Speculation]:
    """Each model beside the draft that was named."""
    from calculator.speculation import OWN, own_draft, speculate

    if options.draft == OWN:
        return [speculate(model, own_draft(model), workload) for model in models]
    (draft,) = load_all([options.draft], None, options.token)
    return [speculate(model, draft, workload) for model in models]


def load_all(named: Sequence[str], revision: str | None, token: str | None, base: str | None = None) -> list[Model]:
    """The models, with a line of progress while it may take a while.

    Raises:
        CalculatorError: one of them cannot be read; of several, the message says which.
    """
    models = []
    for place, source in enumerate(named, 1):
        line = f"Reading {source}" + (f" ({place} of {len(named)})" if len(named) > 1 else "")
        try:
            with working(hide(line, token)):
                models.append(load_model(source, revision, token, **({"base": base} if base else {})))
        except CalculatorError as error:
            if len(named) == 1 or source in str(error):
                raise
            raise type(error)(f"{source}: {error}") from error
    return models


def compare_all(
    named: Sequence[str], models: Sequence[Model], revision: str | None, token: str | None
) -> list[Comparison]:
    """Each model against the checkpoint that it was named by; of a bundled model, the one on the Hub."""
    from calculator.sources.checkpoint import compare, load_checkpoint

    found = []
    for source, model in zip(named, models, strict=True):
        bundled = catalogue.find(source) if revision is None else None
        with working(hide(f"Reading the headers of {source}", token)):
            headers = load_checkpoint(bundled.id if bundled else source, revision, token)
        found.append(compare(model, headers))
    return found


def cache_types(options: argparse.Namespace) -> dict[str, str]:
    """The kv_dtype of llama.cpp's two flags; what one of them leaves out is f16, llama.cpp's default.

    Raises:
        WorkloadError: --kv-dtype says it too.
    """
    keys, values = options.cache_type_k, options.cache_type_v
    if keys is None and values is None:
        return {}
    if options.kv_dtype != "auto" or isinstance(options.kv_dtype, Listed):
        raise WorkloadError("--kv-dtype and --cache-type-k/-v say the same; give one of them.")
    return {"kv_dtype": f"{keys or 'fp16'}/{values or 'fp16'}"}
