"""Which tensors of a checkpoint are stored in which format: where a config says so, and who reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from calculator.formats.named import FORMATS
from calculator.formats.readers import compressed, integers, mlx, modelopt, native, others, quark
from calculator.formats.readers.common import Result, cache_format
from calculator.formats.rules import Rule, Scheme, converting

__all__ = ["READERS", "SIDE_FILES", "UNPRICED", "Block", "Rule", "Scheme", "block_of", "scheme_of"]

KEYS = ("quantization_config", "quantization", "compression_config")
"""What a block is called inside a config; MLX calls it `quantization`, old compressed-tensors `compression_config`."""
INNER = ("text_config", "llm_config", "language_config", "thinker_config")
"""The language model's own config in one of several models; what stands there is not about the towers."""
WITH_TOWERS = ("thinker_config",)
"""Those that have towers of their own."""
SIDE_FILES = ("hf_quant_config.json", "quantize_config.json", "quant_config.json")
"""Files beside config.json in which modelopt, GPTQ and AWQ state it. A loaded config has them under these names."""


class Block(NamedTuple):
    """A config's block about quantization: its fields, where it stands, and whether it is about towers too."""

    settings: Mapping[str, Any]
    place: str
    towers: bool = True

    @property
    def method(self) -> str:
        """The library by the name it goes by in `READERS`."""
        s = self.settings
        said = s.get("quant_method") or self._unsaid()
        name = str(said).lower().replace("_", "-").rpartition("/")[2]
        if name.startswith("modelopt"):
            return "modelopt"
        return OTHER_NAMES.get(name, name)

    def _unsaid(self) -> str:
        """The library of a block that does not name it, by the fields that it alone has."""
        keys = self.settings.keys()
        beside = self.place in ("quantize_config.json", "quant_config.json")
        found = (
            ("modelopt", {"quant_algo", "quantized_layers"} & keys),
            ("compressed-tensors", {"config_groups"} & keys),
            ("torchao", {"quant_type"} & keys),
            ("bitsandbytes", {"load_in_4bit", "load_in_8bit"} & keys),
            ("awq", {"w_bit", "q_group_size"} & keys or ("zero_point" in keys and "bits" in keys)),
            ("gptq", {"desc_act", "damp_percent", "true_sequential", "sym"} & keys or beside),
            ("mlx", {"bits", "mode"} & keys),
        )
        return next((name for name, fits in found if fits), "")


OTHER_NAMES = {
    "sparseml": "compressed-tensors",  # what it was called until 2024
    "gptq-marlin": "gptq",
    "gptq-bitblas": "gptq",
    "awq-marlin": "awq",
    "inc": "auto-round",
    "autoround": "auto-round",
    "bnb": "bitsandbytes",
    "finegrained-fp8": "fp8",
}
"""Methods under names that engines give them when they load a checkpoint, and that then stand in copies of it."""


def block_of(config: Mapping[str, Any]) -> Block | None:
    """The block that states how the checkpoint is quantized: at the top, in the language model's own config, or in a
    file beside config.json; None where there is none."""
    for key in KEYS:
        if _says(config.get(key)):
            return Block(_opened(config[key]), key)
    for inner, own in _inside(config):
        for key in KEYS:
            if _says(own.get(key)):
                return Block(_opened(own[key]), f"{inner}.{key}", towers=inner in WITH_TOWERS)
    for name in SIDE_FILES:
        if _says(config.get(name)):
            return Block(_opened(config[name]), name)
    return None


def _inside(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The configs in which the language model's own fields stand, one inside the other (Qwen's omni models)."""
    for name in INNER:
        own = config.get(name)
        if isinstance(own, Mapping):
            yield name, own
            if name in WITH_TOWERS:
                yield from ((f"{name}.{inner}", deeper) for inner, deeper in _inside(own))


def _says(settings: Any) -> bool:
    """Whether a block says anything; a method of null or "none" and nothing else is no quantization."""
    return isinstance(settings, Mapping) and any(value not in (None, "none", "None") for value in settings.values())


def _opened(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields; hf_quant_config.json and old compression_config blocks have them one level down."""
    inner = settings.get("quantization") or settings.get("quantization_config")
    return inner if isinstance(inner, Mapping) and "quant_method" not in settings else settings


def scheme_of(config: Mapping[str, Any]) -> tuple[Scheme | None, str | None]:
    """The checkpoint's scheme, or None with the reason why its quantization is not understood (None: not quantized).

    Raises:
        ConfigError: a pattern of the config is not run here.
    """
    block = block_of(config)
    if block is None:
        return None, None
    method = block.method
    reader = READERS.get(method)
    if method in UNPRICED:
        return None, f"how many bytes {method} takes follows from its {UNPRICED[method]}, which the config does not fix"
    if reader is None:
        return None, f"quantization method {method!r} is not known here"
    scheme, reason = reader(block.settings)
    if scheme is None:
        return None, reason
    rules = scheme.rules if block.towers else tuple(replace(rule, towers=False) for rule in scheme.rules)
    scheme = replace(scheme, rules=rules, place=block.place, cache=scheme.cache or cache_format(block.settings))
    return _with_experts(block.settings, config, scheme), None


def _with_experts(settings: Mapping[str, Any], config: Mapping[str, Any], scheme: Scheme) -> Scheme:
    """The scheme with another format for routed experts where `expert_dtype` says so, in the block, beside it or in the
    language model's config (DeepSeek-V4: 4-bit floats with an 8-bit scale per 32)."""
    inner = (own for _, own in _inside(config))
    if not any(said.get("expert_dtype") == "fp4" for said in (settings, config, *inner)):
        return scheme
    experts = converting("routed experts", FORMATS["mxfp4"], "expert_dtype", frozenset(("experts",)))
    at = next((i for i, rule in enumerate(scheme.rules) if rule.how == "class"), len(scheme.rules))
    rules = (*scheme.rules[:at], *experts, *scheme.rules[at:])
    return replace(scheme, title=f"{scheme.title}; experts {FORMATS['mxfp4'].name}", rules=rules)


READERS: dict[str, Callable[[Mapping[str, Any]], Result]] = {
    "gptq": integers.gptq,
    "awq": integers.awq,
    "auto-round": integers.auto_round,
    "fp8": others.fp8,
    "fbgemm-fp8": others.fbgemm_fp8,
    "mxfp4": others.mxfp4,
    "bitsandbytes": others.bitsandbytes,
    "bitnet": others.bitnet,
    "torchao": others.torchao,
    "hqq": others.hqq,
    "quanto": others.quanto,
    "eetq": others.eetq,
    "mlx": mlx.mlx,
    "compressed-tensors": compressed.compressed_tensors,
    "modelopt": modelopt.modelopt,
    "quark": quark.quark,
    "gemma": native.gemma,
    "metal": native.metal,
    "mxfp8": native.mxfp8,
    "fp-quant": native.fp_quant,
}

UNPRICED = {
    "aqlm": "codebooks",
    "vptq": "codebooks and its indices",
    "spqr": "outliers",
    "higgs": "grids",
}
"""Methods that are known by name and whose bytes no config tells: with `--checkpoint` the headers do."""
