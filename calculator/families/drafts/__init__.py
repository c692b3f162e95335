"""Draft heads for speculative decoding: small models that read their target's hidden states, and share its embedding or
head."""
