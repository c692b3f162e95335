"""What llama.cpp's converter calls a checkpoint's tensors.

Source: ggml-org/llama.cpp, gguf-py/gguf/tensor_mapping.py, and the modify_tensors of conversion/*.py where a tensor is
split, joined or renamed on the way.
"""

from __future__ import annotations

import re

from calculator.limits import remembered

_LAYER = """
input_layernorm                     attn_norm
post_attention_layernorm            ffn_norm
self_attn.q_proj                    attn_q
self_attn.k_proj                    attn_k
self_attn.v_proj                    attn_v
self_attn.o_proj                    attn_output
self_attn.out_proj                  attn_output
self_attn.dense                     attn_output
self_attn.qkv_proj                  attn_qkv
self_attn.q_norm                    attn_q_norm
self_attn.k_norm                    attn_k_norm
self_attn.query_layernorm           attn_q_norm
self_attn.key_layernorm             attn_k_norm
self_attn.q_layernorm               attn_q_norm
self_attn.k_layernorm               attn_k_norm
self_attn.q_a_proj                  attn_q_a
self_attn.q_a_layernorm             attn_q_a_norm
self_attn.q_b_proj                  attn_q_b
self_attn.kv_a_proj_with_mqa        attn_kv_a_mqa
self_attn.kv_a_layernorm            attn_kv_a_norm
self_attn.kv_b_proj                 attn_k_b+attn_v_b|attn_kv_b
self_attn.indexer.wq_b              indexer.attn_q_b
self_attn.indexer.wk                indexer.attn_k
self_attn.indexer.k_norm            indexer.k_norm
self_attn.indexer.weights_proj      indexer.proj
attention.wqkv                      attn_q+attn_k+attn_v
attention.wo                        attn_output
attention_norm                      attn_norm
mlp.gate_proj                       ffn_gate
mlp.up_proj                         ffn_up
mlp.down_proj                       ffn_down
mlp.gate_up_proj                    ffn_up
mlp.fc1                             ffn_up
mlp.fc2                             ffn_down
mlp.c_fc                            ffn_up
mlp.c_proj                          ffn_down
mlp.gate                            ffn_gate_inp
mlp.gate.wg                         ffn_gate_inp
mlp.router                          ffn_gate_inp
mlp.experts.*.gate_proj             ffn_gate_exps
mlp.experts.*.up_proj               ffn_up_exps
mlp.experts.*.down_proj             ffn_down_exps
mlp.shared_expert_gate              ffn_gate_inp_shexp
mlp.shared_expert.gate_proj         ffn_gate_shexp
mlp.shared_expert.up_proj           ffn_up_shexp
mlp.shared_expert.down_proj         ffn_down_shexp
mlp.shared_experts.gate_proj        ffn_gate_shexp
mlp.shared_experts.up_proj          ffn_up_shexp
mlp.shared_experts.down_proj        ffn_down_shexp
mlp.shared_mlp.gate_proj            ffn_gate_shexp
mlp.shared_mlp.up_proj              ffn_up_shexp
mlp.shared_mlp.down_proj            ffn_down_shexp
block_sparse_moe.gate               ffn_gate_inp
block_sparse_moe.experts.*.w1       ffn_gate_exps
block_sparse_moe.experts.*.w3       ffn_up_exps
block_sparse_moe.experts.*.w2       ffn_down_exps
block_sparse_moe.router.layer       ffn_gate_inp
block_sparse_moe.input_linear       ffn_gate_exps+ffn_up_exps
block_sparse_moe.output_linear      ffn_down_exps
shared_mlp.input_linear             ffn_gate_shexp+ffn_up_shexp|ffn_gate+ffn_up
shared_mlp.output_linear            ffn_down_shexp|ffn_down
pre_feedforward_layernorm           ffn_norm
post_feedforward_layernorm          post_ffw_norm
post_self_attn_layernorm            post_attention_norm
post_mlp_layernorm                  post_ffw_norm
pre_ff_layernorm                    ffn_norm
operator_norm                       attn_norm
ffn_norm                            ffn_norm
feed_forward.w1                     ffn_gate
feed_forward.w3                     ffn_up
feed_forward.w2                     ffn_down
feed_forward.gate                   ffn_gate_inp
feed_forward.experts.*.w1           ffn_gate_exps
feed_forward.experts.*.w3           ffn_up_exps
feed_forward.experts.*.w2           ffn_down_exps
feed_forward.gate_proj              ffn_gate
feed_forward.up_proj                ffn_up
feed_forward.down_proj              ffn_down
conv.in_proj                        shortconv.in_proj
conv.conv                           shortconv.conv
conv.out_proj                       shortconv.out_proj
mamba.in_proj                       ssm_in
mamba.conv1d                        ssm_conv1d
mamba.norm                          ssm_norm
mamba.out_proj                      ssm_out
mixer.in_proj                       ssm_in
mixer.conv1d                        ssm_conv1d
mixer.x_proj                        ssm_x
mixer.dt_proj                       ssm_dt
mixer.norm                          ssm_norm
mixer.out_proj                      ssm_out
mixer.q_proj                        attn_q
mixer.k_proj                        attn_k
mixer.v_proj                        attn_v
mixer.o_proj                        attn_output
mixer.up_proj                       ffn_up
mixer.down_proj                     ffn_down
mixer.gate                          ffn_gate_inp
mixer.experts.*.up_proj             ffn_up_exps
mixer.experts.*.down_proj           ffn_down_exps
mixer.shared_experts.up_proj        ffn_up_shexp
mixer.shared_experts.down_proj      ffn_down_shexp
mixer.fc1_latent_proj               ffn_latent_down
mixer.fc2_latent_proj               ffn_latent_up
norm                                attn_norm
linear_attn.in_proj_qkvz            attn_qkv+attn_gate|ssm_in
linear_attn.in_proj_ba              ssm_ba
linear_attn.in_proj_qkv             attn_qkv
linear_attn.in_proj_z               attn_gate
linear_attn.in_proj_b               ssm_beta
linear_attn.in_proj_a               ssm_alpha
linear_attn.conv1d                  ssm_conv1d
linear_attn.norm                    ssm_norm
linear_attn.out_proj                ssm_out
altup.router_norm                   altup_router_norm
altup.modality_router               altup_router
altup.prediction_coefs              altup_predict_coef
altup.correction_coefs              altup_correct_coef
laurel.linear_left                  laurel_l
laurel.linear_right                 laurel_r
laurel.post_laurel_norm             laurel_post_norm
per_layer_input_gate                inp_gate
per_layer_projection                proj
post_per_layer_input_norm           post_norm
post_feedforward_layernorm_1        post_ffw_norm_1
pre_feedforward_layernorm_2         pre_ffw_norm_2
post_feedforward_layernorm_2        post_ffw_norm_2
router.proj                         ffn_gate_inp
attention.self.query                attn_q
attention.self.key                  attn_k
attention.self.value                attn_v
attention.output.dense              attn_output
attention.output.LayerNorm          attn_output_norm
intermediate.dense                  ffn_up
output.dense                        ffn_down
output.LayerNorm                    layer_output_norm
attn.Wqkv                           attn_qkv
attn.out_proj                       attn_output
attn.Wo                             attn_output
attn_norm                           attn_norm
norm1                               attn_output_norm
norm2                               layer_output_norm
mlp.fc11                            ffn_up
mlp.fc12                            ffn_gate
mlp.Wi                              ffn_up
mlp.Wo                              ffn_down
mlp_norm                            ffn_norm
embed_tokens                        nextn.embed_tokens
ln1                                 attn_norm
ln2                                 attn_norm_2
attention.key                       time_mix_key
attention.value                     time_mix_value
attention.receptance                time_mix_receptance
attention.gate                      time_mix_gate
attention.output                    time_mix_output
attention.ln_x                      time_mix_ln
feed_forward.key                    channel_mix_key
feed_forward.value                  channel_mix_value
feed_forward.receptance             channel_mix_receptance
enorm                               nextn.enorm
hnorm                               nextn.hnorm
eh_proj                             nextn.eh_proj
shared_head.norm                    nextn.shared_head_norm
shared_head.head                    nextn.shared_head_head
"""

