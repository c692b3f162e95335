"""Decoders whose channel mixer is, in some or all layers, a mixture of experts."""
