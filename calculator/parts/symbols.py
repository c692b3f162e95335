"""Symbols that several parts use. A symbol of one part alone stands beside it."""

from __future__ import annotations

from calculator.numbers.symbols import HIDDEN as HIDDEN
from calculator.numbers.symbols import Symbol

HEADS = Symbol("n_h", "attention heads")
KV_HEADS = Symbol("n_kv", "key-value heads")
HEAD_DIM = Symbol("d_h", "size of a head")
ROTATED = Symbol("d_r", "rotated elements of a head")
UNROTATED = Symbol("d_n", "unrotated elements of a head")
VALUE_DIM = Symbol("d_v", "size of a value head, where it is not that of a key")
WINDOW = Symbol("W", "attention window")
BLOCK = Symbol("b", "tokens of a block that an encoder attends within")
KERNEL = Symbol("k_c", "kernel of a convolution over tokens (ConvBERT, Nyströmformer)")
MLP_WIDTH = Symbol("d_ff", "MLP width")
EXPERTS = Symbol("E", "experts")
TOP_K = Symbol("k", "experts per token")
EXPERT_WIDTH = Symbol("d_e", "expert width")
INPUTS = Symbol("d_in", "inputs of a projection that stands alone")
OUTPUTS = Symbol("d_out", "outputs of a projection that stands alone")
KV_RANK = Symbol("r_kv", "rank of the latent keys and values")
QUERY_RANK = Symbol("r_q", "rank of the latent queries")
INDEX_HEADS = Symbol("n_i", "heads of a sparse-attention indexer")
INDEX_DIM = Symbol("d_i", "size of an indexer's head")
SELECTED = Symbol("k_i", "tokens, or compressed entries, that an indexer picks for each query")
RATIO = Symbol("m", "tokens per compressed entry")
STREAMS = Symbol("n_r", "residual streams of hyper-connections")
KEY_HEADS = Symbol("n_k", "key heads of a linear attention")
KEY_DIM = Symbol("d_k", "size of a key head of a linear attention")
VALUE_HEADS = Symbol("n_v", "value heads of a linear attention")

OF_HEADS = {"hidden": HIDDEN, "heads": HEADS, "kv_heads": KV_HEADS, "head_dim": HEAD_DIM}
"""The symbols of every attention."""