_WHOLE = """
self_attn.sinks                              attn_sinks.weight
mlp.experts.gate_up_proj                     ffn_gate_exps.weight+ffn_up_exps.weight|ffn_gate_up_exps.weight
mlp.experts.gate_up_proj_bias                ffn_gate_exps.bias+ffn_up_exps.bias|ffn_gate_up_exps.bias
mlp.experts.down_proj                        ffn_down_exps.weight
mlp.experts.down_proj_bias                   ffn_down_exps.bias
experts.gate_up_proj                         ffn_gate_up_exps.weight|ffn_gate_exps.weight+ffn_up_exps.weight
experts.down_proj                            ffn_down_exps.weight
mlp.gate.e_score_correction_bias             exp_probs_b.bias
mlp.moe_statics.e_score_correction_bias      exp_probs_b.bias
block_sparse_moe.e_score_correction_bias     exp_probs_b.bias
feed_forward.expert_bias                     exp_probs_b.bias
mixer.gate.e_score_correction_bias           exp_probs_b.bias
mamba.A_log                                  ssm_a
mamba.D                                      ssm_d
mamba.dt_bias                                ssm_dt.bias
mixer.A_log                                  ssm_a
mixer.D                                      ssm_d
mixer.dt_bias                                ssm_dt.bias
linear_attn.A_log                            ssm_a
linear_attn.dt_bias                          ssm_dt.bias
altup.correct_output_scale                   altup_correct_scale.weight
attention.time_maa_x                         time_mix_lerp_x.weight
attention.time_maa_w                         time_mix_lerp_fused.weight|time_mix_lerp_w.weight
attention.time_maa_k                         time_mix_lerp_fused.weight|time_mix_lerp_k.weight
attention.time_maa_v                         time_mix_lerp_fused.weight|time_mix_lerp_v.weight
attention.time_maa_r                         time_mix_lerp_fused.weight|time_mix_lerp_r.weight
attention.time_maa_g                         time_mix_lerp_fused.weight|time_mix_lerp_g.weight
attention.time_maa_w1                        time_mix_w1.weight
attention.time_maa_w2                        time_mix_w2.weight
attention.time_decay                         time_mix_decay.weight
attention.time_decay_w1                      time_mix_decay_w1.weight
attention.time_decay_w2                      time_mix_decay_w2.weight
attention.time_faaaa                         time_mix_first.weight
feed_forward.time_maa_k                      channel_mix_lerp_k.weight
feed_forward.time_maa_r                      channel_mix_lerp_r.weight
layer_scalar                                 layer_output_scale.weight
router.scale                                 ffn_gate_inp.scale
router.per_expert_scale                      ffn_down_exps.scale
"""

