"""The gate that every model and every estimate passes: nothing without sense leaves it, and a sentence names the field.

A family reads a config and trusts it; what it builds is looked at here, once, whatever the family.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from calculator.config import Config, is_size, kinds_of
from calculator.errors import CalculatorError, ConfigError, WorkloadError, shown
from calculator.limits import limits
from calculator.numbers.symbolic import Expression
from calculator.record.recent import Recent
from calculator.record.run import written
from calculator.record.vocabulary import MEMORY_KINDS

if TYPE_CHECKING:
    from calculator.estimation import Estimate
    from calculator.model import Model, Stack
    from calculator.parts import Part

POSITIVE = frozenset(("hidden", "heads", "kv_heads", "key_heads", "value_heads", "head_dim", "key_dim", "value_dim"))
POSITIVE |= {"experts", "vocabulary", "top_k", "choices", "window", "kernel", "stride", "groups"}
POSITIVE |= {"inner", "state"}
"""Fields of parts of which none may be zero."""

WIDTHS = ("hidden_size", "d_model", "n_embd", "embed_dim", "emb_dim")
HEADS = ("num_attention_heads", "n_head", "n_heads", "encoder_attention_heads")
HEAD_SIZES = ("head_dim", "d_kv", "d_head", "head_size", "attention_head_size", "kv_channels", "qk_nope_head_dim")

NEEDED = frozenset((*WIDTHS, *HEADS, "decoder_attention_heads", "num_key_value_heads", "vocab_size"))
NEEDED |= {"max_position_embeddings", "n_positions"}


# Models


def check_model(model: Model) -> None:
    """Raises:
    ConfigError: the model is larger than is built here, or has a part that no model can have.
    """
    bound = limits()
    operations = 0
    for stack in (*model.stacks, *model.apart):
        _check_size(stack)
        for parts in (stack.before, *(layer.parts for layer, _ in stack.groups), stack.after):
            operations += _checked(parts).operations
            if operations > bound.operations:
                raise ConfigError(
                    f"This model runs more than {bound.operations:,} operations that differ from one another, which is "
                    "more than is built here; check the numbers of layers and of parts in a layer."
                )
    if not (_whole(model.hidden_size, 1) and _whole(model.vocabulary_size)):  # a draft may have no vocabulary
        sizes = f"{shown(model.hidden_size)} and {shown(model.vocabulary_size)}"
        raise ConfigError(f"hidden_size and vocab_size of this model are {sizes}; they must be whole numbers.")


class Checked(NamedTuple):
    """What was looked at: how many operations parts write, the most experts that one of them states, and the most
    copies of a weight, each with what has them."""

    operations: int
    experts: tuple[int, str]
    copies: tuple[int, str]


_CHECKED: Recent[Checked] = Recent(20_000)
"""Parts that were lately looked at, of at most so many operations together."""


def _checked(parts: tuple[Part, ...]) -> Checked:
    """What the parts write. Equal parts are looked at once, whatever model they stand in: nothing here depends on the
    rest of it, nor on limits.

    Raises:
        ConfigError: one of them no model can have.
    """
    known = _CHECKED.get(parts)
    if known is not None:
        return known
    experts = (0, "")  # which one tensor may hold, without copies
    for part in parts:
        for inner in _parts_in(part):
            _check_part(inner)
            stated = getattr(inner, "experts", 0)
            if isinstance(stated, int) and stated > experts[0]:
                experts = stated, f"{type(inner).__name__} {inner.name!r}"
    operations = _check_operations(parts)
    copies = max(((w.copies, w.name) for op in written(parts) for w in op.weights), default=(0, ""))
    found = Checked(operations, experts, copies)
    _CHECKED.put(parts, found, max(operations, 1))
    return found


def _check_size(stack: Stack) -> None:
    bound = limits()
    what = f"{stack.tower or 'language'} layers"
    if len(stack.layers) > bound.layers:
        raise ConfigError(f"This model has {len(stack.layers):,} {what}; at most {bound.layers:,} are built here.")
    if len(stack.groups) > bound.distinct_layers:
        raise ConfigError(
            f"This model has {len(stack.groups):,} {what} that differ from one another; at most "
            f"{bound.distinct_layers:,} are built here."
        )


def _parts_in(part: Part) -> Iterator[Part]:
    """The part and those it stands around."""
    yield part
    for value in vars(part).values():
        if type(value) in PLAIN:
            continue
        for inner in value if isinstance(value, tuple) else (value,):
            if hasattr(inner, "write") and is_dataclass(inner):
                yield from _parts_in(inner)  # type: ignore[arg-type]


def _values_of(part: Part) -> dict[str, Any]:
    """The part's fields, and those of the records that describe it (what an attention sees, its heads)."""
    values = vars(part)
    inner = [v for v in values.values() if type(v) not in PLAIN and is_dataclass(v) and not hasattr(v, "write")]
    if not inner:
        return values
    return {f.name: getattr(value, f.name) for value in inner for f in fields(value)} | values


