"""The parts that families compose: each is a frozen description that writes its operations into a `Run`."""

from calculator.parts.altup import AltUp
from calculator.parts.attention import Attention
from calculator.parts.basic import Embedding, Head, Idle, Linear, Norm, Part, Positions, Residual, VectorWeights
from calculator.parts.compressed import CompressedAttention, HyperConnection
from calculator.parts.convolution import AudioConvolution, GatedConvolution, LightningAttention
from calculator.parts.cross import CrossAttention, EncoderOutput, PooledHead, RelativeBias
from calculator.parts.elsewhere import Elsewhere
from calculator.parts.latent import LatentAttention
from calculator.parts.local import GlobalLocalAttention, LocalAttention, Padded, SlidingAttention, SparseAttention
from calculator.parts.mlp import MLP, Experts
from calculator.parts.ngram import NgramAttention, StreamedQueries, Streams
from calculator.parts.recurrent import GatedDeltaNet, Mamba, Mamba2
from calculator.parts.sparse import Indexer
from calculator.parts.vision import PatchEmbedding, PatchMerger, VisionAttention

__all__ = [
    "MLP",
    "AltUp",
    "Attention",
    "AudioConvolution",
    "CompressedAttention",
    "CrossAttention",
    "Elsewhere",
    "Embedding",
    "EncoderOutput",
    "Experts",
    "GatedConvolution",
    "GatedDeltaNet",
    "GlobalLocalAttention",
    "Head",
    "HyperConnection",
    "Idle",
    "Indexer",
    "LatentAttention",
    "LightningAttention",
    "Linear",
    "LocalAttention",
    "Mamba",
    "Mamba2",
    "NgramAttention",
    "Norm",
    "Padded",
    "Part",
    "PatchEmbedding",
    "PatchMerger",
    "PooledHead",
    "Positions",
    "RelativeBias",
    "Residual",
    "SlidingAttention",
    "SparseAttention",
    "StreamedQueries",
    "Streams",
    "VectorWeights",
    "VisionAttention",
]
