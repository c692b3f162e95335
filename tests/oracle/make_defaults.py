"""Writes calculator/data/defaults.json: what each model type assumes for the fields its config.json leaves out.

Run `python tests/oracle/make_defaults.py` where transformers is installed. The output depends on its version only.

One entry per model_type (a sub-config class without one is named "owner.field"), or the name of an identical entry:
  defaults      field -> value as the class declares it, before __post_init__ derives anything: null means "derived from
                other fields". A sub-config that is left out is built from its own defaults; where it stands here, from
                these arguments, and null means there is none
  aliases       key a config.json may use -> the name in `defaults`
  sub_configs   field -> model_type of its default class; auto_configs lists the fields whose own model_type decides
  fixed         field -> value the class sets whatever the config.json says
  ties          "text_config": the head is tied if the top-level flag or that sub-config's flag is true
No `tie_word_embeddings` means false.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import textwrap
from pathlib import Path

import transformers
from transformers import CONFIG_MAPPING, PreTrainedConfig
from transformers.utils import logging

OUTPUT = Path(__file__).parents[2] / "calculator" / "data" / "defaults.json"

# Floats are constants of the arithmetic (eps, scales, loss weights) unless they enter a shape or a length, or make
# backward keep a mask.
KEPT_FLOATS = re.compile(
    r"dropout|pdrop|drop_rate|capacity|ratio|expan|fraction|soft_?cap|sparsity|logit_cap|clip_qkv|layer_scale_init_value"
    r"|_mult$|dim_factor|proj_factor|scale_factors?$|reassemble_factors|layer_rope_theta"
    r"|^(width|depth)_(coefficient|multiplier)|(ffn|embed)_dim_multiplier|cae_init_values|mask_(time|feature)_prob"
    r"|^(scale|chunk_length_s|overlap|frame_ms|frame_rate)$"
)
# Names that no parameter, cache, precision or counted operation of a language model or its towers depends on.
DROPPED_PATTERNS = re.compile(
    "|".join(
        (
            # tokenizer and generation
            r"(^|_)(token|start|end|newline|image|video|prompt|bos|eos|pad|speaker|think|nothink)_ids?$|token_ids$",
            r"^(audio|video|image|bo[ia]|eo[ia])_token_index$|^(bos|eos|pad|unk|mask)_index$|^(sep|pad)_token$",
            r"suppress_tokens|length_penalty|no_repeat_ngram|^num_beams$|_n_top$|^return_",
            r"^output_(attentions|router_logits|retrieved|segmentation|auxiliary_logits|a3_attentions|range)$",
            # initial values, numerical constants, rotary frequencies
            r"initializer|^init_|_init$|_init_(std|option|scheme|mask_tokens|variance_scale)$|^linear_(dt|a_log)_",
            r"^(logit_scale|temperature)_init_value$|(^|_)eps(ilon)?$|_momentum$|temperature|^time_step_(l|m|f)",
            r"^rope_|^compress_rope_theta$|^rotary_(pct|dim|emb)",
            # losses, noise and stochastic depth of training
            r"(^|_)loss(_|$)|_cost$|(aux|loss|label)_coef|eos_coefficient|^matcher|^focal_alpha$|jitter|thresh|smoothing",
            r"noise_(scale|ratio)|(oversample|importance_sample|random_mask)_ratio|(dice|class|mask|bbox|giou)_weight$",
            r"^mask_(time|feature)_(length|min)|layer_?drop|drop_?path|drop_connect|^freeze_(?!backbone)|_ignore_index$",
            # heads for classification, speaker verification and spans; post-processing and video tracking
            r"classifier_(dropout|proj_size|pooling)|^seq_classif|^summary_|^tdnn|^xvector|^ctc_|^auxiliary_|_pt_num$",
            r"^(dynamic|suppress|recondition|hotstart|trk|guided_attention|dataset|average|retrieval|disable)_|keep_alive",
            r"(decoder|encoder|head|extract|conv|norm|csp|feedforward|readout|nemo)_activation(_function)?$",
        )
    )
)
DROPPED_NAMES = frozenset(
    re.findall(
        r"\w+",
        """
        _legacy_field_names _out_features _out_indices aggregation_labels alibi_bias_max allow_empty_column_selection
        anchor_image_size apply_spec_augment bi_data ce_ignore_index cell_selection_preference chunk_size_feed_forward
        chunkwise_kernel clamp_len class_order cpu_grad_checkpoint dataset decoder_method delay_pattern
        deterministic_flash_attn distribution_output do_deduplication do_marginalize doc_sep early_stopping
        encoder_stride eval_size exclude_bos_score feat_strides fill_hole_area flip_pairs freeze gradient_clipping
        ignore_value image_codebook_config_dict image_config_dict image_grid_pinpoints image_seq_length index_name
        index_path interpolate_mode langs languages lsh_backward mal_alpha max_combined_length max_cond_frame_num
        max_new_tokens max_object_pointers_in_encoder max_symbols_per_step multimask_output_for_tracking
        multimask_output_in_sam multimodal_config_dict n_docs no_aggregation_label_index no_object_weight norm_mean
        norm_std norm_topk_prob num_inference_steps num_logits_to_keep num_negatives num_parallel_samples onnx_export
        out_features out_indices pad_mode pad_val padding_mode passages_path position_id_per_seconds prefix
        pretraining_tp projector_hidden_act query_pre_attn_scalar reduce_loss relative_attention_max_distance
        reorder_and_upcast_attn rescale_embeddings rescale_prenorm_residual reshape_hidden_states residual_in_fp32
        same_length sample_rate sampling_rate scale_attn_by_inverse_layer_idx scale_attn_weights scale_embedding scaling
        seed select_one_column sequence_kernel slow_but_exact step_kernel stop_gradient
        stop_gradient_from_energy_predictor stop_gradient_from_pitch_predictor text_config_dict tf_padding title_sep
        tokens_per_second train_num_points use_answer_as_supervision use_associative_scan use_auxiliary_head
        use_auxiliary_loss use_cache use_dense_one_to_one use_dummy_dataset use_falcon_mambapy use_fast_hash
        use_gumbel_for_aggregation use_gumbel_for_cells use_mamba_kernels use_mambapy use_masking use_mem_eff_path
        use_mems_eval use_mems_train use_timm_backbone use_tpu_fourier_optimizations use_weighted_layer_sum
        use_weighted_masking video_seq_length vision_config_dict vocab_list vocabulary_map
        """,
    )
)
# Read by a shape although their names say otherwise: sinusoidal tables are offset by the padding id, and FLAVA counts
# its image codebook only if it is to be initialised.
KEPT = {("fsmt", "pad_token_id"), ("speecht5", "pad_token_id"), ("flava", "init_codebook")}
# Keys that a class renames by hand, in lines no pattern below finds.
RENAMED = {
    "bloom": {"n_embed": "hidden_size"},
    "falcon": {"n_embed": "hidden_size"},
    "mimo_v2_flash": {"sliding_window_size": "sliding_window"},
    "nemotron_h": {
        "mamba_n_groups": "n_groups",
        "mamba_d_conv": "conv_kernel",
        "mamba_expand": "expand",
        "mamba_conv_bias": "use_conv_bias",
        "mamba_chunk_size": "chunk_size",
    },
    "videomae": {"qkv_bias": "qv_bias"},
}
BASE = {field.name: field.default for field in dataclasses.fields(PreTrainedConfig)}


def main() -> None:
    """One line a model type, sorted, so that a new release of transformers reads as a diff of what changed."""
    logging.set_verbosity_error()
    entries = {}
    for model_type in CONFIG_MAPPING:
        add(entries, model_type, CONFIG_MAPPING[model_type])
    written = {name: compact(entries[name]) for name in sorted(entries)}
    owner = {}
    for name in sorted(written, key=lambda name: (len(name), name)):
        owner.setdefault(written[name], name)  # of identical entries the shortest name holds the text
    lines = [
        f"{json.dumps(name)}:{text if owner[text] == name else json.dumps(owner[text])}"
        for name, text in written.items()
    ]
    source = json.dumps(f"transformers {transformers.__version__}")
    OUTPUT.write_text(f'{{"source": {source},\n"model_types": {{\n' + ",\n".join(lines) + "\n}}\n", encoding="utf-8")
    print(f"{OUTPUT}: {len(entries)} model types, {OUTPUT.stat().st_size} bytes")


def add(entries: dict, model_type: str, config_class: type[PreTrainedConfig]) -> None:
    """The class, and the classes of its sub-configs that no model type of their own will bring."""
    entries[model_type] = entry(model_type, config_class)
    for name, sub_class in sub_configs(model_type, config_class).values():
        if name not in CONFIG_MAPPING and name not in entries and sub_class is not None:
            add(entries, name, sub_class)


def sub_configs(model_type: str, config_class: type[PreTrainedConfig]) -> dict:
    """field -> (model_type, class or None where AutoConfig decides)."""
    found = {}
    for field, spec in config_class.sub_configs_defaults.items():
        found[field] = (spec.model_type or f"{model_type}.{field}", own_class(spec.config_class))
    for field, sub_class in vars(config_class).get("sub_configs", {}).items():  # MPT and DBRX build theirs by hand
        found[field] = (sub_class.model_type or f"{model_type}.{field}", own_class(sub_class))
    return found


def own_class(config_class: type) -> type[PreTrainedConfig] | None:
    return config_class if issubclass(config_class, PreTrainedConfig) else None


def entry(model_type: str, config_class: type[PreTrainedConfig]) -> dict:
    """What is known of one class; empty parts are left out."""
    aliases = {old: new for old, new in config_class.attribute_map.items() if old != new}
    keyword_defaults, keyword_aliases = keywords(config_class)
    found = {**class_attributes(config_class), **keyword_defaults, **fields(config_class)}
    subs = sub_configs(model_type, config_class)
    renamed = {**keyword_aliases, **RENAMED.get(model_type, {}), **aliases}
    defaults = {
        aliases.get(name, name): plain(value)
        for name, value in found.items()
        if is_kept(model_type, name, value) and name not in subs and (name in aliases or name not in renamed)
    }
    defaults.update(sub_config_defaults(config_class))
    defaults.pop("tie_word_embeddings", None)
    defaults.update(tie(config_class))
    parts = {
        "defaults": defaults,
        "aliases": {old: new for old, new in renamed.items() if new in defaults},
        "sub_configs": {field: name for field, (name, _) in subs.items()},
        "auto_configs": [field for field, (_, sub_class) in subs.items() if sub_class is None],
        "fixed": fixed(config_class),
        "ties": "text_config" if ties_with_text(config_class) else "",
    }
    return {name: part for name, part in parts.items() if part}


def fields(config_class: type[PreTrainedConfig]) -> dict:
    """The dataclass fields' defaults; a field of the base class only where it differs from the base."""
    found = {}
    for field in dataclasses.fields(config_class):
        value = field.default
        if value is dataclasses.MISSING:
            value = field.default_factory() if field.default_factory is not dataclasses.MISSING else None
        if field.name not in config_class.sub_configs_defaults and (
            field.name not in BASE or (field.name == "is_encoder_decoder" and value)
        ):
            found[field.name] = value
    return found