_OUTSIDE = """
embed_tokens                        token_embd
embeddings                          token_embd
tok_embeddings                      token_embd
word_embeddings                     token_embd
shared                              token_embd
position_embeddings                 position_embd
token_type_embeddings               token_types
embeddings.LayerNorm                token_embd_norm
emb_ln                              token_embd_norm
embeddings.norm                     token_embd_norm
norm                                output_norm
norm_f                              output_norm
final_norm                          output_norm
final_layernorm                     output_norm
embedding_norm                      token_embd_norm|output_norm
lm_head                             output
head                                output
ln_out                              output_norm
output                              output
embed_tokens_per_layer              per_layer_token_embd
per_layer_model_projection          per_layer_model_proj
per_layer_projection_norm           per_layer_proj_norm
mtp.pre_fc_norm_embedding           nextn.enorm
mtp.pre_fc_norm_hidden              nextn.hnorm
mtp.fc                              nextn.eh_proj
mtp.norm                            nextn.shared_head_norm
encoder.final_layer_norm            enc.output_norm
decoder.final_layer_norm            dec.output_norm
"""

_T5 = """
layer.0.layer_norm                              attn_norm
layer.0.SelfAttention.relative_attention_bias   attn_rel_b
layer.0.SelfAttention.q                         attn_q
layer.0.SelfAttention.k                         attn_k
layer.0.SelfAttention.v                         attn_v
layer.0.SelfAttention.o                         attn_o
layer.1.EncDecAttention.q                       cross_attn_q
layer.1.EncDecAttention.k                       cross_attn_k
layer.1.EncDecAttention.v                       cross_attn_v
layer.1.EncDecAttention.o                       cross_attn_o
"""

POST_NORMS = frozenset(
    ("exaone4", "gemma2", "gemma3", "gemma3n", "gemma4", "glm4moe", "gpt-oss", "olmo2", "qwen35", "qwen35moe")
) | {"qwen3next", "seed_oss"}
"""Architectures whose post_attention_layernorm keeps that name; elsewhere it is the norm in front of the MLP."""

