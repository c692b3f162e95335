"""What the small configs are made of: sizes that differ from one another wherever a family allows."""

from __future__ import annotations

from typing import Any

DENSE = {
    "vocab_size": 1009,
    "hidden_size": 192,
    "intermediate_size": 352,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
}
# The default ids lie outside a small vocabulary.
NO_IDS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
MOE = DENSE | {"num_experts": 7, "num_experts_per_tok": 3, "moe_intermediate_size": 72}
MLA = DENSE | {
    "num_hidden_layers": 4,
    "num_key_value_heads": 6,
    "q_lora_rank": 56,
    "kv_lora_rank": 40,
    "qk_nope_head_dim": 24,
    "qk_rope_head_dim": 16,
    "v_head_dim": 36,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 72,
    "first_k_dense_replace": 1,
}
VISION = {
    "depth": 3,
    "hidden_size": 96,
    "intermediate_size": 136,
    "num_heads": 4,
    "patch_size": 14,
    "out_hidden_size": 192,
    "num_position_embeddings": 64,
    "deepstack_visual_indexes": [0, 2],
}
SIGLIP = {
    "model_type": "siglip_vision_model",
    "hidden_size": 96,
    "intermediate_size": 136,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 112,
    "patch_size": 14,
    "vision_use_head": False,
}
YARN = {
    "type": "yarn",
    "factor": 40,
    "original_max_position_embeddings": 4096,
    "beta_fast": 32,
    "beta_slow": 1,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
}
LONGROPE = {"type": "longrope", "short_factor": [1.0] * 16, "long_factor": [2.0] * 16}
FULL, SLIDING, LINEAR = "full_attention", "sliding_attention", "linear_attention"
# The architecture, the small config, and what each variation changes in it.
Type = tuple[str, dict[str, Any], dict[str, dict[str, Any]]]

MAMBA_NOTE = "the products of the state with C, one a token"
MAMBA2_NOTE = "the chunked products over whole chunks of the chunk size; in decode the product with C"
DELTA_NOTE = "the chunked products over whole chunks of 64, no triangular solves; in decode no product"
INDEX_NOTE = "the indexer chooses by topk, so that no gradient reaches it"
MLA_NOTE = "decode expands the whole latent cache through kv_b_proj, nothing is absorbed"
ALL_EXPERTS_NOTE = "every token passes through all experts"
