"""The parts that families compose: each is a frozen description that writes its operations into a `Run`."""

from calculator.parts.altup import AltUp
from calculator.parts.attention import Attention
from calculator.parts.basic import Embedding, Head, Idle, Linear, Norm, Part, Positions, Residual, VectorWeights
from calculator.parts.compressed import CompressedAttention, HyperConnection
from calculator.parts.convolution import GatedConvolution, LightningAttention
from calculator.parts.cross import CrossAttention, RelativeBias
from calculator.parts.delta import DeltaAttention, HeadGate
from calculator.parts.elsewhere import Elsewhere
from calculator.parts.griffin import GatedLinearRecurrence
from calculator.parts.inkling import BlockResidual, RelativeAttention, SharedExperts, ShortConvolution
from calculator.parts.latent import LatentAttention
from calculator.parts.mlp import MLP, Experts
from calculator.parts.patches import AtPatches, Frozen, HashEmbedding, PatchAttention
from calculator.parts.recurrent import GatedDeltaNet, HeadedMamba, Mamba, Mamba2
from calculator.parts.rwkv import ChannelMix, MatrixTimeMix, TimeMix
from calculator.parts.sparse import Indexer
from calculator.parts.streams import BlockIndexer, GatedResidual, NGramEmbedding
from calculator.parts.vision import PatchEmbedding, PatchMerger, VisionAttention
from calculator.parts.xlstm import MatrixLSTM

__all__ = [
    "MLP",
    "AltUp",
    "AtPatches",
    "Attention",
    "BlockIndexer",
    "BlockResidual",
    "ChannelMix",
    "CompressedAttention",
    "CrossAttention",
    "DeltaAttention",
    "Elsewhere",
    "Embedding",
    "Experts",
    "Frozen",
    "GatedConvolution",
    "GatedDeltaNet",
    "GatedLinearRecurrence",
    "GatedResidual",
    "HashEmbedding",
    "Head",
    "HeadGate",
    "HeadedMamba",
    "HyperConnection",
    "Idle",
    "Indexer",
    "LatentAttention",
    "LightningAttention",
    "Linear",
    "Mamba",
    "Mamba2",
    "MatrixLSTM",
    "MatrixTimeMix",
    "NGramEmbedding",
    "Norm",
    "Part",
    "PatchAttention",
    "PatchEmbedding",
    "PatchMerger",
    "Positions",
    "RelativeAttention",
    "RelativeBias",
    "Residual",
    "SharedExperts",
    "ShortConvolution",
    "TimeMix",
    "VectorWeights",
    "VisionAttention",
]
