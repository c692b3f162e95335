"""Vision-language types whose language model is another module's, and those with a language model of their own."""

from __future__ import annotations

from variations.images import PLAIN, SMALLER, TIED
from variations.pieces import DENSE, NO_IDS, Type

TEXT = DENSE | NO_IDS
ARIA = TEXT | {"moe_num_experts": 6, "moe_topk": 2, "moe_num_shared_experts": 2, "intermediate_size": 72}

TYPES: dict[str, Type] = {
    "aria": (
        "AriaForConditionalGeneration",
        {"text_config": ARIA, "vision_config": PLAIN | {"model_type": "idefics3_vision"}},
        {
            "small": {},
            "tied": TIED | {"vision_config": SMALLER, "projector_patch_to_query_dict": {"49": 11, "64": 23}},
        },
    ),
    "fuyu": (
        "FuyuForCausalLM",
        {
            "text_config": {
                "model_type": "persimmon",
                "vocab_size": 1009,
                "hidden_size": 192,
                "intermediate_size": 352,
                "num_hidden_layers": 3,
                "num_attention_heads": 6,
            },
            "patch_size": 12,
        },
        {
            "small": {},
            "tied, no norms": TIED | {"text_config": {"qk_layernorm": False}, "num_channels": 4},
            "Llama": {"text_config": TEXT | {"model_type": "llama"}},
        },
    ),
}
TRANSPOSED = {"aria": ("experts.fc1.weight", "experts.fc2.weight")}
