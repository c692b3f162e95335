"""Writes tests/data/classes.json: parameters of the classes that transformers has for a type beside its language model.

    python tests/oracle/make_classes.py           writes the file
    python tests/oracle/make_classes.py --check   exits 1 if it is not what would be written

One row a class: model type, class, parameters on the meta device with the first recorded config of that type and three
labels where it classifies. OTHERWISE names those that the engine counts otherwise, and why; they are not written.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

DATA = Path(__file__).parents[1] / "data"
OUTPUT = DATA / "classes.json"
MAPPINGS = (
    "MODEL_MAPPING_NAMES",
    "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
)
LABELS = {"id2label": {"0": "a", "1": "b", "2": "c"}}
OTHERWISE = {
    "DeepseekV2Model": "the class's own default builds no mixture that could run",
    "DeepseekV2ForSequenceClassification": "the class's own default builds no mixture that could run",
    "Glm46VModel": "the type is another's (glmga), and the note says that the class is not known",
    "LlamaModel of internlm3": "the same",
    "LlamaModel of iquestcoder": "the same",
    "KyutaiSpeechToTextModel": "it leaves the codec out",
    "LongcatFlashModel": "transformers builds 256 experts too many",
    "Nemotron3_5TranscribeModel": "it leaves a part of the sound encoder out",
    "Qwen3ASRForTokenClassification": "its scores have no bias",
}


def configs() -> dict[str, dict[str, Any]]:
    """The first recorded config of each type."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted((DATA / "golden").glob("*.json")):
        for case in json.loads(file.read_text(encoding="utf-8")):
            found.setdefault(case["model_type"], case["config"])
    return found


def named(kind: str) -> Iterator[str]:
    for variable in MAPPINGS:
        classes = getattr(modeling_auto, variable).get(kind) or ()
        yield from (classes,) if isinstance(classes, str) else classes


def rows() -> Iterator[list[Any]]:
    for kind, config in sorted(configs().items()):
        for name in dict.fromkeys(named(kind)):
            if name in OTHERWISE or f"{name} of {kind}" in OTHERWISE:
                continue
            raw = {k: v for k, v in config.items() if k != "num_labels"} | {"architectures": [name]}
            raw |= LABELS if name.endswith("Classification") else {}
            with torch.device("meta"):
                model = getattr(transformers, name)._from_config(CONFIG_MAPPING[kind].from_dict(raw))
            yield [kind, name, sum(p.numel() for p in {id(p): p for p in model.parameters()}.values())]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    lines = ",\n".join(json.dumps(row) for row in rows())
    text = f'{{"source": "transformers {transformers.__version__}", "classes": [\n{lines}\n]}}\n'
    if options.check:
        same = OUTPUT.read_text(encoding="utf-8") == text
        print("up to date" if same else f"{OUTPUT} is stale; run this without --check")
        return int(not same)
    OUTPUT.write_text(text, encoding="utf-8")
    print(f"{OUTPUT}: {lines.count(chr(10)) + 1} classes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
