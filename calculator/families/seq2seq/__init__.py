"""Encoders with decoders that attend to their output."""
