"""The options of a workload, each declared once: its field, its flag, its place in a link, its label, what it means,
what it may be and when it applies. `Workload` checks by these, and the command line and the app's sidebar are made of
them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from calculator.formats.cache import CACHE_TYPES
from calculator.formats.mixtures import USUAL
from calculator.formats.named import FORMATS
from calculator.record.saved import KERNELS

MODES = ("pretraining", "prefill", "decode")
DEFAULT_LENGTH = 4096


@dataclass(frozen=True)
class Option:
    """An option of a workload.

    Attributes:
        field: of `Workload`, and of its JSON. flag: on the command line. key: in the app's links.
        label: beside its input. help: what it means, a sentence that stands alone.
        kind: "choice" of `choices`, "switch", "count" (a whole number), "length" (that, or max), "factor", or "format".
        default: of the field; None where its absence means something, which `absent` says.
        group: where it is listed. modes: those it changes something in. of: "mixture" or "encoder" where only models
            with experts or an encoder before their decoder have it, "" for all.
        least: of a count.
    """

    field: str
    flag: str
    key: str
    label: str
    help: str
    kind: str = "choice"
    default: Any = None
    choices: tuple[str, ...] = ()
    absent: str = ""
    group: str = "what is run"
    modes: tuple[str, ...] = MODES
    of: str = ""
    least: int = 1

    @property
    def described(self) -> str:
        """The help with the default, for the command line."""
        if self.kind == "switch":
            return self.help
        default = self.absent if self.default is None else f"{self.default}"
        return f"{self.help}; default: {default}"


INFERENCE = ("prefill", "decode")
COUNTING, PRECISION = "how it runs and how it is counted", "precision"

OPTIONS = (
    Option(
        "mode",
        "--mode",
        "mode",
        "Mode",
        "prefill reads a prompt, decode generates a token per sequence, pretraining is forward, backward and AdamW",
        default="prefill",
        choices=MODES,
    ),
    Option("batch_size", "--batch-size", "batch", "Batch size", "sequences that run together", kind="count", default=1),
    Option(
        "sequence_length",
        "--seq-len",
        "length",
        "Length",
        "tokens per sequence: processed by prefill and pretraining, held in the cache by decode; max is the limit",
        kind="length",
        absent=f"{DEFAULT_LENGTH}, or the limit if shorter",
    ),
    Option(
        "past_length",
        "--past-len",
        "past",
        "Tokens before",
        "tokens per sequence that a prefill finds in the cache: earlier chunks, or a shared prefix",
        kind="count",
        default=0,
        modes=("prefill",),
        least=0,
    ),
    Option(
        "encoder_length",
        "--encoder-len",
        "encoder",
        "Encoder length",
        "tokens per sequence that the encoder reads; the decoder attends to all of them",
        kind="count",
        absent="its positions (Whisper), or the length",
        of="encoder",
    ),
    Option(
        "decode_length",
        "--decode-len",
        "generate",
        "Tokens to generate",
        "for decode's totals; the context grows by one token each step",
        kind="count",
        default=64,
        modes=("decode",),
    ),
    Option(
        "dtype",
        "--dtype",
        "weights",
        "Weights",
        "what weights are stored in: auto is as the checkpoint is, or a type such as fp8 or int4, or a mixture of GGUF "
        "files such as q4_k_m",
        kind="format",
        default="auto",
        choices=("auto", *FORMATS, *USUAL),
        group=PRECISION,
    ),
    Option(
        "kv_dtype",
        "--kv-dtype",
        "kv",
        "KV cache",
        "what keys and values are kept in, by engines' names (fp8_e4m3, fp8_ds_mla, nvfp4, q8_0), or each apart, as "
        "q8_0/q4_0: auto is what the config asks for, otherwise the type of the computation",
        kind="format",
        default="auto",
        choices=("auto", *CACHE_TYPES),
        group=PRECISION,
        modes=INFERENCE,
    ),
    Option(
        "gradient_dtype",
        "--gradient-dtype",
        "gradients",
        "Gradients",
        "what gradients are kept in: auto is the type of the computation",
        default="auto",
        choices=("auto", "fp32", "bf16", "fp16"),
        group=PRECISION,
        modes=("pretraining",),
    ),
    Option(
        "attention",
        "--attention",
        "attention",
        "Attention kernel",
        "flash never writes the S × S scores to memory, eager does; the FLOPs are the same",
        default="flash",
        choices=("flash", "eager"),
        group=COUNTING,
    ),
    Option(
        "kernels",
        "--kernels",
        "kernels",
        "Kernels of training",
        "what a training step keeps: as the published formulas count, or as compiled, plain or autocast modules do",
        default="formula",
        choices=KERNELS,
        group=COUNTING,
        modes=("pretraining",),
    ),
    Option(
        "attention_flops",
        "--attention-flops",
        "counting",
        "Attention FLOPs",
        "full counts every query against every key, causal the half that a causal kernel computes",
        default="full",
        choices=("full", "causal"),
        group=COUNTING,
    ),
    Option(
        "logits",
        "--logits",
        "logits",
        "Logits",
        "positions that reach the head: auto is the last one for inference and all of them for pretraining",
        default="auto",
        choices=("auto", "last", "all"),
        group=COUNTING,
    ),
    Option(
        "routing",
        "--routing",
        "routing",
        "Routing",
        "balanced spreads tokens evenly over experts, uniform expects what random routing reaches",
        default="balanced",
        choices=("balanced", "uniform"),
        group=COUNTING,
        of="mixture",
    ),
    Option(
        "expert_capacity_factor",
        "--expert-capacity-factor",
        "capacity",
        "Capacity factor",
        "pads or cuts every expert to this multiple of its fair share, ⌈c·T·k/E⌉ tokens",
        kind="factor",
        absent="no limit",
        group=COUNTING,
        of="mixture",
    ),
    Option(
        "share_experts_across_layers",
        "--share-experts",
        "share",
        "Share experts across layers",
        "what if all layers used one set of experts; no published model does",
        kind="switch",
        default=False,
        group=COUNTING,
        of="mixture",
    ),
    Option(
        "flash_block_size",
        "--flash-block-size",
        "tile",
        "Queries per flash tile",
        "keys and values are read once for every tile of so many queries",
        kind="count",
        absent="they are read once",
        group=COUNTING,
        modes=("prefill", "pretraining"),
    ),
    Option(
        "flash_decode",
        "--no-flash-decode",
        "flash_decode",
        "Flash decode",
        "splits a decode step's cache read over workers; each split keeps a partial result",
        kind="switch",
        default=True,
        group=COUNTING,
        modes=("decode",),
    ),
    Option(
        "flash_decode_block_size",
        "--flash-decode-block-size",
        "split",
        "Cached tokens per split",
        "tokens of the cache that one worker of flash decode reads",
        kind="count",
        default=256,
        group=COUNTING,
        modes=("decode",),
    ),
)

BY_FIELD = {option.field: option for option in OPTIONS}
GROUPS = tuple(dict.fromkeys(option.group for option in OPTIONS))
