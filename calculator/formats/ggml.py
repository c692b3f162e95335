"""The tensor types of GGUF files: how many bytes a block of so many elements takes.

Source: ggml-org/llama.cpp, ggml/src/ggml-common.h (the block structs) and gguf-py/gguf/constants.py.
"""

from __future__ import annotations

from typing import NamedTuple


class GgmlType(NamedTuple):
    """A type by its number in the file; a row of a matrix is whole blocks of `block` elements, `size` bytes each."""

    number: int
    name: str
    block: int
    size: int

    @property
    def bits_per_weight(self) -> float:
        """Bits of one weight with its share of the block's scales."""
        return self.size * 8 / self.block


GGML_TYPES = {
    t.number: t
    for t in (
        GgmlType(0, "F32", 1, 4),
        GgmlType(1, "F16", 1, 2),
        GgmlType(2, "Q4_0", 32, 18),
        GgmlType(3, "Q4_1", 32, 20),
        GgmlType(6, "Q5_0", 32, 22),
        GgmlType(7, "Q5_1", 32, 24),
        GgmlType(8, "Q8_0", 32, 34),
        GgmlType(9, "Q8_1", 32, 36),
        GgmlType(10, "Q2_K", 256, 84),
        GgmlType(11, "Q3_K", 256, 110),
        GgmlType(12, "Q4_K", 256, 144),
        GgmlType(13, "Q5_K", 256, 176),
        GgmlType(14, "Q6_K", 256, 210),
        GgmlType(15, "Q8_K", 256, 292),
        GgmlType(16, "IQ2_XXS", 256, 66),
        GgmlType(17, "IQ2_XS", 256, 74),
        GgmlType(18, "IQ3_XXS", 256, 98),
        GgmlType(19, "IQ1_S", 256, 50),
        GgmlType(20, "IQ4_NL", 32, 18),
        GgmlType(21, "IQ3_S", 256, 110),
        GgmlType(22, "IQ2_S", 256, 82),
        GgmlType(23, "IQ4_XS", 256, 136),
        GgmlType(24, "I8", 1, 1),
        GgmlType(25, "I16", 1, 2),
        GgmlType(26, "I32", 1, 4),
        GgmlType(27, "I64", 1, 8),
        GgmlType(28, "F64", 1, 8),
        GgmlType(29, "IQ1_M", 256, 56),
        GgmlType(30, "BF16", 1, 2),
        # Q4_0 and IQ4_NL in the order a processor wants them; written until the end of 2024.
        GgmlType(31, "Q4_0_4_4", 32, 18),
        GgmlType(32, "Q4_0_4_8", 32, 18),
        GgmlType(33, "Q4_0_8_8", 32, 18),
        GgmlType(34, "TQ1_0", 256, 54),
        GgmlType(35, "TQ2_0", 256, 66),
        GgmlType(36, "IQ4_NL_4_4", 32, 18),
        GgmlType(37, "IQ4_NL_4_8", 32, 18),
        GgmlType(38, "IQ4_NL_8_8", 32, 18),
        GgmlType(39, "MXFP4", 32, 17),
        GgmlType(40, "NVFP4", 64, 36),
        GgmlType(41, "Q1_0", 128, 18),
        GgmlType(42, "Q2_0", 64, 18),
    )
}
"""Every published type; 4 and 5 (Q4_2, Q4_3) were withdrawn in 2023. Q8_1, which no file holds, has two 16-bit
numbers a block (32-bit ones, 40 bytes a block, until 2023)."""

FORKS = {
    4: "Q4_2",
    5: "Q4_3",
    36: "I2_S",  # bitnet.cpp
    37: "I8_S",
    38: "TL1",
    39: "TL2",
    133: "Q6_0",  # ik_llama.cpp from here on
    134: "IQ1_BN",
    135: "IQ2_BN",
    137: "IQ2_K",
    138: "IQ3_K",
    139: "IQ4_K",
    140: "IQ5_K",
    141: "IQ6_K",
    144: "IQ4_KS",
    145: "IQ2_KS",
    146: "IQ4_KSS",
    152: "IQ5_KS",
    153: "IQ2_KT",
    154: "IQ3_KT",
    155: "IQ4_KT",
    156: "IQ3_KS",
    157: "IQ2_KL",
    158: "IQ1_KT",
}
"""Names of numbers that llama.cpp withdrew or that a fork uses; the bytes of such tensors are read off their offsets.
Sources: microsoft/BitNet and ikawrakow/ik_llama.cpp, ggml/include/ggml.h."""

REUSED = frozenset(range(36, 43))
"""Numbers that a fork used before llama.cpp did, so that the table's size holds only where the offsets agree."""

QUANTIZED = {t.name.lower(): t for t in GGML_TYPES.values() if t.block > 1 and t.name.count("_") < 3}
"""The block types by the name that people use ("q4_k")."""
