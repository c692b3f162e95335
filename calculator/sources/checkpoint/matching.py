"""Which of the formula's tensors is which of the checkpoint's: by name, by a renamed prefix, by what they hold together
where one side has them packed, and in GGUF files by layer and shape."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from calculator.sources.checkpoint.packing import Stored

Shape = tuple[int, ...]
RENAMED = "renamed"
EXPERTS = "packed against separate experts"
FUSED = "fused against separate projections"


class Priced(NamedTuple):
    """A tensor of the formula."""

    name: str
    shape: Shape
    role: str
    nbytes: int  # as dtype="auto" prices it
    apart: bool
    tower: str | None

    @property
    def elements(self) -> int:
        """Elements of the tensor."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Pair:
    """Tensors of both sides that belong together; one side may be empty."""

    formula: tuple[Priced, ...]
    stored: tuple[Stored, ...]
    reason: str = ""


def pairs(formula: list[Priced], stored: list[Stored], *, shapes: bool = False) -> list[Pair]:
    """All tensors of both sides, in pairs. With `shapes` names mean nothing: layer and shape tell what is what."""
    found: list[Pair] = []
    left, right = {p.name: p for p in formula}, {s.name: s for s in stored}
    doubled = len(right) < len(stored)
    extra = [s for s in stored if right[s.name] is not s] if doubled else []
    _take(found, left, right, [(n, n) for n in left if n in right], "")
    for _ in range(6):
        renames = _renames(left, right)
        if not renames:
            break
        _take(found, left, right, renames, RENAMED)
    if shapes:
        _take(found, left, right, _by_shape(left, right, len(left)), RENAMED)
    for key in (_experts_of, _parent_of, *((_layer_of,) if shapes else ())):
        _take_together(found, left, right, key)
    _take(found, left, right, _by_shape(left, right, 1), RENAMED)
    found += [Pair((p,), ()) for p in left.values()]
    found += [Pair((), (s,)) for s in (*right.values(), *extra)]
    return found


Left: TypeAlias = dict[str, Priced]
Right: TypeAlias = dict[str, Stored]


def _take(found: list[Pair], left: Left, right: Right, names: list[tuple[str, str]], reason: str) -> None:
    for mine, theirs in names:
        if mine in left and theirs in right:
            found.append(Pair((left.pop(mine),), (right.pop(theirs),), reason))


def _renames(left: Left, right: Right) -> list[tuple[str, str]]:
    """Names that differ by one prefix for another, the one that brings most of them together."""
    ends: dict[str, list[str]] = defaultdict(list)
    for name in right:
        for tail in _tails(name):
            ends[tail].append(name)
    votes: Counter[tuple[str, str]] = Counter()
    for name in left:
        end = next((t for t in _tails(name) if t in ends), None)
        if end is not None and len(ends[end]) == 1:
            votes[name.removesuffix(end), ends[end][0].removesuffix(end)] += 1
    if not votes:
        return []
    (mine, theirs), _ = votes.most_common(1)[0]
    named = ((name, theirs + name.removeprefix(mine)) for name in left if name.startswith(mine))
    return [(a, b) for a, b in named if b in right and left[a].elements == right[b].elements]


def _tails(name: str) -> Iterable[str]:
    """The ends of a name, the longest first, down to its last two words."""
    words = name.split(".")
    return (".".join(words[i:]) for i in range(max(len(words) - 1, 1)))


def _by_shape(left: Left, right: Right, most: int) -> list[tuple[str, str]]:
    """Tensors of one layer, kind and shape, where both sides have as many, `most` at most."""
    mine = _grouped(left, lambda name: (_layer_of(name), _kind_of(name), left[name].shape))
    theirs = _grouped(right, lambda name: (_layer_of(name), _kind_of(name), right[name].shape))
    return [
        pair
        for key, names in mine.items()
        if len(names) == len(theirs.get(key, ())) <= most
        for pair in zip(names, theirs[key], strict=True)
    ]


