"""A parsed config.json with the defaults of its model type, read field by field.

transformers writes only what differs from the type's defaults, so an absent field usually means the default, and the
defaults are facts of the type (data/defaults.json, read from the transformers package). A field that neither has is an
error: nothing is invented for a model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from calculator.errors import ConfigError

DATA = Path(__file__).parent / "data"
MOST_LAYERS, LARGEST = 10_000, 10**12  # far beyond any real model
COUNTS = ("num_", "n_", "moe_num_")
SIZES = ("_size", "_dim", "_rank", "_heads", "_layers", "_experts", "_groups", "_length")


@cache
def _defaults() -> str:
    return (DATA / "defaults.json").read_text(encoding="utf-8")


@cache
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
        self.raw = raw
        self.aliases = aliases
        self.ties_from: str | None = known.get(
            "ties"
        )  # where a composite type looks for tie_word_embeddings besides its own
        stated = {name: value for name, value in raw.items() if name not in aliases}
        stated |= {
            aliases[name]: value for name, value in raw.items() if name in aliases
        }  # transformers sets these last
        self.values_ = {**known.get("defaults", {}), **stated}
        self.stated = frozenset(stated)
        self.assumed: dict[tuple[str, str], Any] = {} if like is None else like.assumed
        self.read: set[tuple[str, str]] = set() if like is None else like.read

    def __getitem__(self, name: str) -> Any:
        name = self.aliases.get(name, name)
        value = self.values_[name]
        self.read.add((self.where, name))
        if name not in self.stated:
            self.assumed[self.where, name] = value
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = self.get(name)
        if value is None:
            raise ConfigError(
                f"{self.where} has no {name!r}, which a model of type {self.model_type!r} needs and for which that "
                "type has no default; add the field."
            )
        if name.startswith(COUNTS) or name.endswith(SIZES) or name == "depth":
            self._check_whole(name, value)
        return value

    def _check_whole(self, name: str, value: Any) -> None:
        values = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in values):
            raise ConfigError(f"{name} in {self.where} is {value!r}; it must be a whole number, zero or more.")
        most = MOST_LAYERS if name.endswith(("_layers", "depth")) else LARGEST
        if max(values, default=0) > most:
            raise ConfigError(f"{name} in {self.where} is {value!r}, but at most {most:,} is allowed; check the file.")

    def flag(self, name: str) -> bool:
        """A boolean field; absent or null is False.

        Raises:
            ConfigError: the field is no boolean.
        """
        value = self.get(name)
        if value is None or value in (0, 1):
            return bool(value)
        raise ConfigError(f"{name} in {self.where} is {value!r}; it must be true or false.")

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

    def with_values(self, **fields: Any) -> Config:
        """The same config with other values of some fields, which then count as stated."""
        made = Config({**self.values_, **fields}, self.model_type, where=self.where, like=self)
        made.stated = self.stated | {self.aliases.get(name, name) for name in fields}
        return made

    def has_stated(self, name: str) -> bool:
        """Whether the file itself states the field, not only its type's default."""
        return name in self.raw or any(alias in self.raw for alias, real in self.aliases.items() if real == name)
