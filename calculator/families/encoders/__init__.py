"""Encoders of text, with the head that a checkpoint's class names."""
