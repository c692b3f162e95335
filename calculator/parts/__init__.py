"""The parts that families compose: each is a frozen description that writes its operations into a `Run`."""

from calculator.parts.altup import AltUp
from calculator.parts.attention import Attention
from calculator.parts.basic import Embedding, Head, Idle, Linear, Norm, Part, Positions, Residual, VectorWeights
from calculator.parts.compressed import CompressedAttention, HyperConnection
from calculator.parts.convolution import GatedConvolution, LightningAttention
from calculator.parts.cross import CrossAttention, RelativeBias
from calculator.parts.differential import DifferentialAttention
from calculator.parts.dynamic import DynamicMask, RetrievalExperts
from calculator.parts.elsewhere import Elsewhere, WithoutGradient
from calculator.parts.latent import LatentAttention
from calculator.parts.mlp import MLP, Experts
from calculator.parts.recurrent import GatedDeltaNet, Mamba, Mamba2
from calculator.parts.sparse import Indexer
from calculator.parts.vision import PatchEmbedding, PatchMerger, VisionAttention

__all__ = [
    "MLP",
    "AltUp",
    "Attention",
    "CompressedAttention",
    "CrossAttention",
    "DifferentialAttention",
    "DynamicMask",
    "Elsewhere",
    "Embedding",
    "Experts",
    "GatedConvolution",
    "GatedDeltaNet",
    "Head",
    "HyperConnection",
    "Idle",
    "Indexer",
    "LatentAttention",
    "LightningAttention",
    "Linear",
    "Mamba",
    "Mamba2",
    "Norm",
    "Part",
    "PatchEmbedding",
    "PatchMerger",
    "Positions",
    "RelativeBias",
    "Residual",
    "RetrievalExperts",
    "VectorWeights",
    "VisionAttention",
    "WithoutGradient",
]