PLAIN = frozenset((int, bool, str, float, type(None)))


def _check_part(part: Part) -> None:
    what = f"{type(part).__name__} {part.name!r}"
    values = _values_of(part)
    for name in POSITIVE & values.keys():
        if values[name] == 0 and not isinstance(values[name], bool):
            raise ConfigError(f"{what}: {name} is 0; it must be a whole number, one or more.")
    if part.MEASURED:
        return
    for few, many in (("top_k", "experts"), ("kv_heads", "heads")):
        least, most = values.get(few), values.get(many)
        if isinstance(least, int) and isinstance(most, int) and least > most:
            raise ConfigError(f"{what}: {few} is {shown(least)}, more than {many}, {shown(most)}.")
    heads, kv_heads = values.get("heads"), values.get("kv_heads")
    if isinstance(heads, int) and isinstance(kv_heads, int) and kv_heads and heads % kv_heads:
        raise ConfigError(f"{what}: kv_heads is {shown(kv_heads)}; it must divide the {shown(heads)} heads.")


def check_copies(model: Model) -> None:
    """Held against when the formats of the weights are known, whose rules may count experts too and say so better.

    Raises:
        ConfigError: a layer has more copies of a weight than are built here.
    """
    most = limits().copies
    for stack in (*model.stacks, *model.apart):
        for parts in (stack.before, *(layer.parts for layer, _ in stack.groups), stack.after):
            _, (experts, what), (copies, name) = _checked(parts)
            if experts > most:
                raise ConfigError(f"{what}: experts is {shown(experts)}; at most {most:,} are built here.")
            if copies > most:
                raise ConfigError(
                    f"Tensor {name!r} would stand {copies:,} times in a layer; at most {most:,} are built here."
                )


AMOUNTS = ("parameters", "active", "flops", "weight_bytes", "reads", "writes", "cache_bytes", "live")
_amounts = attrgetter(*AMOUNTS)
WHOLE = frozenset((int,))


def _check_operations(parts: tuple[Part, ...]) -> int:
    """How many operations the parts write, whose weights are whole numbers, not negative, and not too many."""
    listed = written(parts)
    for op in listed:
        for weight in op.weights:
            for size in (*weight.shape, weight.copies):
                if (type(size) is not int or not 0 <= size < MOST) and not _whole(size):
                    raise ConfigError(f"Tensor {weight.name!r} would have the shape {shown(weight.shape)}.")
        amounts = _amounts(op)
        if WHOLE.issuperset(map(type, amounts)) and min(amounts) >= 0:
            continue
        for name, amount in zip(AMOUNTS, amounts, strict=True):
            if not _sound(amount):
                raise ConfigError(f"Operation {op.name!r} would have {shown(amount)} {name}.")
    return len(listed)


MOST = 10**40


def _whole(value: Any, least: int = 0) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) and least <= value < MOST


def _sound(value: Any) -> bool:
    """Whether an amount is a number, finite, and not negative; arrays and expressions are held to it elsewhere."""
    if isinstance(value, Expression) or hasattr(value, "dtype"):
        return True
    return value >= 0 and (not isinstance(value, float) or math.isfinite(value))


# Fields, by the names that configs give them


