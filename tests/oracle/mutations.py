"""Configs that nobody chose: every field of a small config changed, one after another, and written as the diff that
`save_pretrained` writes. Whatever transformers still builds, the engine must count the same.

    python tests/oracle/mutations.py qwen3 mamba2     these types; all when none is named
    python tests/oracle/mutations.py --flops qwen3    FLOPs of a forward pass too
    python tests/oracle/mutations.py --defaults       instead the class defaults of causal language models
    python tests/oracle/mutations.py --written        instead every variation against itself, saved and read again

Prints every config that is not counted the same, or that the engine refuses and transformers builds; of the
class defaults, compared at full size with their FLOPs, also those that do not build or run. Exits 1 if any is.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parent)]

import oracle  # noqa: E402
import test_golden  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
import variations  # noqa: E402
from transformers import CONFIG_MAPPING  # noqa: E402

from calculator import Workload, estimate  # noqa: E402
from calculator.errors import CalculatorError  # noqa: E402
from calculator.families import FAMILIES  # noqa: E402
from calculator.sources.load import model_from_config  # noqa: E402

# Names that no checkpoint carries as an architecture: they say how a model is run, not what it is.
NOT_ARCHITECTURE = frozenset(
    (
        "is_decoder",
        "is_encoder_decoder",
        "use_cache",
        "model_type",
        "architectures",
        "vocab_size_per_layer_input",
        "chunk_size_feed_forward",
        "pad_token_id",
        "bos_token_id",
        "eos_token_id",
        "torch_dtype",
        "dtype",
    )
)
NEVER_RUN = variations.NO_FORWARD.keys() | {
    kind
    for kind, (_, _, changed) in variations.TYPES.items()
    if changed and all((kind, name) in variations.CANNOT_RUN for name in changed)
}
MAPPING = HERE.parent / "data" / "mapping.json"
Lengths = tuple[int, int]  # batch, sequence
LENGTHS: Lengths = (2, 24)
WIDTHS = ("embed_dim", "d_model", "hidden_size")
HEADS = ("num_attention_heads", "num_heads", "encoder_attention_heads", "attention_heads")
LARGEST = 4096  # an int above is a length or an id, changed only by doubling


def mutated(
    config: dict[str, Any], whole: dict[str, Any], held: bool = False, runs: bool = True
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(what changed, config): `whole` is the config with every default, `config` the part that is stated. What is held
    and not run (a tower) transformers builds with heads that nothing divides into, too; those say nothing."""
    for name, value in whole.items():
        if name in NOT_ARCHITECTURE or name.startswith("_") or name.endswith(("_token_id", "_id")):
            continue
        if isinstance(value, dict) and name.endswith("_config"):
            for what, inner in mutated(config.get(name) or {}, value, not runs or "text" not in name, runs):
                yield f"{name}.{what}", {**config, name: inner}
            continue
        for new in changes(name, value):
            if not held or divides({**whole, name: new}):
                yield f"{name}={new}", {**config, name: new}


def divides(section: dict[str, Any]) -> bool:
    """Whether the width divides into the heads, and the heads into those of keys and values."""
    width, heads, shared = (
        next((section[name] for name in names if isinstance(section.get(name), int)), 0)
        for names in (WIDTHS, HEADS, ("num_key_value_heads",))
    )
    return not (heads and width % heads and not section.get("head_dim")) and not (shared and heads % shared)


def changes(name: str, value: Any) -> Iterator[Any]:
    """Other values a field may have."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from {2 * value, value // 2, value + 1} - {value, 0}
    elif value is None and any(word in name for word in ("dim", "size", "rank", "heads", "experts", "window")):
        yield 24


def built(config: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    """The model that transformers builds and its config as it would be saved; None where it refuses."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            model = oracle.build(config)
            written = CONFIG_MAPPING[config["model_type"]].from_dict(config).to_diff_dict()
    except Exception:
        return None
    written = {**written, "architectures": config["architectures"], "model_type": config["model_type"]}
    return model, {k: v for k, v in written.items() if not isinstance(v, torch.dtype)}


def faults(model_type: str, lengths: Lengths | None) -> Iterator[str]:
    """Every mutation of the type's small config that is not counted the same."""
    architecture, small, changed = variations.TYPES[model_type]
    head = {"model_type": model_type, "architectures": [architecture]}
    several = [head | small, *(head | variations.merged(small, changes) for changes in changed.values())]
    models = ((config, start[0]) for config in several if (start := built(config)))
    base, model = next(((config, model) for config, model in models if counts(model)), (None, None))
    if base is None:
        yield f"{model_type}: no small config builds and runs"
        return
    whole, runs = model.config.to_dict(), model_type not in NEVER_RUN
    for what, config in (("nothing", base), *mutated(base, whole, not runs, runs)):
        found = built(config)
        if found is None:
            continue
        model, written = found
        if fault := difference(model, written, lengths):
            yield f"{model_type} {what}: {fault}"