def class_attributes(config_class: type[PreTrainedConfig]) -> dict:
    """Plain class attributes that stand in for a field, such as NomicBERT's `tie_word_embeddings = True`."""
    known = set(dir(PreTrainedConfig)) | {"keys_to_ignore_at_inference", "has_no_defaults_at_init"}
    found = {}
    for parent in reversed(config_class.__mro__[: config_class.__mro__.index(PreTrainedConfig)]):
        for name, value in vars(parent).items():
            if not name.startswith("__") and name not in known and isinstance(value, bool | int | float | str | dict):
                found[name] = value
    dropped = {"default_rope_type", "default_theta", "default_partial_rotary_factor"}
    return {name: value for name, value in found.items() if name not in dropped}


def keywords(config_class: type[PreTrainedConfig]) -> tuple[dict, dict]:
    """Legacy keys that `__post_init__` takes from its keyword arguments: literal defaults, and plain renamings."""
    defaults, renamings = {}, {}
    for parent in config_class.__mro__:
        if parent is PreTrainedConfig or "__post_init__" not in vars(parent):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(parent.__post_init__)))
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and (call := keyword_call(node.value)) and is_own(node.targets[0]):
                key, default = call
                target = node.targets[0].attr
                if is_own(default) and default.attr == target:
                    renamings[key] = target
            if (call := keyword_call(node)) and isinstance(call[1], ast.Constant):
                defaults.setdefault(call[0], call[1].value)
        if "super().__post_init__" not in inspect.getsource(parent.__post_init__):
            break
    return defaults, {old: new for old, new in renamings.items() if old != new}