def check_fields(config: Config) -> None:
    """No size that a file states is negative, and none without which there is no model is zero, whether the family
    reads it or not: whoever wrote it meant another number.

    Raises:
        ConfigError: one is.
    """
    for name, value in config.raw.items():
        name = config.aliases.get(name, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        least = 1 if name in NEEDED else 0 if is_size(name) and "negative" not in kinds_of(name) else None
        if least is not None and not value >= least:
            words = ("zero or more", "one or more")[least]
            raise ConfigError(f"{name} in {config.where} is {shown(value)}; it must be a whole number, {words}.")


def check_heads(config: Config) -> None:
    """Heads divide the width, or the size of a head is stated.

    Sizes that a type has by default are taken as transformers takes them (GLM-4.5's 96 heads on 4,096 features).

    Raises:
        ConfigError: a file states others.
    """
    width = next((n for n in WIDTHS if isinstance(config.peek(n), int)), None)
    heads = next((n for n in HEADS if isinstance(config.peek(n), int)), None)
    if width is None or heads is None or any(config.get(n) for n in HEAD_SIZES):
        return
    whole, parts = config[width], config[heads]
    if not (config.has_stated(width) or config.has_stated(heads)) or whole < 1:
        return
    if parts < 1 or whole % parts:
        raise ConfigError(
            f"{heads} in {config.where} is {shown(parts)}, which does not divide {width}, {shown(whole)}; give a "
            "divisor, or state head_dim."
        )


# Estimates


def check_estimate(estimate: Estimate) -> None:
    """Raises:
    WorkloadError: an amount is negative, not finite, or bytes or FLOPs are no whole number.
    """
    memory, flops, traffic = estimate.memory, estimate.flops, estimate.traffic
    amounts = {kind: getattr(memory, kind) for kind in MEMORY_KINDS}
    amounts |= {"FLOPs": flops.total, "bytes moved": traffic.total}
    for name, amount in amounts.items():
        if not _all_sound(amount):
            raise WorkloadError(
                f"The {name.replace('_', ' ')} of {estimate.model.name} would be {shown(amount)} for this workload, "
                "which cannot be; check the sizes in its config."
            )


def _all_sound(amount: Any) -> bool:
    if hasattr(amount, "dtype"):
        return amount.size == 0 or bool(amount.min() >= 0)
    return _sound(amount)


# Which field is to blame


def blamed(
    raw: Mapping[str, Any], build: Callable[[Mapping[str, Any]], object], error: Exception, took: float
) -> str | None:
    """The field without whose value a model could be built, in words; None where no single one is to blame, or where
    trying takes too long: the build that failed took so many seconds of its thread, whatever else the machine does."""
    until = time.thread_time() + 0.5
    if took > 0.2:
        return None
    for path, value in _suspects(raw):
        if time.thread_time() > until:
            return None
        if path[-1] in str(error):
            return None  # the sentence names it already
        if any(_builds(build, _with(raw, path, other)) for other in OTHERS if other != value):
            return f"{'.'.join(path)} is {shown(value)}"
    return None


OTHERS = (None, 8, 1)
"""What is tried in place of a suspect: its type's default first."""


def _builds(build: Callable[[Mapping[str, Any]], object], raw: Mapping[str, Any]) -> bool:
    try:
        build(raw)
    except (CalculatorError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError):
        return False
    return True


def _suspects(raw: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterable[tuple[tuple[str, ...], Any]]:
    """Fields of strange values, the strangest first."""
    found = []
    for name, value in raw.items():
        if isinstance(value, Mapping) and len(path) < 2:
            found += [(_strangeness(v), p, v) for p, v in _suspects(value, (*path, name))]
        if (strange := _strangeness(value, name)) > 0:
            found.append((strange, (*path, name), value))
    found.sort(key=lambda suspect: -suspect[0])
    return [(where, value) for _, where, value in found[:24]]


def _strangeness(value: Any, name: str = "") -> int:
    if isinstance(value, bool) or value is None:
        return 0
    if isinstance(value, int | float):
        return 4 if not value >= 0 else 3 if value == 0 or value >= 10**6 else 1
    known = kinds_of(name)
    kind = "list" if isinstance(value, list) else "object" if isinstance(value, Mapping) else "text"
    return 3 if known and kind not in known else 1 if kind == "list" else 0


def _with(raw: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The config with another value in a field, without the field where that is None."""
    found = copy.copy(dict(raw))
    if len(path) > 1:
        found[path[0]] = _with(found[path[0]], path[1:], value)
    elif value is None:
        del found[path[0]]
    else:
        found[path[0]] = value
    return found