def default_faults(model_type: str, lengths: Lengths) -> Iterator[str]:
    """The class default at full size, with the FLOPs of a pass, or why that could not be compared."""
    architecture = variations.TYPES[model_type][0] if model_type in variations.TYPES else causal_types()[model_type]
    config = {"model_type": model_type, "architectures": [architecture]}
    try:
        model = oracle.build(config)
    except Exception as error:
        yield f"{model_type} default: does not build ({said(error)})"
        return
    if model_type not in FAMILIES:
        yield f"{model_type} default: no family reads it"
    elif fault := difference(model, config, lengths):
        yield f"{model_type} default: {fault}"
    elif isinstance(why := passed(model, lengths), str):
        yield f"{model_type} default: the same parameters; does not run ({why})"


def causal_types() -> dict[str, str]:
    """The types that transformers reads as causal language models, with their classes."""
    known = json.loads(MAPPING.read_text(encoding="utf-8"))["types"]
    return {model_type: entry["causal"] for model_type, entry in known.items() if "causal" in entry}


def written_faults(model_type: str) -> Iterator[str]:
    """The variations whose config, saved and read again, describes another model."""
    for kind, name, config in variations.cases():
        if kind != model_type:
            continue
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            text = CONFIG_MAPPING[model_type].from_dict(config).to_json_string(use_diff=True)
        saved = {"model_type": model_type, "architectures": config["architectures"], **json.loads(text)}
        try:
            mine, read = model_from_config(config), model_from_config(saved)
        except CalculatorError as error:
            if (model_type, name) not in variations.CANNOT_RUN:
                yield f"{model_type} {name}: refused: {error}"
            continue
        if sorted(mine.tensors()) != sorted(read.tensors()):
            yield f"{model_type} {name}: {read.parameters.total:,} parameters, unsaved {mine.parameters.total:,}"
            continue
        w = Workload(batch_size=2, sequence_length=24, logits="all")
        found, wanted = (estimate(m, w).flops.matmul for m in (read, mine))
        if found != wanted:
            yield f"{model_type} {name}: {found:,} FLOPs, unsaved {wanted:,}"


def difference(model: Any, written: dict[str, Any], lengths: Lengths | None) -> str | None:
    """What the engine says otherwise, None where nothing."""
    try:
        expected = oracle.parameters(model).total
    except RuntimeError:  # it cannot be saved
        return None
    case = {"model_type": written["model_type"]}
    try:
        mine = model_from_config(written)
    except CalculatorError as error:
        return f"refused: {error}" if counts(model) else None
    total = mine.parameters.total + sum(math.prod(shape) for _, shape in test_golden.tensors_added(case, mine))
    if total != expected:
        return f"{total:,} parameters, transformers has {expected:,}" if counts(model) else None
    if not lengths or isinstance(counted := passed(model, lengths), str):
        return None
    batch, sequence = lengths
    encoder = oracle.encoder_length(model)
    w = Workload(batch_size=batch, sequence_length=sequence, logits="all", encoder_length=encoder)
    found = test_golden.counted(estimate(mine, w).flops) + test_golden.apart(case, mine, w)
    wanted = counted.matmul - counted.scan - counted.convolution
    return None if found == wanted else f"{found:,} FLOPs, transformers has {wanted:,}"


def passed(model: Any, lengths: Lengths) -> oracle.Flops | str:
    """The FLOPs of a forward pass, or why transformers does not run what it built."""
    try:
        return oracle.forward_flops(oracle.speaker(model), *lengths)
    except Exception as error:
        return said(error)


def counts(model: Any) -> bool:
    """Whether a config is one: transformers runs it, or runs none of the type on text alone."""
    return model.config.model_type in NEVER_RUN or not isinstance(passed(model, LENGTHS), str)


def said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("types", nargs="*")
    parser.add_argument("--flops", action="store_true")
    parser.add_argument("--defaults", action="store_true")
    parser.add_argument("--written", action="store_true")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    every: Any = variations.TYPES
    check: Callable[[str], Iterator[str]] = partial(faults, lengths=LENGTHS if options.flops else None)
    if options.defaults:
        every, check = causal_types(), partial(default_faults, lengths=(1, 16))
    elif options.written:
        check = written_faults
    wrong = 0
    for model_type in options.types or every:
        for fault in check(model_type):
            wrong += 1
            print(fault, flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
