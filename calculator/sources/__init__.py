"""From a name, a path, a config or numbers to a model."""
