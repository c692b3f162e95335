"""Folders that hold a checkpoint in a form that is not read, and what to do about each."""

from __future__ import annotations

from pathlib import Path

MARKS = (
    ("*.nemo", "NeMo", "an archive"),
    ("model_config.yaml", "NeMo", "YAML"),
    ("context/model.yaml", "NeMo", "YAML"),
    ("weights/*.yaml", "NeMo", "YAML"),
    ("latest_checkpointed_iteration.txt", "Megatron-LM", "arguments inside its .pt files"),
    ("run_config.yaml", "Megatron Bridge", "YAML"),
)


def unread_config(folder: Path) -> str | None:
    """A sentence about the checkpoint that lies in the folder, None where none of those known does."""
    if not folder.is_dir():
        return None
    for pattern, owner, form in MARKS:
        found = next(iter(sorted(folder.glob(pattern))), None)
        if found is not None:
            return (
                f"{str(folder)!r} holds a checkpoint of {owner} ({found.relative_to(folder)}), whose config is {form} "
                "and is not read here; save its fields as a JSON config.json (num_layers, hidden_size, "
                "ffn_hidden_size, num_attention_heads, padded_vocab_size and the flags), or convert it to "
                "transformers' form."
            )
    return None
