"""What llama.cpp knows of a model: the config.json behind a GGUF file's metadata, and its tensors' names."""
