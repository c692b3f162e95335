"""adapter_config.json read: which modules it targets, and how wide the adapter is there (peft 0.21)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from calculator.errors import ConfigError

FILE = "adapter_config.json"
ALL_LINEAR = "all-linear"
LARGEST_RANK = 100_000

# A config is a stranger's file: its patterns may not make the regex engine backtrack without end.
REPEATS = re.compile(r"[*+]|\{\d+,\d*\}")
NESTED = re.compile(r"[*+}][^()]*\)\s*[*+{]|\|[^()]*\)\s*[*+{]")
MOST_REPEATS = 8

RANKS = {"LORA": ("r",), "LOHA": ("r",), "ADALORA": ("init_r",)}
KINDS = ("LORA", "ADALORA", "LOHA", "IA3", "PROMPT_TUNING", "PREFIX_TUNING")
"""The kinds whose size is known here."""

DEFAULT_TARGETS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("gpt2", "gpt_bigcode"), ("c_attn",)),
    **dict.fromkeys(("bloom", "gpt_neox", "chatglm", "falcon"), ("query_key_value",)),
    **dict.fromkeys(("t5", "mt5"), ("q", "v")),
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "electra"), ("query", "value")),
    **dict.fromkeys(("llama", "llama4", "mistral", "mixtral", "gemma", "gemma2", "gemma3_text"), ("q_proj", "v_proj")),
    **dict.fromkeys(("qwen2", "qwen3", "stablelm", "opt", "gptj", "gpt_neo", "bart"), ("q_proj", "v_proj")),
    "phi": ("q_proj", "v_proj", "fc1", "fc2"),
    "mpt": ("Wqkv",),
    "codegen": ("qkv_proj",),
    "nemotron_h": ("q_proj", "k_proj", "v_proj", "o_proj"),
}
"""What LoRA targets where target_modules is null (peft, utils/constants.py)."""


def is_adapter(raw: Mapping[str, Any]) -> bool:
    """Whether a parsed JSON is an adapter_config.json."""
    return isinstance(raw.get("peft_type"), str)


@dataclass(frozen=True)
class Settings:
    """An adapter_config.json.

    Attributes:
        kind: peft_type. base: base_model_name_or_path, "" for none.
        targets: names, or one regex, or "all-linear"; None for the type's usual ones.
    """

    kind: str
    base: str
    rank: int
    targets: str | tuple[str, ...] | None
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Settings:
        """The settings of a parsed adapter_config.json.

        Raises:
            ConfigError: of a kind that is not known here, or a field is of the wrong kind.
        """
        kind, base = str(raw["peft_type"]).upper(), str(raw.get("base_model_name_or_path") or "")
        if kind not in KINDS:
            raise ConfigError(
                f"This is an adapter ({kind}) of {base or 'a model it does not name'}, whose size is not known here; "
                f"the kinds known are {', '.join(KINDS)}."
            )
        targets = raw.get("target_modules")
        if isinstance(targets, list):
            targets = tuple(map(str, targets))
        if not (targets is None or isinstance(targets, str | tuple)):
            raise ConfigError(f"target_modules in {FILE} is {targets!r}; it must be a list of names, a regex or null.")
        return cls(kind, base, _rank(raw, kind), targets, raw)

    @property
    def title(self) -> str:
        """What people call it."""
        return "DoRA" if self.raw.get("use_dora") else {"LORA": "LoRA", "ADALORA": "AdaLoRA"}.get(self.kind, self.kind)

    def names(self, key: str) -> tuple[str, ...]:
        """A field that is a name or a list of names."""
        found = self.raw.get(key) or ()
        if isinstance(found, str):
            return (found,)
        if not isinstance(found, list | tuple):
            raise ConfigError(f"{key} in {FILE} is {found!r}; it must be a name or a list of names.")
        return tuple(map(str, found))

    def whole(self, key: str) -> int:
        """A field that is a positive whole number.

        Raises:
            ConfigError: it is not.
        """
        return whole(key, self.raw.get(key))

    def rank_at(self, module: str) -> int:
        """The rank of a module: rank_pattern's first key that its name ends with, or else r."""
        patterns = self.raw.get("rank_pattern") or {}
        if not isinstance(patterns, Mapping):
            raise ConfigError(f"rank_pattern in {FILE} is {patterns!r}; it must be an object of names and ranks.")
        for key, rank in patterns.items():
            if safe(rf"(.*\.)?({key})$").match(module):
                return whole(f"rank_pattern[{key!r}]", rank)
        return self.rank


def whole(key: str, value: Any) -> int:
    """The value as a positive whole number.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_RANK:
        raise ConfigError(f"{key} in {FILE} is {value!r}; it must be a whole number from 1 to {LARGEST_RANK:,}.")
    return value


def _rank(raw: Mapping[str, Any], kind: str) -> int:
    for key in RANKS.get(kind, ()):
        return whole(key, raw.get(key, {"init_r": 12}.get(key, 8)))
    return 0


def safe(pattern: str) -> re.Pattern[str]:
    """The compiled pattern.

    Raises:
        ConfigError: it is no regex, or could take the regex engine very long.
    """
    if len(pattern) > 2000 or len(REPEATS.findall(pattern)) > MOST_REPEATS or NESTED.search(pattern):
        raise ConfigError(f"The pattern {pattern[:60]!r} in {FILE} is too long or repeats too much.")
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"The pattern {pattern[:60]!r} in {FILE} is no regular expression: {error}.") from error


def targeted(settings: Settings, module: str, model_type: str) -> bool:
    """Whether the adapter stands beside the module of that name (peft, check_target_module_exists). "all-linear" is
    left to the caller, who knows which modules are."""
    if _excluded(settings, module):
        return False
    targets = settings.targets
    if targets is None:
        targets = DEFAULT_TARGETS.get(model_type)
        if targets is None:
            raise ConfigError(
                f"target_modules in {FILE} is null, and peft knows no usual modules of type {model_type!r}; list them."
            )
    if isinstance(targets, str):
        return targets.lower() == ALL_LINEAR or safe(targets).fullmatch(module) is not None
    return any(module == t or module.endswith(f".{t}") for t in targets) and _in_layers(settings, module)


def _excluded(settings: Settings, module: str) -> bool:
    listed = settings.raw.get("exclude_modules")
    if isinstance(listed, str):
        if listed and safe(listed).fullmatch(module):
            return True
    elif any(module == t or module.endswith(f".{t}") for t in settings.names("exclude_modules")):
        return True
    return saved_whole(settings, module)


def saved_whole(settings: Settings, module: str) -> bool:
    """Whether modules_to_save has the module, of which the adapter keeps a copy."""
    return any(safe(rf"(^|.*\.){name}($|\..*)").match(module) for name in settings.names("modules_to_save"))


def _in_layers(settings: Settings, module: str) -> bool:
    listed = settings.raw.get("layers_to_transform")
    if listed is None or listed == []:
        return True
    allowed = listed if isinstance(listed, list) else [listed]
    patterns = [rf"(?:^|.*?\.){p}\.(\d+)\." for p in settings.names("layers_pattern")] or [r".*?\.[^.]*\.(\d+)\."]
    found = next((m for p in patterns if (m := safe(p).match(module))), None)
    return found is not None and int(found[1]) in allowed
