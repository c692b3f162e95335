"""What a GGUF file's metadata say, layer by layer, with what llama.cpp knows of each architecture beside them.

Source of the rules by architecture: ggml-org/llama.cpp, src/models/*.cpp (load_arch_hparams) and src/llama-hparams.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

from calculator.errors import CheckpointError
from calculator.limits import limits
from calculator.sources.checkpoint.tensors import Checkpoint


class Pattern(NamedTuple):
    """Which layers have the window: all but each `period`-th, the first or the last of a period; how wide it is where
    the file does not say; whether it is a chunk."""

    period: int
    first: bool = False
    window: int | None = None
    chunked: bool = False


WINDOWS = {
    "afmoe": Pattern(4),
    "cohere2": Pattern(4),
    "cohere2moe": Pattern(4, first=True),
    "exaone-moe": Pattern(4, window=128),
    "exaone4": Pattern(4),
    "gemma-embedding": Pattern(6),
    "gemma2": Pattern(2, window=4096),
    "gemma3": Pattern(6),
    "gemma3n": Pattern(5),
    "gpt-oss": Pattern(2),
    "laguna": Pattern(4, first=True),
    "llama4": Pattern(4, window=8192, chunked=True),
    "mellum": Pattern(4),
    "modern-bert": Pattern(3, first=True),
    "muse-glimmer": Pattern(4),
    "olmo2": Pattern(4),
    "phi3": Pattern(0),  # a window in every layer, which llama.cpp itself leaves out
    "plamo3": Pattern(8),
    "smallthinker": Pattern(4, first=True, window=4096),
}
"""Architectures whose windows follow a pattern that the file need not state."""

INTERVALS = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "qwen4exp": 4, "minimax-01": 8}
"""Architectures with attention in each n-th layer and a recurrent mixer in the others."""

WITHOUT_HEADS = frozenset(
    ["bailingmoe3", "glm5-next", "granitehybrid", "jamba", "kimi-k3", "kimi-linear", "lfm2", "lfm2moe", "plamo2"]
)  # architectures whose layers without key-value heads are recurrent
RECURRENT = frozenset(["mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"])
NEMOTRON = frozenset(("nemotron_h", "nemotron_h_moe"))  # there layers without heads may be MLPs, which state a width
NOT_CAUSAL = frozenset(
    ("bert", "jina-bert-v2", "jina-bert-v3", "nomic-bert", "nomic-bert-moe", "neo-bert", "eurobert", "modern-bert")
) | {"gemma-embedding", "t5encoder", "dream", "llada", "llada-moe", "rnd1", "llama-embed"}
"""Architectures for which llama.cpp makes no cache (llama_model::create_memory)."""

GEMMA3N_OWN = 20  # layers of Gemma 3n that keep keys and values (n_layer_kv_from_start)


class Metadata:
    """Metadata of a GGUF file, read by their keys without the architecture's name before them.

    Raises:
        CheckpointError: more layers are stated than any model has, or lists of another length.
    """

    def __init__(self, metadata: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]] | None = None) -> None:
        self.metadata = metadata
        self.shapes = shapes or {}
        self.architecture = str(metadata.get("general.architecture", ""))

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Metadata:
        """The metadata of a checkpoint, with its tensors' shapes."""
        return cls(checkpoint.metadata, {t.name: t.shape for t in checkpoint.tensors})

    def said(self, key: str) -> Any:
        """What the file says under a key of its architecture; None for nothing."""
        return self.metadata.get(f"{self.architecture}.{key}")

    def number(self, *keys: str) -> int | None:
        """The first of the keys that is a positive whole number."""
        return next((n for n in map(_whole, map(self.said, keys)) if n is not None), None)

    def each(self, key: str) -> tuple[int, ...]:
        """One number for each layer (0 where it has none of these); empty where it is not stated."""
        value = self.said(key)
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 10**9 for v in values):
            return ()
        if not isinstance(value, list):
            return tuple(values) * self.blocks
        if len(values) < self.blocks:
            raise CheckpointError(
                f"The metadata state {key} for {len(values)} of {self.blocks} layers; the file is no usable GGUF file."
            )
        return tuple(values[: self.blocks])

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of a tensor of that name, in a layer the first that has one."""
        if name in self.shapes:
            return self.shapes[name]
        return next((self.shapes[n] for i in range(self.blocks) if (n := f"blk.{i}.{name}") in self.shapes), None)

    def has(self, name: str) -> bool:
        """Whether the file holds a tensor of that name."""
        return self.shape(name) is not None

    @cached_property
    def blocks(self) -> int:
        """Layers, those that predict further tokens among them."""
        found = self.number("block_count") or 0
        if found > limits().layers:
            raise CheckpointError(
                f"The metadata state {found:,} layers (block_count), and at most {limits().layers:,} are read."
            )
        return found

    @cached_property
    def predicting(self) -> int:
        """Layers at the end that predict further tokens (multi-token prediction) and that no pass runs."""
        stated = self.number("nextn_predict_layers") or 0
        return stated if stated < self.blocks else 0

    @property
    def layers(self) -> int:
        """Layers of the language model, without those that predict further tokens."""
        return self.blocks - self.predicting

    @cached_property
    def heads(self) -> tuple[int, ...]:
        """Query heads of each layer."""
        return self.each("attention.head_count")[: self.layers]

    @cached_property
    def kv_heads(self) -> tuple[int, ...]:
        """Key and value heads of each layer."""
        return self.each("attention.head_count_kv")[: self.layers] or self.heads

    @cached_property
    def windows(self) -> tuple[int | None, ...]:
        """The window of each layer, None for full attention; empty where a window is stated but not for which."""
        pattern = WINDOWS.get(self.architecture)
        stated = self.said("attention.sliding_window")
        size = _whole(stated) or (pattern.window if pattern and stated is None else None)
        if size is None:
            return (None,) * self.layers
        listed = self.said("attention.sliding_window_pattern")
        if isinstance(listed, list) and listed:
            found = tuple(size if bool(each) else None for each in listed[: self.layers])
            return found if len(found) == self.layers else ()
        period = _whole(listed) or (pattern.period if pattern else None)
        if period is None:
            return ()
        full = 0 if pattern and pattern.first else period - 1
        return tuple(size if period == 0 or i % period != full else None for i in range(self.layers))

    @property
    def chunked(self) -> bool:
        """Whether a window is a chunk, which ends all at once."""
        pattern = WINDOWS.get(self.architecture)
        return bool(pattern and pattern.chunked)

    @cached_property
    def recurrent(self) -> tuple[bool, ...]:
        """Whether each layer mixes tokens by a recurrence or a convolution in place of attention."""
        kind, count = self.architecture, self.layers
        listed = self.said("attention.recurrent_layers")
        if isinstance(listed, list) and len(listed) >= count:
            return tuple(map(bool, listed[:count]))
        if kind in INTERVALS:
            period = self.number("full_attention_interval") or INTERVALS[kind]
            return tuple((i + 1) % period != 0 for i in range(count))
        if kind in WITHOUT_HEADS:
            return tuple(n == 0 for n in self.kv_heads) or (False,) * count
        if kind in NEMOTRON:
            inner = self.each("feed_forward_length") or (0,) * self.blocks
            return tuple(n == 0 == inner[i] for i, n in enumerate(self.kv_heads)) or (False,) * count
        return (kind in RECURRENT,) * count

    @property
    def causal(self) -> bool:
        """Whether a token sees only those before it."""
        return self.said("attention.causal") is not False and self.architecture not in NOT_CAUSAL

    @property
    def caching(self) -> int:
        """Layers from the first on that keep keys and values of their own; the others use an earlier layer's."""
        if self.architecture == "gemma3n":
            return min(GEMMA3N_OWN, self.layers)
        return self.layers - min(self.number("attention.shared_kv_layers") or 0, self.layers)

    def head_dim(self, layer: int, part: str = "key") -> int | None:
        """Elements of a key's head, or with `part` "value" a value's."""
        windowed = self.windows and self.windows[layer] is not None
        own = self.number(f"attention.{part}_length_swa") if windowed else None
        stated = own or self.number(f"attention.{part}_length")
        width, heads = self.number("embedding_length"), self.heads[layer] if self.heads else 0
        return stated or (width // heads if width and heads and width % heads == 0 else None)


def _whole(value: Any) -> int | None:
    usable = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**12
    return value if usable else None
