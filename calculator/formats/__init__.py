"""Number formats, GGUF's types, and how checkpoints are quantized."""
