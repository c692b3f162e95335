"""The kinds of inputs: how each is made, from a count and a seed, and what is done with one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from . import configs, headers, pages, questions, words

Make = Callable[[int, int], Iterable[Any]]

KINDS: dict[str, tuple[Make, Callable[[Any], object]]] = {
    "configs": (configs.mutations, configs.run),
    "sweep": (lambda count, seed: configs.sweep(), configs.run),
    "safetensors": (headers.safetensors_headers, headers.run_safetensors),
    "gguf": (headers.gguf_headers, headers.run_gguf),
    "commands": (words.command_lines, words.run_command),
    "links": (words.links, words.run_link),
    "pages": (pages.addresses, pages.open_page),
    **questions.KINDS,
}
