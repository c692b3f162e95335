"""The parts that families compose: each is a frozen description that writes its operations into a `Run`.

A module here loads when one of its parts is first used: a model needs a few of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calculator.parts.adapters import LowRank
    from calculator.parts.altup import AltUp
    from calculator.parts.approximate import BlockSparseAttention, LandmarkAttention, WindowAttention
    from calculator.parts.attention import Attention
    from calculator.parts.base import Part
    from calculator.parts.basic import Embedding, Head, Idle, Linear, Positions, Residual, VectorWeights
    from calculator.parts.chosen import ChosenHeads, ConvolvedAttention, RouterMLP
    from calculator.parts.compressed import CompressedAttention, HyperConnection
    from calculator.parts.conditioned import ConditionedScale
    from calculator.parts.convolution import (
        DynamicConvolution,
        GatedConvolution,
        GroupedLinear,
        LightningAttention,
        TokenConvolution,
    )
    from calculator.parts.cross import CrossAttention, EncoderOutput, PooledHead, RelativeBias
    from calculator.parts.delta import DeltaAttention, HeadGate
    from calculator.parts.differential import DifferentialAttention
    from calculator.parts.disentangled import DisentangledAttention, DistanceTable
    from calculator.parts.dynamic import DynamicMask, RetrievalExperts
    from calculator.parts.elsewhere import CacheElsewhere, Elsewhere, WithoutGradient
    from calculator.parts.experts import Experts
    from calculator.parts.griffin import GatedLinearRecurrence
    from calculator.parts.heads import Biases, Gate, HeadNorms, Names, Sees
    from calculator.parts.inkling import (
        BlockResidual,
        DistanceAttention,
        GatedShortKernel,
        MessageGate,
        SharedExperts,
        ShortConvolution,
    )
    from calculator.parts.latent import LatentAttention
    from calculator.parts.local import GlobalLocalAttention, LocalAttention, Padded, SlidingAttention, SparseAttention
    from calculator.parts.mixture import Correction, IdleExperts, Router, SharedMLP, Storage
    from calculator.parts.mlp import MLP
    from calculator.parts.ngram import NgramAttention, StreamedQueries, Streams
    from calculator.parts.norm import GatedNorm, Norm
    from calculator.parts.patches import AtPatches, Frozen, HashEmbedding, PatchAttention
    from calculator.parts.positioned import Activation, Positioned
    from calculator.parts.recurrent import GatedDeltaNet, HeadedMamba, Mamba, Mamba2
    from calculator.parts.relative import RelativeAttention
    from calculator.parts.rwkv import ChannelMix, MatrixTimeMix, TimeMix
    from calculator.parts.sound import AudioConvolution
    from calculator.parts.sparse import BlockIndexer, Indexer
    from calculator.parts.sphere import Interpolation
    from calculator.parts.stored import Matrix, RoutedMatrix, StoredAttention, StoredLatent, Tensors
    from calculator.parts.streams import GatedResidual, MeanBlockIndexer, NGramEmbedding
    from calculator.parts.vision import PatchEmbedding, PatchMerger, VisionAttention
    from calculator.parts.xlstm import MatrixLSTM

__all__ = [
    "MLP",
    "Activation",
    "AltUp",
    "AtPatches",
    "Attention",
    "AudioConvolution",
    "Biases",
    "BlockIndexer",
    "BlockResidual",
    "BlockSparseAttention",
    "CacheElsewhere",
    "ChannelMix",
    "ChosenHeads",
    "CompressedAttention",
    "ConditionedScale",
    "ConvolvedAttention",
    "Correction",
    "CrossAttention",
    "DeltaAttention",
    "DifferentialAttention",
    "DisentangledAttention",
    "DistanceAttention",
    "DistanceTable",
    "DynamicConvolution",
    "DynamicMask",
    "Elsewhere",
    "Embedding",
    "EncoderOutput",
    "Experts",
    "Frozen",
    "Gate",
    "GatedConvolution",
    "GatedDeltaNet",
    "GatedLinearRecurrence",
    "GatedNorm",
    "GatedResidual",
    "GatedShortKernel",
    "GlobalLocalAttention",
    "GroupedLinear",
    "HashEmbedding",
    "Head",
    "HeadGate",
    "HeadNorms",
    "HeadedMamba",
    "HyperConnection",
    "Idle",
    "IdleExperts",
    "Indexer",
    "Interpolation",
    "LandmarkAttention",
    "LatentAttention",
    "LightningAttention",
    "Linear",
    "LocalAttention",
    "LowRank",
    "Mamba",
    "Mamba2",
    "Matrix",
    "MatrixLSTM",
    "MatrixTimeMix",
    "MeanBlockIndexer",
    "MessageGate",
    "NGramEmbedding",
    "Names",
    "NgramAttention",
    "Norm",
    "Padded",
    "Part",
    "PatchAttention",
    "PatchEmbedding",
    "PatchMerger",
    "PooledHead",
    "Positioned",
    "Positions",
    "RelativeAttention",
    "RelativeBias",
    "Residual",
    "RetrievalExperts",
    "RoutedMatrix",
    "Router",
    "RouterMLP",
    "Sees",
    "SharedExperts",
    "SharedMLP",
    "ShortConvolution",
    "SlidingAttention",
    "SparseAttention",
    "Storage",
    "StoredAttention",
    "StoredLatent",
    "StreamedQueries",
    "Streams",
    "Tensors",
    "TimeMix",
    "TokenConvolution",
    "VectorWeights",
    "VisionAttention",
    "WindowAttention",
    "WithoutGradient",
]

PARTS = {
    "adapters": "LowRank",
    "altup": "AltUp",
    "approximate": "BlockSparseAttention LandmarkAttention WindowAttention",
    "attention": "Attention",
    "base": "Part",
    "basic": "Embedding Head Idle Linear Positions Residual VectorWeights",
    "chosen": "ChosenHeads ConvolvedAttention RouterMLP",
    "compressed": "CompressedAttention HyperConnection",
    "conditioned": "ConditionedScale",
    "convolution": "DynamicConvolution GatedConvolution GroupedLinear LightningAttention TokenConvolution",
    "cross": "CrossAttention EncoderOutput PooledHead RelativeBias",
    "delta": "DeltaAttention HeadGate",
    "differential": "DifferentialAttention",
    "disentangled": "DisentangledAttention DistanceTable",
    "dynamic": "DynamicMask RetrievalExperts",
    "elsewhere": "CacheElsewhere Elsewhere WithoutGradient",
    "experts": "Experts",
    "griffin": "GatedLinearRecurrence",
    "heads": "Biases Gate HeadNorms Names Sees",
    "inkling": "BlockResidual DistanceAttention GatedShortKernel MessageGate SharedExperts ShortConvolution",
    "latent": "LatentAttention",
    "local": "GlobalLocalAttention LocalAttention Padded SlidingAttention SparseAttention",
    "mixture": "Correction IdleExperts Router SharedMLP Storage",
    "mlp": "MLP",
    "ngram": "NgramAttention StreamedQueries Streams",
    "norm": "GatedNorm Norm",
    "patches": "AtPatches Frozen HashEmbedding PatchAttention",
    "positioned": "Activation Positioned",
    "recurrent": "GatedDeltaNet HeadedMamba Mamba Mamba2",
    "relative": "RelativeAttention",
    "rwkv": "ChannelMix MatrixTimeMix TimeMix",
    "sound": "AudioConvolution",
    "sphere": "Interpolation",
    "sparse": "BlockIndexer Indexer",
    "stored": "Matrix RoutedMatrix StoredAttention StoredLatent Tensors",
    "streams": "GatedResidual MeanBlockIndexer NGramEmbedding",
    "vision": "PatchEmbedding PatchMerger VisionAttention",
    "xlstm": "MatrixLSTM",
}
"""The parts of each module."""

_MODULES = {name: module for module, names in PARTS.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'calculator.parts' has no attribute {name!r}")
    found = getattr(import_module(f"calculator.parts.{_MODULES[name]}"), name)
    globals()[name] = found
    return found
