"""Headers of safetensors and GGUF files, byte by byte: what is read, and what is refused with which sentence."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import pytest
from writers import gguf_bytes, safetensors_bytes, write, write_gguf, write_safetensors, write_shards

from calculator.errors import CalculatorError, CheckpointError, SourceError
from calculator.formats.ggml import GGML_TYPES, QUANTIZED
from calculator.sources.checkpoint.load import load_checkpoint

TWO = {"a.weight": ("BF16", (4, 6)), "b.weight": ("F8_E4M3", (2, 3))}


def test_a_file_is_read(tmp_path: Path) -> None:
    path = write_safetensors(
        tmp_path / "some.safetensors", TWO | {"empty": ("F32", (0, 5)), "scalar": ("F32", ())}, {"format": "pt"}
    )
    found = load_checkpoint(path)
    assert (found.name, found.format, found.config) == ("some", "safetensors", None)
    assert found.nbytes == 48 + 6 + 4
    assert found.elements == 24 + 6 + 1
    assert found.by_dtype == {"BF16": 48, "F8_E4M3": 6, "F32": 4}
    assert found.metadata == {"format": "pt"}
    assert found.tensor("b.weight").shape == (2, 3)
    assert found.tensor("b.weight").file == "some.safetensors"
    with pytest.raises(CheckpointError, match="holds no tensor 'c'"):
        found.tensor("c")


def test_packed_types_take_part_of_a_byte(tmp_path: Path) -> None:
    found = load_checkpoint(
        write_safetensors(tmp_path / "x.safetensors", {"w": ("F4", (8, 32)), "v": ("F6_E2M3", (4, 4))})
    )
    assert [(t.dtype, t.nbytes, t.elements) for t in found.tensors] == [("F4", 128, 256), ("F6_E2M3", 12, 16)]


def header(entries: object, data: int = 0) -> tuple[bytes, int]:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text, data


def entry(dtype: object = "U8", shape: object = (2,), offsets: object = (0, 2)) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


BROKEN = {
    "empty": ((b"", 0), "0 bytes, fewer than the length"),
    "short": ((b"1234567", 0), "7 bytes, fewer than the length"),
    "claims 100 GB": (
        (struct.pack("<Q", 100 * 10**9) + b"{}", 0),
        "claims a header of 100,000,000,000 bytes, and at most 100,000,000",
    ),
    "claims more than the file": (
        (struct.pack("<Q", 5000) + b"{}", 0),
        "cut short: the header alone takes 5,008 bytes",
    ),
    "not UTF-8": (header(b'{"\xff": 1}'), "not UTF-8"),
    "not JSON": (header(b"{nonsense"), "not JSON"),
    "deep": (header(b"[" * 100_000), "not JSON"),
    "a list": (header([]), "not a JSON object"),
    "twice": (header(b'{"a": 1, "a": 2}'), "has 'a' twice"),
    "metadata": (header({"__metadata__": {"a": 1}}), "not an object of texts"),
    "no entry": (header({"a": 5}), "lacks its dtype, shape or data_offsets"),
    "no offsets": (header({"a": {"dtype": "U8", "shape": [2]}}), "lacks its dtype"),
    "three offsets": (header({"a": entry(offsets=(0, 1, 2))}), "lacks its dtype"),
    "type": (header({"a": entry("U7")}, 2), "has the type 'U7'"),
    "type is a list": (header({"a": entry(["U8"])}, 2), "has the type"),
    "negative": (header({"a": entry(shape=[-2])}, 2), "no whole numbers"),
    "fraction": (header({"a": entry(shape=[2.0])}, 2), "no whole numbers"),
    "boolean": (header({"a": entry(shape=[True, 2])}, 2), "no whole numbers"),
    "size": (header({"a": entry(shape=[3])}, 2), "U8 of shape [3] takes 3 bytes, and its data_offsets hold 2"),
    "part of a byte": (header({"a": entry("F4", [3], (0, 2))}, 2), "takes 1.5 bytes"),
    "gap": (header({"a": entry(), "b": entry(offsets=(3, 5))}, 5), "'b' leaves a gap before it"),
    "overlap": (header({"a": entry(), "b": entry(offsets=(1, 3))}, 3), "'b' overlaps another"),
    "cut": (header({"a": entry()}, 1), "cut short: the tensors take 2 bytes and 1 follow"),
    "longer": (header({"a": entry()}, 3), "longer than its header says"),
}


@pytest.mark.parametrize(("content", "part"), BROKEN.values(), ids=BROKEN)
def test_a_broken_header_gets_a_sentence(tmp_path: Path, content: tuple[bytes, int], part: str) -> None:
    path = write(tmp_path / "x.safetensors", *content)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert part in str(caught.value)
    assert re.fullmatch(
        r"The file x\.safetensors is no usable safetensors file: .*\. Download or save it again\.", str(caught.value)
    )


# Folders


def test_a_folder_with_one_file(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "some" / "model.safetensors", TWO)
    (tmp_path / "some" / "config.json").write_text('{"model_type": "x"}')
    found = load_checkpoint(tmp_path / "some")
    assert (found.name, found.config) == ("some", {"model_type": "x"})
    assert load_checkpoint(tmp_path / "some" / "config.json").tensors == found.tensors
    assert load_checkpoint(tmp_path / "some" / "model.safetensors").config == {"model_type": "x"}


def test_shards_by_their_index(tmp_path: Path) -> None:
    shards = {f"model-0000{i}-of-00002.safetensors": {f"t{i}": ("BF16", (i, 3))} for i in (1, 2)}
    write_shards(tmp_path, shards)
    found = load_checkpoint(tmp_path)
    assert {t.name: t.file for t in found.tensors} == {f"t{i}": f"model-0000{i}-of-00002.safetensors" for i in (1, 2)}
    assert load_checkpoint(tmp_path / "model.safetensors.index.json").nbytes == found.nbytes == 18


def index(tmp_path: Path, content: object) -> Path:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(content))
    return tmp_path


def test_an_index_that_does_not_fit_gets_a_sentence(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a.safetensors", TWO)
    for content, part in (
        ({"weight_map": {"a.weight": "a.safetensors"}}, "holds 'b.weight', which"),
        ({"weight_map": dict.fromkeys((*TWO, "c"), "a.safetensors")}, "'c' is in a.safetensors, but no shard holds it"),
        ({"weight_map": {"a.weight": "a.safetensors", "b.weight": "b.safetensors"}}, "A shard that"),
        ({"weight_map": {"a.weight": "../a.safetensors"}}, "names something other than safetensors files"),
        ({"weight_map": {"a.weight": 5}}, "names something other"),
        ({"weight_map": {}}, "names something other"),
        ({}, "no JSON object with a weight_map"),
        ([], "no JSON object with a weight_map"),
    ):
        with pytest.raises(CheckpointError, match=re.escape(part)):
            load_checkpoint(index(tmp_path, content))


def test_a_folder_without_an_index(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "consolidated.safetensors", TWO)
    assert load_checkpoint(tmp_path).files == ("consolidated.safetensors",)
    write_safetensors(tmp_path / "weights.safetensors", {"z": ("F32", (2,))})
    write_safetensors(tmp_path / "adapter_model.safetensors", {"y": ("F32", (2,))})
    assert load_checkpoint(tmp_path).files == ("weights.safetensors",)
    write_safetensors(tmp_path / "pytorch-00001-of-00002.safetensors", {"a": ("F32", (2,))})
    with pytest.raises(CheckpointError, match="1 of the 2 shards"):
        load_checkpoint(tmp_path)
    write_safetensors(tmp_path / "pytorch-00002-of-00002.safetensors", {"b": ("F32", (2,))})
    assert [t.name for t in load_checkpoint(tmp_path).tensors] == ["a", "b"]


def test_two_files_with_one_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_safetensors(tmp_path / f"{name}.safetensors", TWO)
    with pytest.raises(CheckpointError, match=r"'a\.weight' in one\.safetensors and in two\.safetensors"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["none", "none.gguf", "none.safetensors", "other.bin"])
def test_nothing_to_read_gets_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "other.bin").write_bytes(b"0")
    (tmp_path / "none").mkdir()
    with pytest.raises(CalculatorError, match=r"holds no safetensors file|There is no file|neither a safetensors nor"):
        load_checkpoint(tmp_path / name)
    with pytest.raises(SourceError, match="named by text or a path, not by int"):
        load_checkpoint(5)  # type: ignore[arg-type]


# GGUF

GGUF = {"token_embd.weight": ("Q4_K", (7, 256)), "blk.0.attn_norm.weight": ("F32", (256,)), "e": ("Q6_K", (3, 5, 512))}
SAID = {"general.architecture": "llama", "llama.block_count": 1, "llama.list": [1, 2, 3], "flag": True, "rate": 0.5}
SAID |= {"tokens": ["word"] * 5000, "names": ["a", "b"], "numbers": [7] * 5000}


@pytest.mark.parametrize(("version", "order"), [(2, "<"), (3, "<"), (3, ">")])
def test_a_gguf_file_is_read(tmp_path: Path, version: int, order: str) -> None:
    found = load_checkpoint(write_gguf(tmp_path / "x.gguf", GGUF, SAID, version=version, order=order))
    assert (found.name, found.format) == ("x", "gguf")
    assert [(t.name, t.dtype, t.shape) for t in found.tensors] == [(n, *of) for n, of in GGUF.items()]
    assert [t.nbytes for t in found.tensors] == [7 * 144, 1024, 3 * 5 * 2 * 210]
    assert {k: found.metadata[k] for k in list(SAID)[:5]} == dict(list(SAID.items())[:5])
    assert found.metadata["names"] == ["a", "b"]
    assert found.metadata["tokens"].length == found.metadata["numbers"].length == 5000


def test_an_alignment_of_its_own(tmp_path: Path) -> None:
    said = SAID | {"general.alignment": 64}
    assert (
        load_checkpoint(write_gguf(tmp_path / "x.gguf", GGUF, said, alignment=64)).nbytes == 7 * 144 + 1024 + 30 * 210
    )


def test_a_split_file(tmp_path: Path) -> None:
    for i, (name, of) in enumerate(GGUF.items(), 1):
        write_gguf(tmp_path / f"x-0000{i}-of-00003.gguf", {name: of}, {"split.tensors.count": 3})
    assert (
        len(load_checkpoint(tmp_path).tensors) == len(load_checkpoint(tmp_path / "x-00002-of-00003.gguf").tensors) == 3
    )
    (tmp_path / "x-00003-of-00003.gguf").unlink()
    with pytest.raises(CheckpointError, match=r"A part of x-00001-of-00003\.gguf is missing"):
        load_checkpoint(tmp_path)


def test_several_gguf_files_have_to_be_told_apart(tmp_path: Path) -> None:
    for kind in ("Q4_0", "Q8_0"):
        write_gguf(tmp_path / f"x-{kind}.gguf", {"a": (kind, (2, 32))}, {})
    with pytest.raises(
        SourceError, match=r"several GGUF files; choose one .* x-Q4_0\.gguf \(0\.00 GiB\), x-Q8_0\.gguf"
    ):
        load_checkpoint(tmp_path)


def changed(place: int, new: bytes) -> bytes:
    body, _ = gguf_bytes({"a": ("Q4_0", (2, 32))}, {})
    return body[:place] + new + body[place + len(new) :]


BROKEN_GGUF = {
    "letters": (changed(0, b"GGML"), "does not begin with the letters GGUF"),
    "version 1": (changed(4, struct.pack("<I", 1)), "of version 1"),
    "version 4": (changed(4, struct.pack("<I", 4)), "of version 4"),
    "tensors": (changed(8, struct.pack("<Q", 2**60)), "claims 1,152,921,504,606,846,976 tensors"),
    "pairs": (changed(16, struct.pack("<Q", 2**60)), "metadata entries"),
    "text": (changed(24, struct.pack("<Q", 2**60)), "bytes of a text"),
    "not UTF-8": (changed(32, b"\xff"), "not UTF-8"),
    "axes": (changed(33, struct.pack("<I", 9)), "has 9 axes"),
    "columns": (changed(37, struct.pack("<Q", 33)), "no whole blocks of 32"),
    "type": (changed(53, struct.pack("<I", 14)), "no whole blocks of 256"),
    "offset": (changed(57, struct.pack("<Q", 8)), "out of place"),
    "name": (changed(24, struct.pack("<Q", 1000)), "ends within its header"),
}


@pytest.mark.parametrize(("body", "part"), BROKEN_GGUF.values(), ids=BROKEN_GGUF)
def test_a_broken_gguf_header_gets_a_sentence(tmp_path: Path, body: bytes, part: str) -> None:
    path = write(tmp_path / "x.gguf", body, 36)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert part in str(caught.value)


def test_a_gguf_file_that_is_cut_short(tmp_path: Path) -> None:
    header, data = gguf_bytes(GGUF, SAID)
    with pytest.raises(CheckpointError, match="cut short"):
        load_checkpoint(write(tmp_path / "x.gguf", header, data - 1))


@pytest.mark.parametrize(
    "value", [struct.pack("<IQ", 9, 2**40), struct.pack("<I", 13), struct.pack("<IIQ", 9, 9, 2) * 9]
)
def test_metadata_without_bounds_are_refused(tmp_path: Path, value: bytes) -> None:
    body = b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + value + bytes(64)
    with pytest.raises(CheckpointError):
        load_checkpoint(write(tmp_path / "x.gguf", body, 0))


def test_bits_per_weight() -> None:
    """What llama.cpp prints for each type (ggml/src/ggml-common.h)."""
    assert {name: t.bits_per_weight for name, t in QUANTIZED.items()} == {
        "q4_0": 4.5,
        "q4_1": 5.0,
        "q5_0": 5.5,
        "q5_1": 6.0,
        "q8_0": 8.5,
        "q8_1": 9.0,
        "q2_k": 2.625,
        "q3_k": 3.4375,
        "q4_k": 4.5,
        "q5_k": 5.5,
        "q6_k": 6.5625,
        "q8_k": 9.125,
        "iq2_xxs": 2.0625,
        "iq2_xs": 2.3125,
        "iq3_xxs": 3.0625,
        "iq1_s": 1.5625,
        "iq4_nl": 4.5,
        "iq3_s": 3.4375,
        "iq2_s": 2.5625,
        "iq4_xs": 4.25,
        "iq1_m": 1.75,
        "tq1_0": 1.6875,
        "tq2_0": 2.0625,
        "mxfp4": 4.25,
        "nvfp4": 4.5,
        "q1_0": 1.125,
        "q2_0": 2.25,
    }
    assert all(number == t.number for number, t in GGML_TYPES.items())


def test_nothing_is_allocated_for_what_a_header_claims(tmp_path: Path) -> None:
    header, _ = safetensors_bytes({"a": ("F32", (10**6, 10**6))})
    path = write(tmp_path / "x.safetensors", header, 0)
    with pytest.raises(CheckpointError, match="cut short: the tensors take 4,000,000,000,000 bytes"):
        load_checkpoint(path)
