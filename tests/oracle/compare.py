"""Hold the engine against transformers while a family is being written: what differs, tensor by tensor and module by
module.

    python tests/oracle/compare.py qwen3 mamba2       every variation of these types
    python tests/oracle/compare.py qwen3 --only tied  the variations whose name contains "tied"

Prints a line for each variation, and under it what is not equal. Exits 1 if anything is not.
"""

from __future__ import annotations

import argparse
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parent)]

import make_golden  # noqa: E402
import oracle  # noqa: E402
import test_golden  # noqa: E402
import transformers  # noqa: E402
import variations  # noqa: E402

from calculator import estimate  # noqa: E402
from calculator.record.operation import MATMUL_KINDS  # noqa: E402
from calculator.sources.load import model_from_config  # noqa: E402

SHOWN = 12  # differing tensors of a kind


def differences(model_type: str, name: str, config: dict) -> Iterator[str]:
    """One line for everything that is not equal."""
    built = oracle.build(config)
    counted = oracle.parameters(built)
    model = model_from_config(config)
    case = make_golden.measured(model_type, name, config)
    if (found := test_golden.in_memory(case, model)) != counted.total:
        yield f"parameters: {found:,}, transformers has {counted.total:,}"
    yield from tensor_differences(case, model, counted.checkpoint)
    for key, mode in (("flops", "prefill"), ("decode", "decode"), ("train_flops", "pretraining")):
        for entry in case.get(key, ()):
            options = {"logits": entry["logits"]} if key == "flops" else {}
            w = test_golden.workload(entry, mode=mode, **options)
            found = test_golden.counted(estimate(model, w).flops) + test_golden.apart(case, model, w)
            if found != test_golden.recorded(entry):
                yield f"{key} {entry}: {found:,}, transformers has {test_golden.recorded(entry):,}"
                if key != "train_flops":
                    yield from operation_list(model, w, oracle_modules(built, key, entry))


def tensor_differences(case: dict, model, expected: oracle.Shapes) -> Iterator[str]:
    """Tensors by name and shape, as test_golden compares them."""
    mine = dict(test_golden.tensors_of(case, model))
    theirs = {name: tuple(shape) for name, shape in expected.items()}
    for title, names in (
        ("not in transformers", mine.keys() - theirs.keys()),
        ("missing", theirs.keys() - mine.keys()),
        ("of another shape", {n for n in mine.keys() & theirs.keys() if mine[n] != theirs[n]}),
    ):
        if names:
            yield f"{len(names)} tensors {title}:"
            for n in sorted(names)[:SHOWN]:
                yield f"    {n} {mine.get(n, '')} {theirs.get(n, '')}"


def oracle_modules(built, key: str, entry: dict) -> dict[str, int]:
    """FLOPs by module path of the first two layers and what stands outside of them."""
    if key == "flops":
        flops = oracle.forward_flops(built, entry["batch"], entry["seq"], entry["logits"])
    else:
        flops = oracle.decode_flops(built, entry["batch"], entry["cached"])
    return flops.modules


def operation_list(model, w, modules: dict[str, int]) -> Iterator[str]:
    """Both sides' products: ours by operation and layer group, transformers' by innermost module."""
    for op in estimate(model, w).operations:
        if op.kind in MATMUL_KINDS and op.flops:
            yield f"    ours    {op.flops:>14,} x {op.count} {op.layers} {op.name}"
    leaves = {m: f for m, f in modules.items() if not any(o.startswith(f"{m}.") for o in modules)}
    own = {m: f - sum(modules[o] for o in modules if o.rpartition(".")[0] == m) for m, f in modules.items()}
    for name, flops in modules.items():
        left = flops if name in leaves else own[name]
        if left and not re.search(r"\.([3-9]|\d\d+)\.", name):
            yield f"    theirs  {left:>14,}     {name}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("types", nargs="+")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    wrong = 0
    for model_type, name, config in variations.cases():
        if model_type in options.types and options.only in name:
            try:
                lines = list(differences(model_type, name, config))
            except Exception:
                lines = traceback.format_exc().splitlines()[-6:]
            wrong += bool(lines)
            print(f"{model_type} {name}: {'differs' if lines else 'equal'}", *lines, sep="\n  ", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
