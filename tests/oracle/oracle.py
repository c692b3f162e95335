"""What a published config.json builds in transformers, measured on torch's meta device.

Nothing is allocated, nothing is downloaded. Units: parameters are elements, FLOPs count one multiply-add as 2, saved
activations are bytes, lengths are tokens.

FLOPs are those of torch's `FlopCounterMode`: matrix products and convolutions. What it is blind to, and what is done:

- Grouped expert kernels are not counted. The experts run as batched products instead, the same arithmetic. Those that
  a loop sends tokens to run as in choices.py.
- A mask does not shrink a product. Eager attention counts all S x S scores, causal or in a sliding window; a cached
  decode step counts cached + 1 keys, in a window min(cached, window - 1) + 1.
- Scans (Mamba, Mamba-2, gated delta rule) run as transformers' reference in torch: padded to whole chunks, triangular
  solves and elementwise recurrences uncounted. `Flops.scan` is what was counted inside one, so `matmul - scan` is what
  every implementation shares.
- A causal convolution is counted on its padded output: S + kernel - 1 positions, in a cached decode step 2. torch's own
  formula for the weight gradient of a grouped convolution forgets the groups; the one below does not.
- Latent attention expands its whole latent cache through kv_b_proj in every decode step; nothing is absorbed.

A meta tensor has no values, so whatever reads one is kept out of the way: the packed-sequence detection of the masks,
and the dynamic rotary embeddings (their frequencies change no shape). "sdpa" always stands for its flash kernel, also
where a mask would have chosen another.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest import mock

import choices
import torch
import transformers
from torch.autograd.graph import register_multi_grad_hook
from torch.utils import module_tracker
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count
from transformers import CONFIG_MAPPING, DynamicCache, PreTrainedModel, masking_utils, vision_utils
from transformers.core_model_loading import revert_weight_conversion
from transformers.modeling_outputs import MoeCausalLMOutputWithPast
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)
from transformers.models.blt.modeling_blt import BltPatcher

# The scan functions (or the modules whose forward is one) of the modelling files, and which argument, by place or by
# name, has the shape of the output.
SCANS: dict[str, int | str] = {
    "mamba_selective_scan": 0,
    "mamba_selective_state_update": 1,
    "mamba2_chunk_scan": 0,
    "mamba2_selective_state_update": 1,
    "torch_chunk_gated_delta_rule": 2,
    "torch_recurrent_gated_delta_rule": 2,
    "chunk_kimi_delta_attention": 2,
    "recurrent_kimi_delta_attention": 2,
    "xLSTMBackend": "value",
}
# Where a type has no class that generates: encoders, and encoders before a decoder.
OTHER_CLASSES = (
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)
# Types whose code mixes tensors of float32 into its products, so that they run in nothing else.
FLOAT32 = ("deberta", "fnet", "xlnet")
# Types whose code reads values, which no meta tensor has: their small configs are built on the CPU.
VALUED = ("big_bird", "flaubert", "longformer", "luke", "nystromformer", "reformer", "xlm", "xlnet", "xmod")
A_TOKEN = 7  # none of the special ones
ENCODED = 40  # tokens that an encoder before a decoder reads, where its positions do not fix them
# Experts that no interface runs, called one by one for the tokens whose values chose them: how many each token visits.
# transformers sends NLLB-MoE's tokens through the first two experts, however they were routed; the paper's (2207.04672)
# and the checkpoint's routing is by the two best.
ROUTED = {"SwitchTransformersExperts": 1, "NllbMoeExperts": 2}
LOOPED = ("Step3p7Experts",)  # loops over the experts that were chosen, which a tensor without values cannot tell
SPEAKERS = dict.fromkeys(("blip-2", "instructblip", "instructblipvideo"), "language_model") | {"kosmos-2": "text_model"}
TOWERS = ("visual", "vision_tower", "multi_modal_projector")


@dataclass(frozen=True)
class Flops:
    """FLOPs of one pass: all of them, two parts of them, and all by module path, a module's children included."""

    matmul: int
    convolution: int = 0
    scan: int = 0
    modules: dict[str, int] = field(default_factory=dict, repr=False)


Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Parameters:
    """Each parameter once, a tied one under its first name.

    `shapes` are the tensors in memory, where all experts of a layer are one; `checkpoint` those of a saved checkpoint,
    where most families keep each expert apart. `buffers` are the persistent ones, stored too but not in `total`.
    """

    total: int
    shapes: Shapes
    checkpoint: Shapes
    buffers: Shapes
    towers: dict[str, int]


