"""A model typed by hand: `ModelConfig` and the Model that is built from it.

`manual_model` goes through the same parser that reads a config.json.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from calculator.errors import ConfigError, WorkloadError, choose, shown
from calculator.model import Model
from calculator.record.workload import LARGEST, Workload
from calculator.sources.load import model_from_config

Member = TypeVar("Member", bound=Enum)


class ModelType(Enum):
    """DENSE has one MLP a layer, MOE a router and experts."""

    DENSE = "dense"
    MOE = "moe"


class OperationMode(Enum):
    """What is run; see `calculator.Workload.mode`."""

    PRETRAINING = "pretraining"
    PREFILL = "prefill"
    DECODE = "decode"


class DataType(Enum):
    """How the weights are stored; see `calculator.formats.FORMATS`. AUTO is bf16 for a model typed by hand."""

    AUTO = "auto"
    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    FP8 = "fp8"
    INT8 = "int8"
    INT4 = "int4"
    MXFP4 = "mxfp4"
    NVFP4 = "nvfp4"
    NF4 = "nf4"


NATIVE = {DataType.FP32: "float32", DataType.FP16: "float16"}
WORKLOAD = ("batch_size", "sequence_length")
LARGEST_SIZE = 10**9
MOST = {"num_layers": 10_000, **dict.fromkeys(WORKLOAD, LARGEST)}
LEAST = {"num_shared_experts": 0}
REQUIRED = ("num_layers", "hidden_size", "vocab_size", "num_shared_experts")
SHAPE = ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size", "vocab_size")
SIZES = ("num_layers", *SHAPE, "num_experts", "top_k", "moe_intermediate_size", "num_shared_experts")


@dataclass
class ModelConfig:
    """A model typed by hand, and the workload to run on it.

    What is left out (None) is filled in as Llama builds it when the model is made, so that ModelConfig() is Llama 2 7B.
    These defaults belong to this form; a config.json never gets them.

    Attributes:
        num_attention_heads: None: heads of 128 elements, of 64 where hidden_size is below 2048.
        num_key_value_heads: None: as many as attention heads.
        head_dim: None: hidden_size divided by the attention heads.
        intermediate_size: width of the gated MLP. None: 8/3 of hidden_size, rounded up to a multiple of 256.
        sequence_length: tokens per sequence: processed by prefill and pretraining, held in the cache by decode.
        model_type: ModelType.DENSE or ModelType.MOE; the fields below it matter to MOE only.
        num_experts, top_k: routed experts of every layer, and how many of them a token visits. None: 8 and 2.
        expert_capacity_factor: None routes without padding or dropping; see `calculator.Workload`.
        moe_intermediate_size: width of one expert. None: intermediate_size.
        num_shared_experts: experts every token visits, each as wide as a routed one, behind one gate as in Qwen2-MoE.
        share_experts_across_layers: what if all layers used one set of experts; no published model does.
        tie_word_embeddings: the head uses the embedding's matrix.
        dtype: precision of the weights.
        use_flash_attention: False writes the scores to memory.
        flash_attention_block_size: query rows per tile; None reads keys and values once.
        use_flash_decode, flash_decode_block_size: a decode step's cache read is split into pieces of that many tokens.
    """

    num_layers: int = 32
    hidden_size: int = 4096
    num_attention_heads: int | None = None
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    intermediate_size: int | None = None
    vocab_size: int = 32000
    sequence_length: int = 2048
    batch_size: int = 1
    model_type: ModelType = ModelType.DENSE
    num_experts: int | None = None
    top_k: int | None = None
    expert_capacity_factor: float | None = None
    moe_intermediate_size: int | None = None
    num_shared_experts: int = 0
    share_experts_across_layers: bool = False
    tie_word_embeddings: bool = False
    dtype: DataType = DataType.AUTO
    use_flash_attention: bool = True
    use_flash_decode: bool = True
    flash_attention_block_size: int | None = None
    flash_decode_block_size: int = 256

    def __post_init__(self) -> None:
        self.model_type = _member(ModelType, "model_type", self.model_type)
        self.dtype = _member(DataType, "dtype", self.dtype)
        _sizes(self)
        self.workload(OperationMode.PREFILL)  # refuses a length, batch or block size outside what is allowed

    def workload(self, mode: OperationMode | str) -> Workload:
        """What these fields ask to run in that mode.

        Raises:
            WorkloadError: no such mode, or a length, batch or option outside what is allowed.
        """
        moe = self.model_type is ModelType.MOE
        return Workload(
            mode=_member(OperationMode, "mode", mode).value,
            batch_size=_whole("batch_size", self.batch_size),
            sequence_length=_whole("sequence_length", self.sequence_length),
            dtype=self.dtype.value,
            attention="flash" if self.use_flash_attention else "eager",
            flash_decode=self.use_flash_decode,
            flash_block_size=self.flash_attention_block_size,
            flash_decode_block_size=self.flash_decode_block_size,
            expert_capacity_factor=self.expert_capacity_factor if moe else None,
            share_experts_across_layers=self.share_experts_across_layers and moe,
        )


def _member(kind: type[Member], name: str, value: Any) -> Member:
    """The member, also by its value ("moe")."""
    try:
        return kind(value.lower() if isinstance(value, str) else value)
    except ValueError as error:
        allowed = [f"{kind.__name__}.{m.name}" for m in kind]
        raise WorkloadError(f"{name} {shown(value)} is not known; {choose(value, allowed)}") from error


def _whole(name: str, value: Any) -> int:
    """The value as an int, NumPy's integers too."""
    least, most = LEAST.get(name, 1), MOST.get(name, LARGEST_SIZE)
    if not isinstance(value, bool) and hasattr(value, "__index__") and getattr(value, "shape", ()) == ():
        number = operator.index(value)
        if least <= number <= most:
            return number
    error = WorkloadError if name in WORKLOAD else ConfigError
    raise error(f"{name} must be a whole number from {least} to {most:,}, not {shown(value)}.")


