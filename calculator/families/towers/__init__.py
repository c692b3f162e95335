"""The towers themselves and what joins them to a language model; no model type is registered here."""
