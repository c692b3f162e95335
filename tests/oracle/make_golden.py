"""Measure every variation with the oracle and write tests/data/golden, which the plain tests compare with by ==.

    python tests/oracle/make_golden.py                       all cases (about an hour)
    python tests/oracle/make_golden.py qwen3 mamba2          these families anew, the others as they stand
    python tests/oracle/make_golden.py --check [family ...]  measure again, fail where the file or an anchor differs
    python tests/oracle/make_golden.py --published FILE      parameter totals of a JSON-lines file against the oracle's

A file for each module of variations, a list, one case a line. Units are the oracle's: elements, FLOPs (a multiply-add
is 2), bytes, tokens.

- `parameters`, `tensors` and `shapes_sha` count a tied tensor once; `checkpoint` says the same of a saved checkpoint
  where its tensors are not those in memory; `buffers` are elements stored but not counted; `towers` are parts of
  `parameters`.
- `matmul` in `flops`, `decode` and `vision` is everything counted, `convolution` and `scan` are parts of it,
  `matmul_without_scan` is the rest. `train_flops` (forward and backward) leaves scans out altogether.
- The types in `variations.BRIEF` have two points of `flops`, one of `decode`, one of `train_flops`, and nothing below;
  their class defaults are built, not run.
- `encoder` is the length of the encoder's input, of an encoder-decoder model.
- `saved_bytes` is what autograd keeps in bfloat16, without a loss; `sdpa` is null where the class has none. It is not
  measured for scan models, whose reference scan keeps far more than any kernel.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(1, str(Path(__file__).parents[2]))

import oracle
import transformers
import variations

GOLDEN = Path(__file__).parent.parent / "data" / "golden"

FORWARD = ((1, 32, "all"), (2, 80, "all"), (2, 80, "last"))  # batch, sequence, logits
DECODE = ((1, 24), (3, 80))  # batch, cached
BRIEF_FORWARD, BRIEF_DECODE = ((1, 32, "all"), (2, 80, "last")), ((3, 80),)
TRAIN = ((2, 48),)
SAVED = ((2, 64),)

LLAMA_2_7B = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
LLAMA_3_8B = LLAMA_2_7B | {"vocab_size": 128256, "intermediate_size": 14336, "num_key_value_heads": 8}
QWEN_25_7B = {
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "vocab_size": 152064,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
}
MIXTRAL_8X7B = {"model_type": "mixtral", "architectures": ["MixtralForCausalLM"]}
# config, what is run, its arguments, and the FLOPs counted independently of this code, in a unit.
ANCHORS = (
    (LLAMA_2_7B, oracle.forward_flops, (1, 2048, "all"), 29.2616, 1e12),
    (LLAMA_2_7B, oracle.forward_flops, (1, 2048, "last"), 28.7250, 1e12),
    (LLAMA_2_7B, oracle.decode_flops, (1, 2048), 14.2884, 1e9),
    (LLAMA_3_8B, oracle.forward_flops, (1, 2048, "all"), 32.9381, 1e12),
    (LLAMA_3_8B, oracle.decode_flops, (1, 2048), 16.0836, 1e9),
    (QWEN_25_7B, oracle.forward_flops, (1, 2048, "all"), 30.6435, 1e12),
    (QWEN_25_7B, oracle.forward_flops, (1, 2048, "last"), 28.4123, 1e12),
    (QWEN_25_7B, oracle.decode_flops, (1, 2048), 14.9631, 1e9),
    (MIXTRAL_8X7B, oracle.forward_flops, (1, 128, "all"), 3_272_228_208_640, 1),
)


def measured(model_type: str, name: str, config: dict[str, Any]) -> dict[str, Any]:
    """One case of the file."""
    model = oracle.build(config)
    counted = oracle.parameters(model)
    case = {
        "model_type": model_type,
        "name": name,
        "config": config,
        "parameters": counted.total,
        "tensors": len(counted.shapes),
        "shapes_sha": oracle.digest(counted.shapes),
    }
    if counted.checkpoint != counted.shapes:
        case["checkpoint"] = {"tensors": len(counted.checkpoint), "shapes_sha": oracle.digest(counted.checkpoint)}
    if counted.buffers:
        case["buffers"] = oracle.elements(counted.buffers)
    if counted.towers:
        case["towers"] = counted.towers
    notes = [f"scan: {variations.SCANS[model_type]}"] if model_type in variations.SCANS else []
    notes += [variations.NOTES[model_type]] if model_type in variations.NOTES else []
    if reason := variations.CANNOT_RUN.get((model_type, name)):
        return case | {"note": "; ".join([*notes, f"cannot run: {reason}"])}
    model = oracle.speaker(model)
    if reason := variations.NO_FORWARD.get(model_type):
        return case | {"note": "; ".join([*notes, f"not run: {reason}"])}
    brief = model_type in variations.BRIEF
    if brief and name == "default":
        return case
    case["flops"] = [
        {"batch": batch, "seq": seq, "logits": logits} | split(oracle.forward_flops(model, batch, seq, logits))
        for batch, seq, logits in (BRIEF_FORWARD if brief else FORWARD)
        if logits == "all" or oracle.keeps_last(model)
    ]
    if oracle.generates(model):
        case["decode"] = [
            {"batch": batch, "cached": cached} | split(oracle.decode_flops(model, batch, cached))
            for batch, cached in (BRIEF_DECODE if brief else DECODE)
        ]
    key = "matmul_without_scan" if model_type in variations.SCANS else "matmul"
    case["train_flops"] = [
        {"batch": batch, "seq": seq}
        | {key if k == "matmul" else k: n for k, n in split(oracle.training_flops(model, batch, seq)).items()}
        for batch, seq in TRAIN
    ]
    if (length := oracle.encoder_length(model)) is not None:
        for entry in (*case["flops"], *case.get("decode", ()), *case["train_flops"]):
            entry["encoder"] = length
    if brief:
        return case | ({"note": "; ".join(notes)} if notes else {})
    if model_type not in variations.SCANS:
        case["saved_bytes"] = [
            {"batch": batch, "seq": seq}
            | {kind: oracle.saved_bytes(config, batch, seq, kind) for kind in ("eager", "sdpa")}
            for batch, seq in SAVED
        ]
    if reason := variations.CANNOT_SEE.get((model_type, name)):
        notes.append(f"no image passes the tower: {reason}")
    elif counted.towers:
        grids = variations.GRIDS if "visual" in counted.towers else (None,)
        case["vision"] = [{"grid": grid and list(grid)} | split(oracle.vision_flops(model, grid)) for grid in grids]
    return case | ({"note": "; ".join(notes)} if notes else {})


def split(flops: oracle.Flops) -> dict[str, int]:
    """The parts that are not zero."""
    parts = {"matmul": flops.matmul}
    if flops.convolution:
        parts["convolution"] = flops.convolution
    if flops.scan:
        parts |= {"scan": flops.scan, "matmul_without_scan": flops.matmul - flops.scan}
    return parts


HEAD = ["family", "config", "parameters", "tensors", "forward", "decode", "saved", "sdpa"]
WIDTHS = (13, 40, 18, 9, 20, 18, 16, 16)


def line(cells: list[str]) -> str:
    """A row of the summary, names left, numbers right."""
    pairs = zip(cells, WIDTHS, strict=True)
    return "".join(cell.rjust(width) if place > 1 else cell.ljust(width) for place, (cell, width) in enumerate(pairs))


def summary(case: dict[str, Any]) -> list[str]:
    """The first forward, decode and saved_bytes of a case."""
    forward, decode, saved = (case.get(key, [{}])[0] for key in ("flops", "decode", "saved_bytes"))
    numbers = (
        case["parameters"],
        case["tensors"],
        forward.get("matmul"),
        decode.get("matmul"),
        saved.get("eager"),
        saved.get("sdpa"),
    )
    return [case["model_type"], case["name"], *("-" if number is None else f"{number:,}" for number in numbers)]


def write(cases: list[dict[str, Any]], groups: set[str]) -> None:
    for group in sorted(groups):
        mine = [case for case in cases if variations.GROUP_OF[case["model_type"]] == group]
        if mine:
            rows = ",\n".join(json.dumps(case, separators=(",", ":")) for case in mine)
            (GOLDEN / f"{group}.json").write_text(f"[\n{rows}\n]\n", encoding="utf-8")


def check_anchors() -> int:
    """The number of anchors that are not reproduced."""
    wrong = 0
    for config, run, arguments, expected, unit in ANCHORS:
        found = run(oracle.build(config), *arguments).matmul
        if round(found / unit, 4) != expected:
            wrong += 1
            print(f"anchor {config['model_type']} {run.__name__}{arguments}: {found:,}, expected {expected} x {unit:g}")
    return wrong


def check_published(path: Path) -> int:
    """The number of rows whose parameters.total is not the oracle's, among the families with variations."""
    wrong = rows = 0
    for text in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(text)
        config = row["config"]
        if config.get("model_type") not in variations.TYPES:
            continue
        rows += 1
        found, expected = oracle.parameters(oracle.build(config)).total, row["parameters"]["total"]
        if found != expected:
            wrong += 1
            print(f"{row['repo_id']} ({config['model_type']}): {found:,}, the file has {expected:,}")
    print(f"{rows} rows, {wrong} differ")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", metavar="family", help="model types; all when none is named")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 on a difference")
    parser.add_argument("--published", type=Path, metavar="FILE", help="compare the parameter totals of FILE instead")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    if options.published:
        return int(check_published(options.published) > 0)
    if unknown := set(options.families) - variations.TYPES.keys():
        parser.error(f"no variations for {', '.join(sorted(unknown))}; there are {', '.join(variations.TYPES)}")

    stored = {}
    for file in sorted(GOLDEN.glob("*.json")):
        for case in json.loads(file.read_text(encoding="utf-8")):
            stored[case["model_type"], case["name"]] = case
    cases, wrong = [], 0 if options.families else check_anchors()
    print(line(HEAD))
    for model_type, name, config in variations.cases():
        if options.families and model_type not in options.families:
            cases += [stored[model_type, name]] if (model_type, name) in stored else []
            continue
        case = measured(model_type, name, config)
        cases.append(case)
        same = case == stored.get((model_type, name))
        wrong += options.check and not same
        print(line(summary(case)) + ("" if same or not options.check else "  differs"), flush=True)
    if options.check:
        gone = stored.keys() - {(case["model_type"], case["name"]) for case in cases}
        wrong += len(gone)
        print("".join(f"{' '.join(key)} is no longer a variation\n" for key in sorted(gone)), end="")
    else:
        write(cases, {variations.GROUP_OF[kind] for kind in options.families or variations.TYPES})
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
