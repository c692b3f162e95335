"""adapter_config.json read: which modules it targets, and how wide the adapter is there (peft 0.21)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from calculator.errors import ConfigError, shown
from calculator.formats.automaton import Automaton, Pattern

FILE = "adapter_config.json"
BESIDE = "; base: "
"""In the source of a model, between its adapter's and its base's."""
ALL_LINEAR = "all-linear"
LARGEST_RANK = 100_000

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
    """Whether a parsed JSON is an adapter_config.json, peft's or mlx-lm's."""
    return isinstance(raw.get("peft_type"), str) or isinstance(raw.get("lora_parameters"), Mapping)


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
    _automata: dict[str, Automaton] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Settings:
        """The settings of a parsed adapter_config.json.

        Raises:
            ConfigError: of a kind that is not known here, or a field is of the wrong kind.
        """
        if "peft_type" not in raw:
            raise _of_mlx(raw)
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
            raise ConfigError(
                f"target_modules in {FILE} is {shown(targets)}; it must be a list of names, a regex or null."
            )
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
            raise ConfigError(f"{key} in {FILE} is {shown(found)}; it must be a name or a list of names.")
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
            raise ConfigError(f"rank_pattern in {FILE} is {shown(patterns)}; it must be an object of names and ranks.")
        place = self.first("rank_pattern", [rf"(.*\.)?({key})$" for key in patterns], module)
        if place is None:
            return self.rank
        key, rank = list(patterns.items())[place]
        return whole(f"rank_pattern[{shown(key)}]", rank)

    def tokens_of(self, module: str, embedding: bool) -> int:
        """Rows of a table that are trained beside it (trainable_token_indices): of the embedding, or of those named.

        Raises:
            ConfigError: the field is no list of tokens, nor lists by module.
        """
        stated = self.raw.get("trainable_token_indices")
        if stated is None:
            return 0
        if isinstance(stated, list):
            return len(stated) if embedding and "position" not in module else 0
        if not isinstance(stated, Mapping) or not all(isinstance(rows, list) for rows in stated.values()):
            raise ConfigError(
                f"trainable_token_indices in {FILE} is {shown(stated)}; it must be a list of tokens, or one by module."
            )
        return next((len(rows) for name, rows in stated.items() if f".{module}".endswith(f".{name}")), 0)

    def first(self, field: str, patterns: list[str], name: str, *, whole: bool = False) -> int | None:
        """The place of the first of a field's patterns that match the name, from its start or as a whole. They are a
        stranger's, so they run in time linear in the name (`formats.automaton`), all of a field at once.

        Raises:
            ConfigError: one of them is no regular expression that is run here.
        """
        if field not in self._automata:
            listed = ((place, Pattern(text, whole=whole)) for place, text in enumerate(patterns))
            self._automata[field] = Automaton(listed)
        return min(self._automata[field].matches(name), default=None)


def _of_mlx(raw: Mapping[str, Any]) -> ConfigError:
    """What is said of an adapter of mlx-lm, which adapts other modules by default from one version to the next."""
    base = shown(raw["model"]) if raw.get("model") else "a model it does not name"
    rank = shown(raw["lora_parameters"].get("rank"))
    return ConfigError(
        f"This is an adapter (LoRA of mlx-lm, rank {rank}) of {base}: which modules it stands beside depends on the "
        f"version of mlx-lm, so that its size is not known from {FILE}; give the base model, or the adapter in peft's "
        "form with its target_modules."
    )


def whole(key: str, value: Any) -> int:
    """The value as a positive whole number.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_RANK:
        raise ConfigError(f"{key} in {FILE} is {shown(value)}; it must be a whole number from 1 to {LARGEST_RANK:,}.")
    return value


def _rank(raw: Mapping[str, Any], kind: str) -> int:
    for key in RANKS.get(kind, ()):
        return whole(key, raw.get(key, {"init_r": 12}.get(key, 8)))
    return 0


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
        return (
            targets.lower() == ALL_LINEAR or settings.first("target_modules", [targets], module, whole=True) is not None
        )
    return any(module == t or module.endswith(f".{t}") for t in targets) and _in_layers(settings, module)


def _excluded(settings: Settings, module: str) -> bool:
    listed = settings.raw.get("exclude_modules")
    if isinstance(listed, str):
        if listed and settings.first("exclude_modules", [listed], module, whole=True) is not None:
            return True
    elif any(module == t or module.endswith(f".{t}") for t in settings.names("exclude_modules")):
        return True
    return saved_whole(settings, module)


def saved_whole(settings: Settings, module: str) -> bool:
    """Whether modules_to_save has the module, of which the adapter keeps a copy."""
    patterns = [rf"(^|.*\.){name}($|\..*)" for name in settings.names("modules_to_save")]
    return settings.first("modules_to_save", patterns, module) is not None


def _in_layers(settings: Settings, module: str) -> bool:
    """Whether the module's layer is among layers_to_transform: the first number behind a name of layers_pattern, or
    behind any name but the first (peft, `(?:^|.*?\\.)NAME\\.(\\d+)\\.`)."""
    listed = settings.raw.get("layers_to_transform")
    if listed is None or listed == []:
        return True
    allowed = listed if isinstance(listed, list) else [listed]
    names = settings.names("layers_pattern")
    words = module.split(".")
    for place, word in enumerate(words[1:-1], 1):
        if not (word.isascii() and word.isdigit() and len(word) < 10):
            continue
        before = ".".join(words[:place])
        patterns = [rf"(?:.*\.)?(?:{name})" for name in names]
        if settings.first("layers_pattern", patterns, before, whole=True) is not None if names else place > 1:
            return int(word) in allowed
    return False
