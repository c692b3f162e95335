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

TORCH = "a checkpoint of torch, which is a program to unpickle"
UNREAD = {
    **dict.fromkeys((".bin", ".pt", ".pth", ".ckpt"), TORCH),
    **dict.fromkeys((".tflite", ".task", ".litertlm"), "a model of LiteRT"),
    **dict.fromkeys((".engine", ".plan"), "an engine of TensorRT"),
    **dict.fromkeys((".mlmodel", ".mlpackage"), "a model of Core ML"),
    **dict.fromkeys((".npz", ".npy"), "arrays of NumPy"),
    ".h5": "a checkpoint of Keras",
    ".msgpack": "a checkpoint of Flax",
    ".nemo": "an archive of NeMo",
    ".onnx": "a graph of ONNX",
    ".rkllm": "a model of RKLLM",
}
"""Files of weights that are not opened, by their ends."""


def unread_file(file: Path) -> str | None:
    """A sentence about a file of weights that is not opened here, None for any other file."""
    kind = UNREAD.get(file.suffix.lower())
    return kind and (
        f"{str(file)!r} is {kind} and is not opened here; give the config.json that belongs to it, or the weights as "
        "safetensors or GGUF files."
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
    weights = next((file for file in sorted(folder.iterdir()) if file.suffix.lower() in UNREAD), None)
    return unread_file(weights) if weights is not None else None
