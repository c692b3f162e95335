"""Configs that nobody chose: every field of a small config changed, one after another, and written as the diff that
`save_pretrained` writes. Whatever transformers still builds, the engine must count the same.

    python tests/oracle/mutations.py qwen3 mamba2     these types; all when none is named
    python tests/oracle/mutations.py --flops qwen3    FLOPs of a forward pass too

Prints every config that is not counted the same, or that the engine refuses and transformers builds. Exits 1 if any is.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Iterator
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
from calculator.sources import model_from_config  # noqa: E402

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
LARGEST = 4096  # an int above is a length or an id, changed only by doubling


def mutated(config: dict[str, Any], whole: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(what changed, config): `whole` is the config with every default, `config` the part that is stated."""
    for name, value in whole.items():
        if name in NOT_ARCHITECTURE or name.startswith("_") or name.endswith(("_token_id", "_id")):
            continue
        if isinstance(value, dict) and name.endswith("_config"):
            for what, inner in mutated(config.get(name) or {}, value):
                yield f"{name}.{what}", {**config, name: inner}
            continue
        for new in changes(name, value):
            yield f"{name}={new}", {**config, name: new}


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


def faults(model_type: str, flops: bool) -> Iterator[str]:
    """Every mutation of the type's small config that is not counted the same."""
    architecture, small, _ = variations.TYPES[model_type]
    base = {"model_type": model_type, "architectures": [architecture], **small}
    start = built(base)
    if start is None:
        yield f"{model_type}: the small config does not build"
        return
    whole = start[0].config.to_dict()
    for what, config in (("nothing", base), *mutated(base, whole)):
        found = built(config)
        if found is None:
            continue
        model, written = found
        if fault := difference(model, written, flops):
            yield f"{model_type} {what}: {fault}"


def difference(model: Any, written: dict[str, Any], flops: bool) -> str | None:
    """What the engine says otherwise, None where nothing."""
    expected = oracle.parameters(model).total
    try:
        mine = model_from_config(written)
    except CalculatorError as error:
        return f"refused: {error}" if runs(model) else None
    if mine.parameters.total != expected:
        if not runs(model):
            return None
        return f"{mine.parameters.total:,} parameters, transformers has {expected:,}"
    if not flops:
        return None
    try:
        counted = oracle.forward_flops(model, 2, 24)
    except Exception:
        return None
    w = Workload(batch_size=2, sequence_length=24, logits="all", encoder_length=oracle.encoder_length(model))
    case = {"model_type": written["model_type"]}
    found = test_golden.counted(estimate(mine, w).flops) + test_golden.apart(case, mine, w)
    wanted = counted.matmul - counted.scan - counted.convolution
    return None if found == wanted else f"{found:,} FLOPs, transformers has {wanted:,}"


def runs(model: Any) -> bool:
    """Whether transformers can run what it built."""
    try:
        oracle.forward_flops(model, 2, 24)
    except Exception:
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("types", nargs="*")
    parser.add_argument("--flops", action="store_true")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    wrong = 0
    for model_type in options.types or variations.TYPES:
        for fault in faults(model_type, options.flops):
            wrong += 1
            print(fault, flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
