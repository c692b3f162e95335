"""The parts that families compose: each is a frozen description that writes its operations into a `Run`."""

from calculator.parts.altup import AltUp
from calculator.parts.approximate import BlockSparseAttention, LandmarkAttention, WindowAttention
from calculator.parts.attention import Attention, AttentionCore
from calculator.parts.basic import Embedding, Head, Idle, Linear, Norm, Part, Positions, Residual, VectorWeights
from calculator.parts.compressed import CompressedAttention, HyperConnection
from calculator.parts.convolution import (
    DynamicConvolution,
    GatedConvolution,
    GroupedLinear,
    LightningAttention,
    TokenConvolution,
)
from calculator.parts.cross import CrossAttention, RelativeBias
from calculator.parts.disentangled import DisentangledAttention, DistanceTable
from calculator.parts.elsewhere import Elsewhere
from calculator.parts.latent import LatentAttention
from calculator.parts.mlp import MLP, Experts
from calculator.parts.positioned import Activation, Positioned
from calculator.parts.recurrent import GatedDeltaNet, Mamba, Mamba2
from calculator.parts.relative import RelativeAttention
from calculator.parts.sparse import Indexer
from calculator.parts.vision import PatchEmbedding, PatchMerger, VisionAttention

__all__ = [
    "MLP",
    "Activation",
    "AltUp",
    "Attention",
    "AttentionCore",
    "BlockSparseAttention",
    "CompressedAttention",
    "CrossAttention",
    "DisentangledAttention",
    "DistanceTable",
    "DynamicConvolution",
    "Elsewhere",
    "Embedding",
    "Experts",
    "GatedConvolution",
    "GatedDeltaNet",
    "GroupedLinear",
    "Head",
    "HyperConnection",
    "Idle",
    "Indexer",
    "LandmarkAttention",
    "LatentAttention",
    "LightningAttention",
    "Linear",
    "Mamba",
    "Mamba2",
    "Norm",
    "Part",
    "PatchEmbedding",
    "PatchMerger",
    "Positioned",
    "Positions",
    "RelativeAttention",
    "RelativeBias",
    "Residual",
    "TokenConvolution",
    "VectorWeights",
    "VisionAttention",
    "WindowAttention",
]