def _take_together(found: list[Pair], left: Left, right: Right, key: Callable[[str], Hashable]) -> None:
    """Tensors of one module that hold the same number of elements on both sides."""
    mine, theirs = _grouped(left, key), _grouped(right, key)
    for place, names in mine.items():
        others = theirs.get(place, ())
        if place is None or not others:
            continue
        if sum(left[n].elements for n in names) == sum(right[n].elements for n in others):
            experts = "expert" in f"{place}" or any("exp" in n for n in others)
            both = tuple(left.pop(n) for n in names), tuple(right.pop(n) for n in others)
            found.append(Pair(*both, EXPERTS if experts else FUSED))


def _grouped(names: Iterable[str], key: Callable[[str], Hashable]) -> dict[Hashable, list[str]]:
    found: dict[Hashable, list[str]] = defaultdict(list)
    for name in names:
        found[key(name)].append(name)
    return found


def _experts_of(name: str) -> Hashable:
    """The experts that a tensor is of, by their module and kind (weight or bias); None where it is of none."""
    found = re.match(r"(.*\bexperts)\b", name)
    return (found[1], "bias" in name) if found else None


def _parent_of(name: str) -> Hashable:
    """The module that holds a tensor's module, and the kind of tensor."""
    words = name.split(".")
    return (".".join(words[:-2]), words[-1]) if len(words) > 2 else None


def _layer_of(name: str) -> Hashable:
    """The first number in a name, -1 where it has none."""
    found = re.search(r"(?:^|\.)(\d+)\.", name)
    return int(found[1]) if found else -1


def _kind_of(name: str) -> str:
    last = name.rpartition(".")[2]
    return last if last in ("weight", "bias") else ""


def pattern(name: str) -> str:
    """The name with a star for every number that stands alone."""
    return re.sub(r"(?<=\.)\d+(?=\.)|^\d+(?=\.)", "*", name)


# What a checkpoint holds beside the model

_BUFFERS = re.compile(
    r".*(?:rotary_emb\.(?:inv_freq|cos_cached|sin_cached)|rotary_pos_emb\.inv_freq|\.masked_bias|position_ids"
    r"|num_batches_tracked|rope_freqs\.weight|rope_factors_(?:long|short)\.weight|relative_position_index"
    r"|\.causal_mask|inv_freq|\.act_fn\.(?:beta|eps)|(?:diagonal|key|query)_decay|slope_rate|layer_scalar|\.attn_mask|\.e_score_correction_bias)"
)
_HEADS = re.compile(r"(?:.*\.)?(?:lm_head|embed_out|output|output_projection|cls\.predictions\.decoder)\.weight")
_PREDICTION = re.compile(
    r".*(?:^|\.)(?:mtp\w*|nextn\w*|eh_proj|enorm|hnorm|shared_head|mtp_layers|mtp_block|next_n_predict_layers)\."
)


def is_buffer(name: str, shape: Shape) -> bool:
    """Whether a tensor is computed rather than learned: rotary angles, masks, counters."""
    mask = re.search(r"\.(?:attn|attention|self_attention)\.bias$", name) is not None and len(shape) == 4
    return mask or _BUFFERS.fullmatch(name) is not None


def is_head(name: str) -> bool:
    """Whether a tensor of that name is an output head's."""
    return _HEADS.fullmatch(name) is not None


def is_prediction(name: str, path: str, layers: int) -> bool:
    """Whether a tensor is of a multi-token-prediction layer: so named, or a layer after the last."""
    if _PREDICTION.fullmatch(f"{name}.") or _PREDICTION.match(name):
        return True
    found = re.match(r"(?:\w+\.)*?(\w+)\.(\d{1,6})\.", name)
    return bool(found and found[1] in (path.rpartition(".")[2], "blk") and int(found[2]) >= layers)