def keyword_call(node: ast.AST) -> tuple[str, ast.AST] | None:
    """(key, default) of `kwargs.pop("key", default)` or `kwargs.get("key", default)`."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("pop", "get")
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "kwargs"
        and len(node.args) == 2
        and isinstance(node.args[0], ast.Constant)
    ):
        return node.args[0].value, node.args[1]
    return None


def is_own(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def is_kept(model_type: str, name: str, value: object) -> bool:
    """In doubt a field stays: the calculator reads few of them, and a missing one would be an error there."""
    if (model_type, name) in KEPT:
        return True
    if isinstance(value, float) and not KEPT_FLOATS.search(name):
        return False
    return name not in DROPPED_NAMES and not DROPPED_PATTERNS.search(name)


def plain(value: object) -> object:
    """Tuples as lists; anything JSON does not know is a bug in the list of dropped names."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and abs(value) < 1e12):
        return value
    raise TypeError(f"A default of type {type(value).__name__} cannot be written: {value!r}.")


def sub_config_defaults(config_class: type[PreTrainedConfig]) -> dict:
    """null for a sub-config that may be absent, the arguments of one that is not built from its own defaults alone."""
    found = {}
    for field, spec in config_class.sub_configs_defaults.items():
        arguments = {name: plain(value) for name, value in spec.init_kwargs.items() if is_kept("", name, value)}
        if spec.optional or arguments:
            found[field] = None if spec.optional else arguments
    return found


