"""Writes docs/MODELS.md: every model type that is read, and how far it equals transformers.

    python docs/make_models.py            writes the page, and the summary in README.md
    python docs/make_models.py --check    exits 1 if either is not what would be written

The counts come from comparing the engine with tests/data/golden, which tests/oracle/make_golden.py records from
transformers on torch's meta device; tests/data/mapping.json says what transformers reads as what.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import test_golden as golden  # noqa: E402
import variations  # noqa: E402

from calculator import estimate  # noqa: E402
from calculator.families import FAMILIES  # noqa: E402
from calculator.sources.checkpoint.llama_cpp.architectures import ARCHITECTURES  # noqa: E402

PAGE, README = ROOT / "docs" / "MODELS.md", ROOT / "README.md"
MAPPING = json.loads((ROOT / "tests" / "data" / "mapping.json").read_text(encoding="utf-8"))
PASSES = (("flops", "prefill"), ("decode", "decode"), ("train_flops", "pretraining"))
KINDS = {
    "causal": "causal language model",
    "image_text": "image-text-to-text",
    "multimodal": "multimodal",
    "seq2seq": "encoder-decoder",
    "speech": "speech to text",
    "masked": "encoder",
}


@dataclass
class Score:
    """Of one model type: configurations, and how many are equal in parameters, tensors and (workloads) FLOPs."""

    cases: int = 0
    parameters: int = 0
    tensors: int = 0
    workloads: int = 0
    flops: int = 0
    explained: str = ""  # why transformers is not the truth

    @property
    def exact(self) -> bool:
        """Whether every recorded number agrees."""
        return self.parameters == self.tensors == self.cases and self.flops == self.workloads


def scores() -> dict[str, Score]:
    """Every recorded type compared with the engine."""
    found: dict[str, Score] = {}
    for case in golden.CASES:
        score = found.setdefault(case["model_type"], Score())
        if (case["model_type"], case["name"]) in variations.CANNOT_RUN:
            continue
        model = golden.model_of(case)
        score.cases += 1
        unloaded = variations.UNLOADED.get(case["model_type"])
        score.parameters += model.parameters.total - (unloaded(model) if unloaded else 0) == case["parameters"]
        if case["model_type"] in variations.ADDED:
            score.explained = " ".join((variations.ADDED[case["model_type"]].__doc__ or "").split())
        score.tensors += same_tensors(case, model)
        for key, mode in PASSES:
            for entry in case.get(key, ()):
                options = {"logits": entry["logits"]} if key == "flops" else {}
                w = golden.workload(entry, mode=mode, **options)
                mine = golden.counted(estimate(model, w).flops) + golden.apart(case, model, w)
                score.workloads += 1
                score.flops += mine == golden.recorded(entry)
    return found


def same_tensors(case: dict[str, Any], model: Any) -> bool:
    lines = [f"{name} {'x'.join(map(str, shape))}" for name, shape in golden.tensors_of(case, model)]
    expected = case.get("checkpoint", case)
    digest = hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]
    return len(lines) == expected["tensors"] and digest == expected["shapes_sha"]


def remarks(kind: str) -> str:
    """What transformers does otherwise, and why."""
    found = []
    if kind in variations.NO_DEFAULT:
        found.append(f"no class default: {variations.NO_DEFAULT[kind]}")
    found += [f"{name} cannot run: {why}" for (of, name), why in variations.CANNOT_RUN.items() if of == kind]
    if kind in variations.SCANS:
        found.append(f"priced as the recurrence, compared without the scan ({variations.SCANS[kind]})")
    if kind in variations.NOTES:
        found.append(variations.NOTES[kind])
    unloaded = variations.UNLOADED.get(kind)
    for more in ((unloaded,) if unloaded else ()) + variations.BEYOND.get(kind, ()):
        said = (more.__doc__ or "").split("\n\n")[0]
        found.append(" ".join(said.split()))
    return "; ".join(dict.fromkeys(f.rstrip(".") for f in found))


def table(columns: Iterable[str], rows: Iterable[Iterable[str]], numbers: int = 0) -> str:
    columns = list(columns)
    rule = ["---"] * (len(columns) - numbers - 1) + ["--:"] * numbers + ["---"] if numbers else ["---"] * len(columns)
    lines = ["| " + " | ".join(columns) + " |", "|" + "|".join(rule) + "|"]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def read_as(kind: str) -> str:
    entry = MAPPING["types"].get(kind, {})
    names = [title for name, title in KINDS.items() if name in entry]
    if "image-text-to-text" in names and "multimodal" in names:
        names.remove("multimodal")
    return ", ".join(names) or "part of another type"


def page(found: dict[str, Score]) -> str:
    rows = [
        (
            f"`{kind}`",
            read_as(kind),
            s.cases,
            f"{s.parameters}",
            f"{s.tensors}",
            f"{s.flops} of {s.workloads}" if s.workloads else "",
            remarks(kind),
        )
        for kind, s in sorted(found.items())
    ]
    others = sorted(set(FAMILIES) - set(found))
    causal = {k: e for k, e in MAPPING["types"].items() if "causal" in e}
    unread = [(f"`{k}`", e["causal"], reason(e)) for k, e in sorted(causal.items()) if k not in FAMILIES]
    inexact = [k for k, s in found.items() if not s.exact]
    return "\n".join(
        [
            "# Model types",
            "",
            f"Generated by `docs/make_models.py` from comparisons with {MAPPING['source']} on torch's meta device. A",
            "configuration is the class default or a variation of a small config, written as the diff that",
            "`save_pretrained` writes; equal means `==` in the number of parameters, in every tensor's name and shape,",
            "and in the matrix FLOPs of forward, decode and training steps (varied in tests/oracle/variations).",
            "",
            *summary(found).splitlines(),
            "",
            "Not equal: "
            + ("; ".join(f"`{k}` ({found[k].explained.rstrip('.')})" for k in inexact) or "none of the types below")
            + ".",
            "",
            "## Compared with transformers",
            "",
            table(
                (
                    "type",
                    "what it is",
                    "configurations",
                    "parameters equal",
                    "tensors equal",
                    "FLOPs equal",
                    "what transformers does otherwise",
                ),
                rows,
                4,
            ),
            "",
            "## Read, but not built by transformers as a whole",
            "",
            "Types of remote code, older names and configurations that transformers refuses. They are held against",
            "published counts (docs/VALIDATION.md, tests/test_families.py):",
            "",
            ", ".join(f"`{k}`" for k in others) + ".",
            "",
            "## GGUF files",
            "",
            "Of these architectures (general.architecture) the metadata become the config of the original, whose type",
            "stands in brackets; tests/checkpoint/test_gguf_families.py writes files of nearly all and compares.",
            "Files of other architectures, and files that lack what the original has, are read from their headers.",
            "",
            ", ".join(map(gguf, sorted(ARCHITECTURES))) + ".",
            "",
            "## Causal language models of transformers that no family reads",
            "",
            "Their weights, linear FLOPs and stated caches are still counted from the checkpoint's headers.",
            "",
            table(("type", "class", "why"), unread) if unread else "None.",
            "",
        ]
    )


def gguf(architecture: str) -> str:
    kind = ARCHITECTURES[architecture].model_type
    return f"`{architecture}` ({GGUF_KINDS[architecture] if callable(kind) else kind})"


GGUF_KINDS = {
    "deepseek2": "deepseek_v2, deepseek_v3",
    "granitemoe": "granitemoe, granitemoeshared",
    "llama": "llama, mixtral",
    "olmo2": "olmo2, olmo3",
    "t5": "t5, umt5",
    "t5encoder": "t5, umt5",
}
"""The types of architectures whose files tell which of several they are."""


def reason(entry: dict[str, Any]) -> str:
    return "not written yet" if entry["builds"] is True else f"its class default does not build: {entry['builds']}"


def summary(found: dict[str, Score]) -> str:
    """What README.md says."""
    causal = {k for k, e in MAPPING["types"].items() if "causal" in e}
    building = {k for k in causal if MAPPING["types"][k]["builds"] is True}
    exact = {k for k, s in found.items() if s.exact}
    cases = sum(s.cases for s in found.values())
    workloads = sum(s.workloads for s in found.values())
    lines = [
        f"- {len(FAMILIES)} model types are read; {len(found)} of them are compared with {MAPPING['source']}, "
        f"{len(exact)} are equal on every one of {cases:,} configurations and {workloads:,} workloads.",
        f"- Of the {len(causal)} types that AutoModelForCausalLM knows, {len(building)} build from their class "
        f"defaults; {len(building & exact)} of those are exact on every configuration.",
    ]
    return "\n".join(lines)


def readme(found: dict[str, Score]) -> str:
    text = README.read_text(encoding="utf-8")
    before, rest = text.split("<!-- models -->\n", 1)
    after = rest.split("<!-- end of models -->", 1)[1]
    return f"{before}<!-- models -->\n{summary(found)}\n<!-- end of models -->{after}"


def main(arguments: list[str]) -> int:
    stale, found = 0, scores()
    for file, text in ((PAGE, page(found)), (README, readme(found))):
        if "--check" not in arguments:
            file.write_text(text, encoding="utf-8")
        elif not file.is_file() or file.read_text(encoding="utf-8") != text:
            print(f"{file.relative_to(ROOT)} is stale; run python docs/make_models.py", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
