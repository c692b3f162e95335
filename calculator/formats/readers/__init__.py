"""Readers of `quantization_config`, a file for each family of libraries: from its block to a list of rules."""
