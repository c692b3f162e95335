"""A parsed config.json with the defaults of its model type, read field by field.

transformers writes only what differs from the type's defaults, so an absent field usually means the default, and the
defaults are facts of the type (data/defaults.json, read from the transformers package). A field that neither has is an
error: nothing is invented for a model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from functools import cache
from pathlib import Path
from typing import Any

from calculator.errors import ConfigError, shown
from calculator.limits import limits, remembered

DATA = Path(__file__).parent / "data"
LARGEST = 10**12  # far beyond any number of a real model
COUNTS = ("num_", "n_", "moe_num_")
NUMBERS = frozenset(("whole", "fraction", "negative"))
SIZES = ("_size", "_dim", "_rank", "_heads", "_layers", "_experts", "_groups", "_length")


@cache
def _defaults() -> str:
    return (DATA / "defaults.json").read_text(encoding="utf-8")


@remembered(1024)
def defaults_of(model_type: str) -> Mapping[str, Any]:
    """What a model type assumes: {"defaults", "aliases", "sub_configs"}; empty for a type that is not known.

    The file has a line a type, and a model needs a few of eight hundred: no more than those is parsed.
    """
    key = f"\n{json.dumps(model_type)}:"
    start = _defaults().find(key)
    if start < 0:
        return {}
    start += len(key)
    found = json.loads(_defaults()[start : _defaults().find("\n", start)].rstrip(","))
    # A string stands for another type with the same defaults.
    return defaults_of(found) if isinstance(found, str) else found


@remembered(4096)
def is_size(name: str) -> bool:
    """Whether a field of that name counts something or says how large it is."""
    return name.startswith(COUNTS) or name.endswith(SIZES) or name == "depth"


def kinds_of(name: str) -> frozenset[str]:
    """What the defaults of all types hold in a field of that name: "list", "object", "text", "fraction", "negative" and
    "whole"; empty where no type has a default for it."""
    return _kinds().get(name, frozenset())


@cache
def _kinds() -> Mapping[str, frozenset[str]]:
    found = json.loads((DATA / "kinds.json").read_text(encoding="utf-8"))
    return {name: frozenset(kinds.split()) for kinds, names in found.items() for name in names}


def kinds_in(defaults: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What data/kinds.json holds: the kinds of values -> the fields that have these in the defaults of some type."""
    found: dict[str, set[str]] = {}
    for name, value in ((n, v) for fields in defaults for n, v in fields.items()):
        found.setdefault(name, set()).add(_kind(value))
    names: dict[str, list[str]] = {}
    for name, kinds in sorted(found.items()):
        if kinds - {""}:
            names.setdefault(" ".join(sorted(kinds - {""})), []).append(name)
    return names


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, int):
        return "negative" if value < 0 else "whole"
    return {float: "fraction", str: "text", list: "list", tuple: "list", dict: "object"}.get(type(value), "object")


