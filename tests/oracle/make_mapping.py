"""Writes tests/data/mapping.json: which model types transformers reads as what, and whether their class defaults build.

    python tests/oracle/make_mapping.py           writes the file
    python tests/oracle/make_mapping.py --check   exits 1 if it is not what would be written

One entry a model type of the mappings below: its class in each, and for the causal language models `builds`: true, or
why the class default does not build on the meta device.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

OUTPUT = Path(__file__).parents[1] / "data" / "mapping.json"
MAPPINGS = {
    "causal": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "multimodal": "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES",
    "image_text": "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES",
    "seq2seq": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "speech": "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES",
    "masked": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
}


def builds(model_type: str, architecture: str) -> bool | str:
    """Whether the class default builds, or the reason why not."""
    try:
        config = CONFIG_MAPPING[model_type]()
        with torch.device("meta"):
            getattr(transformers, architecture)._from_config(config, dtype=torch.bfloat16)
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
    return True


def mapping() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, variable in MAPPINGS.items():
        for model_type, architecture in getattr(modeling_auto, variable).items():
            found.setdefault(model_type, {})[name] = architecture
    for model_type, entry in found.items():
        if "causal" in entry:
            entry["builds"] = builds(model_type, entry["causal"])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    rows = [f"{json.dumps(kind)}: {json.dumps(entry)}" for kind, entry in sorted(mapping().items())]
    text = f'{{"source": "transformers {transformers.__version__}", "types": {{\n' + ",\n".join(rows) + "\n}}\n"
    if options.check:
        same = OUTPUT.read_text(encoding="utf-8") == text
        print("up to date" if same else f"{OUTPUT} is stale; run this without --check")
        return int(not same)
    OUTPUT.write_text(text, encoding="utf-8")
    print(f"{OUTPUT}: {len(rows)} types")
    return 0


if __name__ == "__main__":
    sys.exit(main())