def tie(config_class: type[PreTrainedConfig]) -> dict:
    """The flag as the model will read it when the config.json leaves it out: null where text_config's flag decides."""
    declared = getattr(config_class, "tie_word_embeddings", None)
    if ties_with_text(config_class):
        return {"tie_word_embeddings": bool(declared)}
    if "text_config" in config_class.sub_configs_defaults:
        given = {flag(config_class, text_config={"tie_word_embeddings": text}) for text in (True, False)}
        if given == {True, False}:
            return {"tie_word_embeddings": None}
    built = flag(config_class)
    tied = bool(declared if built is None else built)
    return {"tie_word_embeddings": tied} if tied or "vocab_size" in fields(config_class) else {}


def fixed(config_class: type[PreTrainedConfig]) -> dict:
    """Some classes ignore the flag: the T5 family always ties."""
    given = {flag(config_class, tie_word_embeddings=value) for value in (True, False)}
    if len(given) > 1 or given == {None} or tie(config_class).get("tie_word_embeddings", False) not in given:
        return {}
    return {} if ties_with_text(config_class) else {"tie_word_embeddings": given.pop()}


def ties_with_text(config_class: type[PreTrainedConfig]) -> bool:
    """Whether a true flag inside text_config raises the top-level one, as files written before 5.0 need."""
    if "text_config" not in config_class.sub_configs_defaults:
        return False
    answers = [
        flag(config_class, tie_word_embeddings=top, text_config={"tie_word_embeddings": text})
        for top in (True, False)
        for text in (True, False)
    ]
    return answers == [True, True, True, False]


def flag(config_class: type[PreTrainedConfig], **arguments: object) -> bool | None:
    """`tie_word_embeddings` of a built config, None where the class has none or refuses the arguments."""
    try:
        return getattr(config_class(**arguments), "tie_word_embeddings", None)
    except Exception:  # the validators of 800 classes raise whatever they like; a refusal is the answer here
        return None


def compact(part: object) -> str:
    return json.dumps(part, sort_keys=True, separators=(",", ":"))


if __name__ == "__main__":
    main()