Names = tuple[tuple[str, ...], ...]
"""The ways a tensor may be stored: each is the tensors that hold it together."""


def _table(text: str) -> dict[str, str]:
    return dict(line.split() for line in text.strip().splitlines())


LAYER, WHOLE, OUTSIDE, T5 = map(_table, (_LAYER, _WHOLE, _OUTSIDE, _T5))


def stored_as(name: str, architecture: str = "", layers: int = 0) -> Names:
    """The GGUF names of a checkpoint's tensor; () where none is known.

    Args:
        name: in the safetensors checkpoint, with a star for the number of an expert.
        architecture: as general.architecture spells it. layers: of the model, after which those of MTP are numbered.
    """
    if altup := _ALTUP.fullmatch(name):
        return (("altup_unembd_proj.weight" if altup[1] else "altup_proj.weight",),)
    if side := _SIDE.fullmatch(name):
        return _below(f"{side[1][:3]}.blk.{side[2]}.", _of_t5(side[3], side[1] == "decoder"))
    if first := _RWKV.fullmatch(name):
        return ((f"token_embd_norm{first[1]}",),)
    place = _PLACE.match(name)
    if place is None:
        return _outside(name, layers)
    number = int(place[2]) + (layers if place[1] == "mtp" else 0)
    return _below(f"blk.{number}.", _of_layer(place[3], architecture))


_ALTUP = re.compile(r"model\.altup_(unembed_)?projections\.\d+\.weight")
_SIDE = re.compile(r"(encoder|decoder)\.block\.(\d+)\.(layer\..+)")
"""T5's sides."""
_RWKV = re.compile(r"rwkv\.blocks\.0\.pre_ln(\.\w+)")
_PLACE = re.compile(r"(?:(.*)\.)?(?:layers|layer|h|block|blocks)\.(\d+)\.(.+)")


def _below(prefix: str, ways: Names) -> Names:
    return tuple([tuple([prefix + name for name in way]) for way in ways])


@remembered(2048)
def _of_t5(inner: str, decoder: bool) -> Names:
    return _with_suffix(inner, _t5(inner, decoder))


@remembered(2048)
def _of_layer(inner: str, architecture: str) -> Names:
    return _spelled(WHOLE[inner], "", "") if inner in WHOLE else _with_suffix(inner, _renamed(architecture))


@remembered(64, longest=20)
def _renamed(architecture: str) -> dict[str, str]:
    changes: dict[str, str] = {}
    if architecture in POST_NORMS:
        changes["post_attention_layernorm"] = "post_attention_norm|attn_post_norm"
    if architecture == "modern-bert":
        changes |= {"attn.Wqkv": "attn_qkv"}
    return LAYER | changes


def _t5(inner: str, decoder: bool) -> dict[str, str]:
    """T5 numbers the steps of a layer: the MLP is the second of the encoder's and the third of the decoder's."""
    last = f"layer.{2 if decoder else 1}"
    found = T5 | {f"{last}.layer_norm": "ffn_norm", f"{last}.DenseReluDense.wo": "ffn_down"}
    found |= {f"{last}.DenseReluDense.{a}": b for a, b in (("wi", "ffn_up"), ("wi_0", "ffn_gate"), ("wi_1", "ffn_up"))}
    return found | ({"layer.1.layer_norm": "cross_attn_norm"} if decoder else {})


def _outside(name: str, layers: int) -> Names:
    words = name.split(".")
    for first in range(len(words)):
        inner = ".".join(words[first:])
        for kind in (".weight", ".bias", ""):
            stem = inner.removesuffix(kind) if kind else inner
            if inner.endswith(kind) and stem in OUTSIDE:
                prefix = f"blk.{layers}." if OUTSIDE[stem].startswith("nextn") else ""
                return _spelled(OUTSIDE[stem], kind, prefix)
    return ()


def _with_suffix(inner: str, table: dict[str, str]) -> Names:
    kind = next((k for k in (".weight", ".bias") if inner.endswith(k)), "")
    found = table.get(inner.removesuffix(kind)) if kind else None
    return _spelled(found, kind, "") if found else ()


def _spelled(text: str, kind: str, prefix: str) -> Names:
    return tuple(tuple(f"{prefix}{stem}{kind}" for stem in way.split("+")) for way in text.split("|"))