class Config(Mapping[str, Any]):
    """A config.json as attributes. `config.hidden_size` raises a ConfigError that names the field if it is absent or no
    whole number; `config.get("head_dim")` is None where the field is absent or null."""

    def __init__(
        self, raw: Mapping[str, Any], model_type: str, *, where: str = "config.json", like: Config | None = None
    ) -> None:
        """
        Args:
            like: the config this one is made of: what is assumed there without being stated is shared.
        """
        known = defaults_of(model_type)
        aliases = known.get("aliases", {})
        self.model_type = model_type
        self.where = where
        self.strict = True  # while a family reads it; afterwards it is what the file says
        self.raw = raw
        self.aliases = aliases
        self.ties_from: str | None = known.get(
            "ties"
        )  # where a composite type looks for tie_word_embeddings besides its own
        stated = {name: value for name, value in raw.items() if name not in aliases}
        stated |= {
            aliases[name]: value for name, value in raw.items() if name in aliases
        }  # transformers sets these last
        self._values = {**known.get("defaults", {}), **stated}
        self.stated = frozenset(stated)
        self.assumed: dict[tuple[str, str], Any] = {} if like is None else like.assumed
        self.read: set[tuple[str, str]] = set() if like is None else like.read

    def __getitem__(self, name: str) -> Any:
        name = self.aliases.get(name, name)
        value = self._values[name]
        self.read.add((self.where, name))
        if name not in self.stated:
            self.assumed[self.where, name] = value
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """The field, held against what it is in the types that have it; `config[name]` is the value as it stands."""
        name = self.aliases.get(name, name)
        value = self[name] if name in self._values else default
        kind = _kind(value)
        if self.strict and kind and (kind != "whole" or value > LARGEST):
            self._check_kind(name, value, kind)
        return value

    def _check_kind(self, name: str, value: Any, kind: str) -> None:
        """A scalar field is a scalar, a whole number is whole, and no number is beyond all sense: held against what the
        field is in every type that has it."""
        if isinstance(value, int | float) and not abs(value) <= LARGEST:
            raise ConfigError(f"{name} in {self.where} is {shown(value)}; it must lie within {LARGEST:,}.")
        known = kinds_of(name)
        refused = (
            known <= NUMBERS
            if kind in ("list", "object", "text")
            else known <= NUMBERS - {"fraction"}
            if kind == "fraction"
            else "whole" in known  # negative
        )
        if known and kind not in known and refused:
            words = "a number" if "fraction" in known else "a whole number"
            least = "" if "negative" in known else ", zero or more"
            raise ConfigError(f"{name} in {self.where} is {shown(value)}; it must be {words}{least}.")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = self.get(name)
        if value is None:
            where = self.where[:1].upper() + self.where[1:]
            raise ConfigError(
                f"{where} has no {name!r}, which a model of type {self.model_type!r} needs and for which that type has "
                "no default; add the field."
            )
        if is_size(name):
            self._check_whole(name, value)
        return value

    def _check_whole(self, name: str, value: Any) -> None:
        layers = name.endswith(("_layers", "depth"))
        if type(value) is int and 0 <= value <= LARGEST and not layers:
            return
        values = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in values):
            raise ConfigError(f"{name} in {self.where} is {shown(value)}; it must be a whole number, zero or more.")
        most = limits().layers if layers else LARGEST
        if max(values, default=0) > most:
            raise ConfigError(
                f"{name} in {self.where} is {shown(value)}, but at most {most:,} is allowed; check the file."
            )

    def listed(self, name: str) -> Any:
        """A field that some types state once and others layer by layer: a number, a list of numbers, or None.

        Raises:
            ConfigError: it is neither.
        """
        value = self.peek(name)
        if not isinstance(value, list | tuple):
            return self.get(name)
        if len(value) > limits().layers:
            raise ConfigError(
                f"{name} in {self.where} has {len(value):,} entries; at most {limits().layers:,} are read."
            )
        self._check_whole(name, [int(v) if isinstance(v, bool) else v for v in value])
        return list(value)

    def flag(self, name: str) -> bool:
        """A boolean field; absent or null is False.

        Raises:
            ConfigError: the field is no boolean.
        """
        value = self.get(name)
        if value is None or value in (0, 1):
            return bool(value)
        raise ConfigError(f"{name} in {self.where} is {shown(value)}; it must be true or false.")

    def first(self, *names: str) -> Any:
        """The first of the fields that is stated (or has a default)."""
        for name in names:
            if self.get(name) is not None:
                return getattr(self, name)
        return getattr(self, names[0])

    def section(self, name: str, model_type: str | None = None) -> Config:
        """The sub-configuration `name` with the defaults of its own type."""
        raw = self.get(name) or {}
        if not isinstance(raw, Mapping):
            raise ConfigError(
                f"{name} in {self.where} is {type(raw).__name__}; it must be an object with the fields of that part."
            )
        known = defaults_of(self.model_type)
        fixed, stated = known.get("sub_configs", {}).get(name), raw.get("model_type")
        # Most fields have one class whatever the part calls itself (Qwen3-VL's vision_config says "qwen3_vl").
        kind = stated if fixed is None or (name in known.get("auto_configs", ()) and stated) else fixed
        made = Config(raw, str(kind or model_type), where=f"{name} of {self.where}", like=self)
        if name not in self.stated:
            made.stated = frozenset()  # the type's own arguments for that part
        return made

    def peek(self, name: str) -> Any:
        """The field as it stands, which does not count as read."""
        return self._values.get(self.aliases.get(name, name))

    def plain(self) -> dict[str, Any]:
        """All fields with their values, those that the type has by default among them."""
        return dict(self._values)

    def read_as(self, **fields: Any) -> Config:
        """The same file, read as if these fields had other values; what it states stays what it states."""
        made = copy(self)
        made._values = {**self._values, **{self.aliases.get(name, name): value for name, value in fields.items()}}
        return made

    def with_values(self, **fields: Any) -> Config:
        """The same config with other values of some fields, which then count as stated."""
        made = Config({**self._values, **fields}, self.model_type, where=self.where, like=self)
        made.stated = self.stated | {self.aliases.get(name, name) for name in fields}
        return made

    def has_stated(self, name: str) -> bool:
        """Whether the file itself states the field, not only its type's default."""
        return name in self.raw or any(alias in self.raw for alias, real in self.aliases.items() if real == name)