def _sizes(config: ModelConfig) -> dict[str, int]:
    """The config's sizes, those left out filled in from those given.

    Raises:
        ConfigError: a size is no size, or two of them do not fit together.
    """
    sizes = {n: _whole(n, v) for n in SIZES if (v := getattr(config, n)) is not None or n in REQUIRED}
    _fill_heads(sizes)
    sizes.setdefault("intermediate_size", -(-(8 * sizes["hidden_size"] // 3) // 256) * 256)
    if config.model_type is ModelType.MOE:
        _fill_experts(sizes)
    elif sizes["num_shared_experts"] or sizes.get("num_experts", 1) > 1:
        raise ConfigError(
            "num_experts and num_shared_experts need model_type=ModelType.MOE, but this model is DENSE; change one."
        )
    return sizes


def _fill_heads(sizes: dict[str, int]) -> None:
    hidden = sizes["hidden_size"]
    if "num_attention_heads" not in sizes:
        head = sizes.setdefault("head_dim", min(128 if hidden >= 2048 else 64, hidden))
        sizes["num_attention_heads"] = max(1, hidden // head)
    heads = sizes["num_attention_heads"]
    if hidden % heads and "head_dim" not in sizes:
        raise ConfigError(_misfit("num_attention_heads", heads, "hidden_size", hidden) + ", or head_dim.")
    sizes.setdefault("head_dim", hidden // heads)
    kv_heads = sizes.setdefault("num_key_value_heads", heads)
    if heads % kv_heads:
        raise ConfigError(_misfit("num_key_value_heads", kv_heads, "num_attention_heads", heads) + ".")


def _misfit(name: str, value: int, whole: str, size: int) -> str:
    return f"{name} is {value}, which does not divide {whole}, {size}; give a divisor of {size}"


def _fill_experts(sizes: dict[str, int]) -> None:
    experts = sizes.setdefault("num_experts", 8)
    top_k = sizes.setdefault("top_k", min(2, experts))
    if top_k > experts:
        raise ConfigError(f"top_k is {top_k}, more than the {experts} experts; give {experts} or less.")
    sizes.setdefault("moe_intermediate_size", sizes["intermediate_size"])


def manual_model(config: ModelConfig) -> Model:
    """The model of a config typed by hand: decoder layers of RMSNorm, rotary grouped-query attention without biases,
    and a gated MLP (Llama) or a mixture of gated experts (Mixtral; Qwen2-MoE where there are shared experts).

    Raises:
        ConfigError: a field no model can be built from.
    """
    sizes = _sizes(config)
    raw: dict[str, Any] = {
        "model_type": "llama",
        "num_hidden_layers": sizes["num_layers"],
        **{name: sizes[name] for name in SHAPE},
        "tie_word_embeddings": bool(config.tie_word_embeddings),
        "dtype": NATIVE.get(config.dtype, "bfloat16"),
        "max_position_embeddings": None,  # nothing typed here bounds the context
    }
    if config.model_type is ModelType.MOE:
        raw |= _mixture(sizes)
    return model_from_config(raw, name=f"Custom {config.model_type.name} model", source="numbers typed by hand")


def _mixture(sizes: dict[str, int]) -> dict[str, Any]:
    """The fields of a mixture in every layer. Qwen2-MoE has both plain attention and shared experts."""
    width, shared = sizes["moe_intermediate_size"], sizes["num_shared_experts"]
    routed = {"num_experts_per_tok": sizes["top_k"]}
    if not shared:
        mixtral = {"num_local_experts": sizes["num_experts"], "intermediate_size": width, "sliding_window": None}
        return {"model_type": "mixtral", **routed, **mixtral}
    return {
        "model_type": "qwen2_moe",
        **routed,
        "num_experts": sizes["num_experts"],
        "moe_intermediate_size": width,
        "shared_expert_intermediate_size": shared * width,
        "qkv_bias": False,
        "use_sliding_window": False,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }
