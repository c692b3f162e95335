"""How a model is laid out over devices."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

from calculator.errors import DeviceError
from calculator.model import Model
from calculator.parts.mlp import MLP

HEADS = {"heads": "attention heads", "kv_heads": "key-value heads", "value_heads": "value heads"}
"""Fields of parts that count heads, and what a person calls them."""
LARGEST_GROUP = 64  # devices of a tensor group that are tried
MOST = 2**20  # devices of one kind of parallelism; far beyond any cluster


class Piece(NamedTuple):
    """What a tensor group divides into equal parts: `pieces` of them; `repeated` where fewer than the devices may stand
    on several each; `heads` of the attention, which its own copies divide."""

    pieces: int
    words: str
    repeated: bool
    heads: bool

    def divides(self, devices: int) -> bool:
        """Whether so many devices get equal parts."""
        return self.pieces % devices == 0 or (self.repeated and devices % self.pieces == 0)


def divided(model: Model) -> frozenset[Piece]:
    """What tensor groups of the language model divide."""
    found = set()
    for layer, _ in model.text.groups:
        for part in layer.parts:
            for name, words in HEADS.items():
                count = getattr(part, name, None)
                if isinstance(count, int) and count > 0:
                    found.add(Piece(int(count), words, name == "kv_heads", True))
            if isinstance(part, MLP):
                found.add(Piece(int(part.intermediate), "MLP features", False, False))
    return frozenset(found)


@dataclass(frozen=True)
class Layout:
    """Devices by what they divide. tp · pp · cp · dp is the number of devices.

    Attributes:
        tp: devices of the tensor group, which divide the matrices of a layer (arXiv:1909.08053).
        pp: pipeline stages, each of whole layers (arXiv:1811.06965). dp: copies of the model, which divide the batch.
        cp: devices that divide the sequence (arXiv:2310.01889). ep: devices that divide the experts; they are among
            those of tp · dp · cp, and each holds whole experts.
        attention_dp: copies of the attention inside the tensor group, which divide the batch; it divides tp.
        sequence_parallel: whether what tensor parallelism leaves whole divides by tokens (arXiv:2205.05198).
        interleave: virtual stages a device (arXiv:2104.04473).
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    cp: int = 1
    ep: int = 1
    attention_dp: int = 1
    sequence_parallel: bool = False
    interleave: int = 1

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "sequence_parallel":
                if not isinstance(value, bool):
                    raise DeviceError(f"sequence_parallel must be True or False, not {value!r}.")
            elif isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST:
                raise DeviceError(f"{f.name} must be a whole number of devices from 1 to {MOST:,}, not {value!r}.")
        if self.tp % self.attention_dp:
            raise DeviceError(f"attention_dp {self.attention_dp} does not divide tp {self.tp}, of which it is a part.")
        if self.tp * self.dp * self.cp % self.ep:
            raise DeviceError(
                f"ep {self.ep} does not divide the {self.tp * self.dp * self.cp} devices of tp · dp · cp, among which "
                "the experts are divided."
            )

    @property
    def devices(self) -> int:
        """All devices."""
        return self.tp * self.pp * self.dp * self.cp

    @property
    def attention_tp(self) -> int:
        """Devices that divide the attention's heads."""
        return self.tp // self.attention_dp

    def check(self, model: Model) -> None:
        """Whether a model can be laid out so.

        Raises:
            DeviceError: why it cannot.
        """
        layers, experts = model.layers, model.experts
        # Megatron-LM counts the embedding and the loss as a layer each (126 layers of Llama 3.1 405B on 128 stages).
        if self.pp > layers or self.pp * self.interleave > layers + 2:
            raise DeviceError(
                f"{self.pp * self.interleave} pipeline stages need as many layers; {model.name} has {layers}."
            )
        if self.ep > 1 and experts is None:
            raise DeviceError(f"{model.name} has no experts that ep {self.ep} could divide.")
        if experts is not None and self.ep > experts.experts:
            raise DeviceError(f"ep {self.ep} is more than the {experts.experts} experts of {model.name}.")
        if self.tp > 1:
            self._check_group(model)

    def _check_group(self, model: Model) -> None:
        """Whether a tensor group divides what it has to (vLLM's model_executor/layers/linear.py and config/model.py;
        SGLang's and Megatron-LM's checks are the same). The vocabulary is padded, and experts may be unequal."""
        pieces = sorted(divided(model), key=lambda p: (not p.heads, p.repeated))
        for piece in pieces:
            if not piece.divides(self.tp // self.attention_dp if piece.heads else self.tp):
                break
        else:
            return
        allowed = [str(n) for n in range(1, LARGEST_GROUP + 1) if all(p.divides(n) for p in pieces)]
        named = f"tp {self.tp}"
        if piece.heads and self.attention_dp > 1:
            named += f" / attention_dp {self.attention_dp}"
        sizes = " or ".join((", ".join(allowed[:-1]), allowed[-1])) if len(allowed) > 1 else allowed[0]
        raise DeviceError(
            f"{named} does not divide the {piece.pieces:,} {piece.words} of {model.name} into equal parts; "
            f"use a tensor group of {sizes} device{'s' if len(allowed) > 1 else ''}."
        )

    @staticmethod
    def grouped(model: Model, devices: int) -> Layout:
        """So many devices as the largest tensor group that engines take, and pipeline stages of such groups."""
        pieces = divided(model)
        for tp in range(min(devices, LARGEST_GROUP), 0, -1):
            if devices % tp == 0 and all(p.divides(tp) for p in pieces):
                return Layout(tp=tp, pp=devices // tp)
        return Layout(pp=devices)

    def __str__(self) -> str:
        words = [f"{f.name.upper()} {getattr(self, f.name)}" for f in fields(self)[:5] if getattr(self, f.name) > 1]
        if self.attention_dp > 1:
            words.append(f"attention DP {self.attention_dp}")
        if self.sequence_parallel:
            words.append("sequence parallel")
        return ", ".join(words) or "one device"
