"""The parts that families compose: each is a frozen description that writes its operations into a `Run`."""

from calculator.parts.altup import AltUp
from calculator.parts.attention import Attention
from calculator.parts.basic import Embedding, Head, Idle, Linear, Norm, Part, Positions, Residual, VectorWeights
from calculator.parts.compressed import CompressedAttention, HyperConnection
from calculator.parts.convolution import GatedConvolution, LightningAttention
from calculator.parts.cross import CrossAttention, RelativeBias
from calculator.parts.elsewhere import Elsewhere
from calculator.parts.latent import LatentAttention
from calculator.parts.mlp import MLP, Experts
from calculator.parts.recurrent import GatedDeltaNet, Mamba, Mamba2
from calculator.parts.sparse import Indexer
from calculator.parts.stored import AttentionCore, LatentCore, Matrix, RoutedMatrix, Tensors
from calculator.parts.vision import PatchEmbedding, PatchMerger, VisionAttention

__all__ = [
    "MLP",
    "AltUp",
    "Attention",
    "AttentionCore",
    "CompressedAttention",
    "CrossAttention",
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
    "LatentCore",
    "LightningAttention",
    "Linear",
    "Mamba",
    "Mamba2",
    "Matrix",
    "Norm",
    "Part",
    "PatchEmbedding",
    "PatchMerger",
    "Positions",
    "RelativeBias",
    "Residual",
    "RoutedMatrix",
    "Tensors",
    "VectorWeights",
    "VisionAttention",
]