def elements(shapes: Shapes) -> int:
    return sum(map(math.prod, shapes.values()))


def digest(shapes: Shapes) -> str:
    """The first 16 hex digits of the sha256 of the sorted "name 2x3" lines."""
    lines = sorted(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


# -------------------------------------------------------------------------------------------- building


def build(
    config: dict[str, Any],
    attention: str = "eager",
    experts: str = "batched_mm",
    dtype: torch.dtype | None = None,
) -> PreTrainedModel:
    """The model of a raw config.json on the meta device, without dropout, every parameter requiring a gradient.

    A quantization_config is left out: elements are counted as they are before quantization. Everything has `dtype`,
    also what a checkpoint keeps in float32; bfloat16 where nothing is said and the type's code can.
    """
    if dtype is None:
        dtype = torch.float32 if config["model_type"] in FLOAT32 else torch.bfloat16
    config = {key: value for key, value in config.items() if key not in ("quantization_config", "auto_map")}
    built = CONFIG_MAPPING[config["model_type"]].from_dict(config)
    if config["model_type"] == "xlstm":  # the reference of its recurrence takes one dtype only
        dtype, built.autocast_kernel_dtype = torch.float32, "float32"
    stated = config.keys() - {"model_type", "architectures"}
    device = "cpu" if config["model_type"] in VALUED and stated else "meta"
    with torch.device(device):
        model = model_class(config)._from_config(built, dtype=dtype, attn_implementation=attention)
    for module in model.modules():
        if isinstance(module, PreTrainedModel) and module._can_set_experts_implementation():
            module.set_experts_implementation(experts)  # a language model inside may have what the whole lacks
        if type(module).__name__ in ROUTED:
            module.forward = partial(_routed, module, ROUTED[type(module).__name__])
        if isinstance(getattr(module, "rope_type", None), str):
            module.rope_type = "default"  # "dynamic" and "longrope" would read the position ids
        if type(module).__name__ in LOOPED:
            module.forward = partial(_batched_experts, module)
    choices.answered(model)
    return model.to(device).eval()  # torch.normal makes its tensors on the CPU all the same (DiffLlama)


def _batched_experts(
    experts: torch.nn.Module, tokens: torch.Tensor, chosen: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """The products of each token with the experts it chose."""
    rows, index = tokens.repeat_interleave(chosen.shape[-1], 0).unsqueeze(1), chosen.reshape(-1)
    inner = experts._apply_gate(torch.bmm(rows, experts.gate_up_proj[index].transpose(1, 2)))
    outer = torch.bmm(inner, experts.down_proj[index].transpose(1, 2)) * weights.reshape(-1, 1, 1)
    return outer.reshape(*chosen.shape, -1).sum(1).to(tokens.dtype)


def model_class(config: dict[str, Any]) -> type[PreTrainedModel]:
    """The class `architectures` names, or where transformers has no such name, the generating one of the model type."""
    kind = config["model_type"]
    generating = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.get(kind) or MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(kind)
    others = (names.get(kind) for names in OTHER_CLASSES)
    for name in (*(config.get("architectures") or ()), generating, *others):
        if name and hasattr(transformers, name):
            return getattr(transformers, name)
    raise ValueError(f"transformers {transformers.__version__} generates with no class of model_type {kind!r}")


def speaker(model: PreTrainedModel) -> PreTrainedModel:
    """What runs on tokens alone: the whole, or the language model inside where that insists on an image."""
    name = SPEAKERS.get(model.config.model_type)
    return getattr(model, name) if name else model


def parameters(model: PreTrainedModel) -> Parameters:
    """Every parameter once, tied ones once, with the part that belongs to vision towers and projectors."""
    # A tied tensor is saved under the name that the others are tied to, whichever module comes first.
    saved = {name: getattr(model, "all_tied_weights_keys", {}).get(name, name) for name, _ in model.named_parameters()}
    named = {saved[name]: tensor for name, tensor in model.named_parameters()}
    shapes = _shapes(named)
    checkpoint = _shapes(revert_weight_conversion(model, named))
    persistent = model.state_dict().keys()
    buffers = _shapes({name: tensor for name, tensor in model.named_buffers() if name in persistent})
    towers: dict[str, int] = {}
    for name, shape in shapes.items():
        for tower in TOWERS:
            if tower in name.split("."):
                towers[tower] = towers.get(tower, 0) + math.prod(shape)
    return Parameters(elements(shapes), shapes, checkpoint, buffers, towers)


# ----------------------------------------------------------------------------------------------- FLOPs


def forward_flops(model: PreTrainedModel, batch: int, sequence: int, logits: str = "all") -> Flops:
    """A forward pass over `batch` sequences of `sequence` tokens, no cache, logits of "all" positions or the "last"."""
    options = {}
    if logits == "last":
        if "logits_to_keep" not in inspect.signature(type(model).forward).parameters:
            raise ValueError(f"{type(model).__name__} has no logits_to_keep")
        options["logits_to_keep"] = 1
    with torch.no_grad(), _counting(model) as count:
        model(**_inputs(model, batch, sequence, cached=False), **options)
    return count()


def decode_flops(model: PreTrainedModel, batch: int, cached: int) -> Flops:
    """One new token for each of `batch` sequences, `cached` tokens in the model's own cache, filled by a prefill. The
    encoder of an encoder-decoder model has run before."""
    given: dict[str, Any] = {}
    encoded: list[Any] = []
    if model.config.model_type == "recurrent_gemma":  # it fills the cache it is given and returns none
        given = {_cache_name(model): DynamicCache(config=model.config)}
    with torch.no_grad():
        if _encodes(model):
            model.get_encoder().register_forward_hook(lambda module, inputs, output: encoded.append(output))
        with _valueless(), _without_choice(model):
            output = model(**_inputs(model, batch, cached, cached=True), **given)
        # CPM-Ant cuts off what is cached itself, and wants all tokens.
        tokens = cached + 1 if model.config.model_type == "cpmant" else 1
        step = _inputs(model, batch, tokens, cached=True)
        if _encodes(model):
            step = {name: value for name, value in step.items() if name != _encoder_input(model)}
            step["encoder_outputs"] = encoded[0]
        with _counting(model) as count:
            model(**step | (given or {_cache_name(model): _cache_of(output)}))
    return count()


def training_flops(model: PreTrainedModel, batch: int, sequence: int) -> Flops:
    """A forward and a backward pass, every parameter with a gradient, the loss an elementwise sum over all logits.

    Scans are left out: a sum takes the place of each, so that gradients flow to all its inputs without a product.
    """
    with _counting(model, _stand_in) as count:
        _summed(model(**_inputs(model, batch, sequence, cached=False))).backward()
    model.zero_grad(set_to_none=True)
    return count()


def vision_flops(model: PreTrainedModel, grid: tuple[int, int, int] | None = None) -> Flops:
    """The vision tower with its projector for one image or video.

    `grid` is (frames, rows, columns) in patches before merging, attention staying within a frame; a tower with a fixed
    image size takes none.
    """
    tower = model.model
    if not hasattr(tower, "visual"):
        size = tower.vision_tower.config
        shape = (1, size.num_channels, size.image_size, size.image_size)
        run = partial(tower.get_image_features, pixel_values=torch.zeros(shape, dtype=model.dtype, device="meta"))
    elif grid is not None:
        run = _patches(tower.visual, grid)
    else:
        raise ValueError(f"{type(model).__name__} takes images of any size: give a grid")
    with torch.no_grad(), _counting(model) as count:
        run()
    return count()


def _patches(visual: PreTrainedModel, grid: tuple[int, int, int]) -> Callable[[], Any]:
    """A call of a patch-packing tower. What it derives from the values of the grid is computed here, on the CPU."""
    config = visual.config
    sizes = torch.tensor([grid])
    side, merge = visual.num_grid_per_side, config.spatial_merge_size
    indices, weights = vision_utils.get_vision_interpolation_indices_and_weights(
        sizes, side, visual.interpolation_mode, visual.interpolation_align_corners, merge
    )
    known = {
        "interp_indices": indices.to("meta"),
        "interp_weights": weights.to("meta"),
        "position_ids": vision_utils.get_vision_position_ids(sizes, merge).to("meta"),
        "cu_seqlens": vision_utils.get_vision_cu_seqlens(sizes),  # stays on the CPU: its values split the frames
    }
    size = config.in_channels * config.temporal_patch_size * config.patch_size**2
    pixels = torch.zeros(math.prod(grid), size, dtype=visual.dtype, device="meta")
    return partial(visual, pixels, grid_thw=sizes, **known)


# ------------------------------------------------------------------------- bytes kept for the backward


def saved_bytes(
    config: dict[str, Any], batch: int, sequence: int, attention: str = "eager", loss: bool = False
) -> int | None:
    """Bytes autograd keeps between forward and backward in bfloat16: each storage once, no parameter, no buffer.

    `loss` adds transformers' own cross-entropy on shifted labels; without it the logits are summed, which keeps
    nothing. "sdpa" runs as a flash kernel without a mask and without its random state; None where the class has no such
    path. Experts run grouped, as in training. Token ids, routing indices and the float32 copies inside norms and
    softmax count, as they are kept.
    """
    if attention == "sdpa" and not model_class(config)._supports_sdpa:
        return None
    model = build(config, attention, experts="grouped_mm")
    own = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        random_state = tensor.dtype == torch.uint64 or tensor.dim() == 0
        if storage._cdata not in own and not random_state:
            kept[storage._cdata] = storage  # held, so that no other storage can take its place
        return tensor

    labels = {"labels": _tokens(batch, sequence)} if loss else {}
    with _valueless(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(**_inputs(model, batch, sequence, cached=False), **labels)
        total = output.loss if loss else _summed(output)
    held = sum(storage.nbytes() for storage in kept.values())
    del total
    return held


def _fused_attention(  # the signature of torch.nn.functional.scaled_dot_product_attention
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """The kernel a GPU would choose without a mask; the meta device would fall back to the plain products."""
    if query.shape[-1] == value.shape[-1]:
        kernel, options = torch.ops.aten._scaled_dot_product_flash_attention, (dropout_p, is_causal, False)
    else:
        kernel, options = torch.ops.aten._scaled_dot_product_efficient_attention, (None, True, dropout_p, is_causal)
    return kernel(query, key, value, *options, scale=scale)[0]


# -------------------------------------------------------------------------------------------- plumbing


def _routed(experts: torch.nn.ModuleDict, top_k: int, hidden: torch.Tensor, *choice: torch.Tensor) -> torch.Tensor:
    """What the chosen experts compute, all equal, whoever they are: one of them for every token and choice."""
    rows = experts["expert_0"](hidden.repeat_interleave(top_k, 0))
    weights = choice[-1].sum(-1, keepdim=True)
    return (rows.view(-1, top_k, hidden.shape[-1]) * weights[:, None]).sum(1)


class _AllVisible(torch.nn.Module):
    """In place of an indexer that looks at each query's visible tokens one by one: its projection, and no choice."""

    def __init__(self, indexer: torch.nn.Module) -> None:
        super().__init__()
        self.index_qk_proj = indexer.index_qk_proj

    def forward(self, hidden_states: torch.Tensor, positions: Any, mask: torch.Tensor, cache: Any) -> torch.Tensor:
        self.index_qk_proj(hidden_states)
        return torch.ones_like(mask, dtype=torch.bool)


def _without_choice(model: PreTrainedModel) -> ExitStack:
    """The model with its block indexers, if it has any, replaced."""
    stack = ExitStack()
    for module in model.modules():
        if hasattr(getattr(module, "indexer", None), "index_qk_proj"):
            stack.enter_context(mock.patch.dict(module._modules, indexer=_AllVisible(module.indexer)))
    return stack


def _equal_patches(entropies: torch.Tensor, sequence_length: int, patch_size: int, threshold: float) -> torch.Tensor:
    """Lengths of the Byte Latent Transformer's patches, whose number would follow from the values."""
    return torch.ones(len(entropies), -(-sequence_length // patch_size), dtype=torch.long, device="meta")


@contextmanager
def _valueless() -> Iterator[None]:
    """Nothing reads the value of a meta tensor, and sdpa is its flash kernel without a mask."""
    masks = masking_utils.ALL_MASK_ATTENTION_FUNCTIONS
    with (
        # Llama 4 asks its language model's output for the images', which only an output with images has.
        mock.patch.object(MoeCausalLMOutputWithPast, "image_outputs", None, create=True),
        mock.patch.object(BltPatcher, "patch_lengths_from_entropies", staticmethod(_equal_patches)),
        mock.patch.object(torch.distributions.Distribution, "_validate_args", False),
        mock.patch.object(masking_utils, "find_packed_sequence_indices", return_value=None),
        mock.patch.object(torch.Tensor, "item", _item),
        mock.patch.object(torch, "_check_tensor_all_with"),
        mock.patch.object(masking_utils, "_ignore_bidirectional_mask_sdpa", return_value=False),
        mock.patch.object(PreTrainedModel, "warn_if_padding_and_no_attention_mask"),
        mock.patch.object(module_tracker, "register_multi_grad_hook", _hook_with_gradients),
        mock.patch.dict(masks._local_mapping, {"sdpa": lambda *args, **kwargs: None}),
        mock.patch.object(torch.nn.functional, "scaled_dot_product_attention", _fused_attention),
    ):
        yield


def _hook_with_gradients(tensors: Any, function: Any, **options: Any) -> Any:
    """torch's counter watches for the gradients of what a module reads, even if there will be none: without a graph a
    parameter that is handed to a module has nothing to watch."""
    return register_multi_grad_hook(tensors, function, **options) if torch.is_grad_enabled() else mock.Mock()


_ITEM = torch.Tensor.item


def _item(tensor: torch.Tensor) -> Any:
    """LED asks its mask whether any token has global attention: none has."""
    return 0 if tensor.is_meta else _ITEM(tensor)


def _apart(name: str, scan: Callable, counter: FlopCounterMode, in_scans: list[int]) -> Callable:
    """The scan itself, its FLOPs added up."""

    def run(*args: Any, **kwargs: Any) -> Any:
        before = counter.get_total_flops()
        result = scan(*args, **kwargs)
        in_scans[0] += counter.get_total_flops() - before
        return result

    return run


def _stand_in(name: str, scan: Callable, counter: FlopCounterMode, in_scans: list[int]) -> Callable:
    """Something with the scan's shapes and gradients and no product in it."""

    def run(*args: Any, **kwargs: Any) -> Any:
        inputs = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
        shaped = SCANS[name]
        result = (kwargs[shaped] if isinstance(shaped, str) else args[shaped]) + sum(t.sum() for t in inputs)
        return result if name.startswith("mamba") else (result, None)

    return run


@contextmanager
def _counting(model: PreTrainedModel, wrap: Callable[..., Callable] = _apart) -> Iterator[Callable[[], Flops]]:
    """Count what runs inside, with every scan function of the model's file wrapped. Yields the count so far."""
    counter = FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.convolution_backward: _convolution_backward_flops}
    )
    in_scans = [0]
    files = {sys.modules[type(module).__module__] for module in model.modules()}  # the language model's among them
    with ExitStack() as stack:
        stack.enter_context(_valueless())
        stack.enter_context(_without_choice(model))
        for file in files:
            for name in SCANS.keys() & vars(file).keys():
                scan = getattr(file, name)
                owner, attribute = (scan, "forward") if isinstance(scan, type) else (file, name)
                wrapped = wrap(name, getattr(owner, attribute), counter, in_scans)
                stack.enter_context(mock.patch.object(owner, attribute, wrapped))
        stack.enter_context(counter)
        yield lambda: _flops(counter, in_scans[0])


def _flops(counter: FlopCounterMode, scan: int) -> Flops:
    counts = counter.get_flop_counts()
    total = counts.get("Global", {})
    convolution = sum(flops for op, flops in total.items() if "convolution" in str(op))
    modules = {name: sum(ops.values()) for name, ops in counts.items() if name != "Global"}
    return Flops(sum(total.values()), convolution, scan, modules)


def _convolution_backward_flops(
    grad_shape: list[int],
    x_shape: list[int],
    w_shape: list[int],
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    wanted: list[bool],
    out_shape: Any = None,
    **kwargs: Any,
) -> int:
    """Each wanted gradient (input, weight) costs what the forward convolution costs."""
    return (wanted[0] + wanted[1]) * conv_flop_count(x_shape, w_shape, grad_shape, transposed=transposed)


def _summed(output: Any) -> torch.Tensor:
    """All logits; of a model without a head, all it puts out."""
    names = [name for name in output if name.endswith("logits")] or ["last_hidden_state", "pooler_output"]
    return sum(output[name].sum() for name in names if output.get(name) is not None)


def _shapes(tensors: dict[str, torch.Tensor]) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _tokens(batch: int, sequence: int, device: torch.device | str = "meta") -> torch.Tensor:
    return torch.full((batch, sequence), A_TOKEN, dtype=torch.long, device=device)


def _inputs(model: PreTrainedModel, batch: int, sequence: int, *, cached: bool) -> dict[str, Any]:
    """What the model reads: tokens, and of an encoder-decoder model the encoder's input beside the decoder's tokens."""
    inputs: dict[str, Any] = {"use_cache": cached} if _caches(model) else {}
    caches = transformers.DynamicCache(), transformers.DynamicCache()
    prophet = model.config.model_type == "prophetnet"
    if not _encodes(model):
        if cached and (hasattr(model.config, "decoder_layers") or prophet):
            # transformers makes a decoder alone a cache of as many layers as the encoder has.
            inputs[_cache_name(model)] = caches[0]
        return inputs | {"input_ids": _tokens(batch, sequence, model.device)}
    if cached and prophet:
        inputs[_cache_name(model)] = transformers.EncoderDecoderCache(*caches)
    inputs["decoder_input_ids"] = _tokens(batch, sequence)
    name, length = _encoder_input(model), encoder_length(model)
    if name == "input_ids":
        return inputs | {name: _tokens(batch, length)}
    shape = (batch, *_sound(model.config, length))
    return inputs | {name: torch.zeros(shape, dtype=model.dtype, device="meta")}


def _sound(config: Any, length: int) -> tuple[int, ...]:
    """The shape of a sound of which an encoder makes so many tokens."""
    if hasattr(config, "num_mel_bins"):  # Whisper: mel bins x frames, two of which become one token
        return config.num_mel_bins, 2 * length
    if hasattr(config, "num_conv_layers"):  # Speech2Text: frames x features, halved by every convolution
        return length * 2**config.num_conv_layers, config.input_feat_per_channel * config.input_channels
    return (64 * (6 * length + 6) + 127,)  # Moonshine: samples of a waveform


def _encodes(model: PreTrainedModel) -> bool:
    """Whether it has an encoder before its decoder."""
    return "decoder_input_ids" in inspect.signature(type(model).forward).parameters


def _encoder_input(model: PreTrainedModel) -> str:
    return model.main_input_name


def encoder_length(model: PreTrainedModel) -> int | None:
    """Positions of the encoder before the decoder; None where there is no encoder."""
    if not _encodes(model):
        return None
    return model.config.max_source_positions if hasattr(model.config, "num_mel_bins") else ENCODED


def generates(model: PreTrainedModel) -> bool:
    """Whether it has a cache and a next token; an encoder has neither."""
    causal = not hasattr(model.config, "is_decoder") or model.config.is_decoder or model.config.is_encoder_decoder
    if model.config.model_type == "gpt_neox":  # whose is_decoder is False and says nothing
        causal = True
    if model.config.model_type == "blt":  # its cache forgets the patches
        return False
    if getattr(model.config, "attention_hidden_size", None) is not None and model.config.model_type == "rwkv":
        causal = model.config.attention_hidden_size == model.config.hidden_size  # the only state it can make
    # An encoder's class and some with another head take the option, and no cache back.
    cached = bool(_handles(model)) or not model.config.is_encoder_decoder
    return _caches(model) and bool(causal) and cached


def _caches(model: PreTrainedModel) -> bool:
    """Whether a caller may say if it caches, by name or among the options it hands on (Qwen3-VL; Switch hands them to
    its encoder, which refuses)."""
    known = inspect.signature(type(model).forward).parameters
    if model.config.model_type == "switch_transformers":
        return False
    handed = bool(_handles(model)) and any(p.kind is p.VAR_KEYWORD for p in known.values())
    return "use_cache" in known or handed


def keeps_last(model: PreTrainedModel) -> bool:
    """Whether it can make the logits of the last position alone."""
    return "logits_to_keep" in inspect.signature(type(model).forward).parameters


CACHES = ("cache_params", "state", "cache")
"""What models call their cache, as an argument and in their output."""
KEEP = ("flaubert", "xlm")
"""Types whose `cache` is what their authors kept of a sequence, and which no output gives back."""


def _handles(model: PreTrainedModel) -> set[str]:
    """The names of the arguments that are a cache."""
    known = set() if model.config.model_type in KEEP else set(CACHES)
    return known & inspect.signature(type(model).forward).parameters.keys()


def _cache_name(model: PreTrainedModel) -> str:
    return next(name for name in CACHES if name in _handles(model))


def _cache_of(output: Any) -> Any:
    return next(held for name in CACHES if (held := getattr(output, name, None)) is not None)
