"""What tensors' names say: embedding or norm, attention or expert, language model or tower."""

from __future__ import annotations

import re

TOWERS = re.compile(
    r"vision|visual|\bvit\b|image|audio|speech|sound|mm_|multi_modal|multimodal|projector|connector|resampler|vpm|apm|"
    r"aligner|merger|patch_embed|encoder\b|embed_vision|embed_audio",
    re.IGNORECASE,
)
EMBEDDINGS = re.compile(
    r"(?:.*\.)?(?:\w*embed_tokens\w*|wte|word_embeddings?|tok_embeddings|embed_in|\w*token_embd|embed|embeddings?)"
)
POSITIONS = re.compile(
    r"(?:.*\.)?(?:wpe|embed_positions|position_embeddings?|position_embd|token_type_embeddings?|token_types)"
)
HEADS = re.compile(r"(?:.*\.)?(?:lm_head|embed_out|output|head|score|classifier|output_projection)")
NORMS = re.compile(r"norm|(?:^|[._])ln(?:_?\w{0,3})?$|layernorm", re.IGNORECASE)
EXPERT = re.compile(r"(.*\bexperts?\.)(\d+)(\..*)")
RECURRENT = re.compile(
    r"ssm|mamba|linear_attn|lightning|conv1d|short_conv|rwkv|time_mix|delta|recurrent|rglru|shortconv|(?:^|\.)conv(?:\.|$)|\bmixer\b|a_log"
)
SPARSE = re.compile(r"indexer|compressor")  # an attention that sees a choice of tokens only
STREAMS = re.compile(r"altup|laurel|hyper_connection|\bhc_")  # several residual streams: not one product a token
ATTENTION = re.compile(r"attn|attention|\bmixer\b|(?:^|[._])[qkv]_proj")
QUERY = re.compile(r"(?:.*[._])?(?:q_proj|wq|attn_q|query|q|to_q|q_b_proj|attn_q_b)")
KEY = re.compile(r"(?:.*[._])?(?:k_proj|wk|attn_k|key|k|to_k)")
VALUE = re.compile(r"(?:.*[._])?(?:v_proj|wv|attn_v|value|v|to_v)")
FUSED = re.compile(r"(?:.*[._])?(?:qkv_proj|wqkv|attn_qkv|query_key_value|c_attn|qkv|Wqkv)")


def is_bias(name: str) -> bool:
    """Whether a tensor of that name is a bias."""
    return name.endswith(".bias")


def component_of(name: str) -> str:
    """The component that a tensor of that name belongs to."""
    lower = name.lower()
    if "shexp" in lower or "shared_expert" in lower:
        return "mlp"
    if "exps" in lower or "expert" in lower:
        return "experts"
    if re.search(r"router|gate_inp|(?:^|\.)(?:gate|wg)$", lower):
        return "router"
    if RECURRENT.search(lower):
        return "recurrent"
    return "attention" if ATTENTION.search(lower) else "mlp"
