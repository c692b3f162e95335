"""Adapters of the peft library: adapter_config.json, what it adds to which modules, and the sum with its base model."""
