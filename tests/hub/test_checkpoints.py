"""Headers of checkpoints on a Hub on the loopback interface, through the real huggingface_hub client."""

from __future__ import annotations

import json
import re
import struct
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from loopback import COMMIT, Answer, Fault, Hub, Model, Storage
from writers import Tensors, gguf_bytes, safetensors_bytes

from calculator import compare, load_checkpoint, load_model
from calculator.errors import (
    CalculatorError,
    CheckpointError,
    ConfigError,
    GatedModelError,
    HubError,
    HubUnreachableError,
    MissingFileError,
    ModelNotFoundError,
    SourceError,
    UnknownModelTypeError,
)
from calculator.sources.checkpoint import load, safetensors

TOKEN = "hf_" + "SecretTokenOfATest" * 2
LAYER = {"self_attn.q_proj": (8, 8), "self_attn.k_proj": (4, 8), "self_attn.v_proj": (4, 8), "self_attn.o_proj": (8, 8)}
LAYER |= {"mlp.gate_proj": (12, 8), "mlp.up_proj": (12, 8), "mlp.down_proj": (8, 12)}
NORMS = ("input_layernorm", "post_attention_layernorm")
SHAPE = {"hidden_size": 8, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 12}
CONFIG = {"model_type": "llama", "num_hidden_layers": 2, "vocab_size": 16, "torch_dtype": "bfloat16", **SHAPE}


def llama() -> Tensors:
    found: Tensors = {"model.embed_tokens.weight": ("BF16", (16, 8)), "lm_head.weight": ("BF16", (16, 8))}
    for i in range(2):
        found |= {f"model.layers.{i}.{name}.weight": ("BF16", shape) for name, shape in LAYER.items()}
        found |= {f"model.layers.{i}.{name}.weight": ("BF16", (8,)) for name in NORMS}
    return found | {"model.norm.weight": ("BF16", (8,))}


def body(tensors: Tensors, extra: int = 0) -> bytes:
    header, data = safetensors_bytes(tensors)
    return header + bytes(data + extra)


def files(config: dict[str, Any] = CONFIG, shards: int = 0) -> dict[str, bytes]:
    found = {"config.json": json.dumps(config).encode(), "README.md": b"hello"}
    if not shards:
        return found | {"model.safetensors": body(llama())}
    names = list(llama())
    split = {f"model-{i + 1:05d}-of-{shards:05d}.safetensors": names[i::shards] for i in range(shards)}
    places = {name: file for file, listed in split.items() for name in listed}
    found |= {file: body({name: llama()[name] for name in listed}) for file, listed in split.items()}
    return found | {"model.safetensors.index.json": json.dumps({"weight_map": places}).encode()}


@pytest.fixture
def model(hub: Hub) -> Model:
    """A public model that the Hub serves as "org/name"."""
    hub.models["org/name"] = Model(files())
    return hub.models["org/name"]


Refused = Callable[..., str]


@pytest.fixture
def refused(hub: Hub) -> Refused:
    """Loads, expects exactly this error, and returns its message, which is prose without any token."""

    def fetch(kind: type[CalculatorError], source: str = "org/name", **options: Any) -> str:
        load.forget()
        with pytest.raises(kind) as caught:
            load_checkpoint(source, **options)
        assert caught.type is kind
        message = str(caught.value)
        assert re.fullmatch(r"[A-Z\"o].*\.", message)
        assert "None" not in message
        assert "SecretToken" not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        return message

    return fetch


# What is read


def test_one_file(hub: Hub, model: Model) -> None:
    found = load_checkpoint("org/name")
    assert (found.name, found.format, found.config) == ("org/name", "safetensors", CONFIG)
    assert found.source == "org/name@0123456 on the Hugging Face Hub"
    assert (
        found.nbytes
        == sum(t.nbytes for t in found.tensors)
        == len(model.files["model.safetensors"]) - (8 + struct.unpack("<Q", model.files["model.safetensors"][:8])[0])
    )
    assert {seen.method for seen in hub.seen} == {"GET"}
    assert {seen.range for seen in hub.seen if "model.safetensors" in seen.path} == {"bytes=0-99999"}
    assert compare(load_model("org/name"), found).equal


def test_a_header_longer_than_the_first_read(hub: Hub, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors, "FIRST_READ", 100)
    assert len(load_checkpoint("org/name").tensors) == len(llama())
    asked = [seen.range for seen in hub.seen if "resolve-cache" in seen.path and "safetensors" in seen.path]
    length = struct.unpack("<Q", model.files["model.safetensors"][:8])[0]
    assert asked == ["bytes=0-99", f"bytes=100-{length + 7}"]


def test_of_a_large_file_only_the_header_is_read(hub: Hub, model: Model, storage: Storage) -> None:
    model.files["model.safetensors"] = body({"w": ("F32", (2_000_000,))})
    model.large = {"model.safetensors"}
    assert load_checkpoint("org/name").nbytes == 8_000_000
    hub.stop()
    storage.stop()
    assert hub.sent + storage.sent < 150_000


def test_a_server_that_ignores_ranges_is_hung_up_on(
    hub: Hub, model: Model, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safetensors, "FIRST_READ", 20)
    model.files["model.safetensors"] = body({"w": ("F32", (10_000_000,))})
    model.large = {"model.safetensors"}
    storage.ranges = False
    assert load_checkpoint("org/name").nbytes == 40_000_000
    storage.stop()
    assert storage.sent < 30_000_000  # two answers, each as far as the buffers of both ends reach


def test_shards_are_read_side_by_side(hub: Hub) -> None:
    hub.models["org/name"] = Model(files(shards=9))
    hub.fault = Fault(together=threading.Barrier(3, timeout=30), only="/org/name/resolve/main/model-")
    found = load_checkpoint("org/name")
    assert len(found.tensors) == len(llama())
    assert len(found.files) == 9
    assert compare(load_model("org/name"), found).equal


def test_other_names_by_the_list_of_files(hub: Hub) -> None:
    hub.models["org/name"] = Model({"weights.safetensors": body(llama()), "consolidated.safetensors": b"no"})
    assert load_checkpoint("org/name").files == ("weights.safetensors",)
    hub.models["org/other"] = Model({"consolidated.safetensors": body(llama())})
    assert load_checkpoint("org/other").files == ("consolidated.safetensors",)


def test_a_second_look_asks_nobody(hub: Hub, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_checkpoint("org/name")
    hub.seen.clear()
    assert load_checkpoint("org/name") is first
    assert hub.seen == []
    monkeypatch.setattr(load, "FRESH", 0.0)
    assert load_checkpoint("org/name") == first
    assert hub.seen


def test_what_one_token_reads_another_does_not_find(hub: Hub, model: Model, refused: Refused) -> None:
    model.access, model.readers, hub.tokens = "gated", {TOKEN}, {TOKEN, "hf_other"}
    assert load_checkpoint("org/name", token=TOKEN).tensors
    for token in (None, "hf_other"):
        with pytest.raises(GatedModelError):
            load_checkpoint("org/name", token=token)


def test_the_token_stays_with_the_hub(hub: Hub, model: Model, storage: Storage) -> None:
    hub.tokens, model.large = {TOKEN}, {"model.safetensors"}
    assert load_checkpoint("org/name", token=TOKEN).tensors
    assert {seen.authorization for seen in hub.seen} == {f"Bearer {TOKEN}"}
    assert [seen.authorization for seen in storage.seen] == [None]
    assert [seen.range for seen in storage.seen] == ["bytes=0-99999"]


def test_a_revision(hub: Hub, model: Model, refused: Refused) -> None:
    assert load_checkpoint(f"org/name@{COMMIT}").tensors == load_checkpoint("org/name", revision="main").tensors
    assert "has no revision" in refused(ModelNotFoundError, "org/name@other")


# What is refused

ANSWERS: dict[str, tuple[Answer, type[CalculatorError], str]] = {
    "401": (Answer(401), ModelNotFoundError, "has no model org/name"),
    "403": (Answer(403), ModelNotFoundError, "forbids reading"),
    "404": (Answer(404), ModelNotFoundError, "has no model org/name"),
    "429": (Answer(429, {"Retry-After": "7"}), HubUnreachableError, "try again in 7 seconds"),
    "500": (Answer(500), HubUnreachableError, "a fault of its own (status 500)"),
    "503": (Answer(503), HubUnreachableError, "a fault of its own (status 503)"),
    "418": (Answer(418), HubError, "status 418"),
    "redirects": (Answer(302, {"Location": "/org/name"}), HubUnreachableError, "an endless chain of redirects"),
}


@pytest.mark.parametrize(("answer", "kind", "part"), ANSWERS.values(), ids=ANSWERS)
def test_what_the_hub_refuses(
    hub: Hub, model: Model, refused: Refused, answer: Answer, kind: type[CalculatorError], part: str
) -> None:
    hub.fault = Fault(answer)
    assert part in refused(kind)


def test_gated_and_private(hub: Hub, model: Model, refused: Refused) -> None:
    model.access = "gated"
    assert "accept the licence" in refused(GatedModelError)
    model.access = "private"
    assert "looks the same without an access token" in refused(ModelNotFoundError)
    assert "refused the access token" in refused(HubError, token=TOKEN)


FAULTS = {
    "reset": (Fault(reset=True), "the connection broke off"),
    "cut": (Fault(cut=5, only="resolve-cache"), "the connection broke off"),
    "no answer": (Fault(delay=9), "no complete answer came within"),
    "slow headers": (Fault(header_pause=0.05), "no complete answer came within"),
    "slow body": (Fault(body_pause=0.05, only="resolve-cache"), "no complete answer came within"),
    "another range": (
        Fault(Answer(206, {"Content-Range": "bytes 50-99/200"}, bytes(50))),
        "the connection broke off",
    ),
    "no range": (Fault(Answer(206, {}, bytes(50))), "the connection broke off"),
}


@pytest.mark.parametrize(("fault", "part"), FAULTS.values(), ids=FAULTS)
def test_a_fault_on_the_way(hub: Hub, model: Model, refused: Refused, fault: Fault, part: str) -> None:
    hub.fault = fault
    assert part in refused(HubUnreachableError, timeout=0.4 if "within" in part else 5)
    assert not hub.finished or "within" not in part  # nobody waited for the rest


def test_one_limit_holds_for_all_requests(hub: Hub, refused: Refused) -> None:
    hub.models["org/name"] = Model(files(shards=9))
    hub.one_request = False
    hub.fault = Fault(delay=0.15)
    assert "within" in refused(HubUnreachableError, timeout=0.4)  # though each is answered in less


BODIES: dict[str, tuple[bytes, str]] = {
    "claims 100 GB": (struct.pack("<Q", 10**11) + bytes(100), "claims a header of 100,000,000,000 bytes"),
    "truncated": (body(llama())[:-1], "cut short"),
    "in the header": (body(llama())[:50], "cut short"),
    "empty": (b"", "0 bytes"),
    "not JSON": (struct.pack("<Q", 8) + b"not JSON", "not JSON"),
    "a page": (b"<!doctype html><html></html>", "claims a header of"),
}


@pytest.mark.parametrize(("content", "part"), BODIES.values(), ids=BODIES)
def test_a_file_that_is_none(hub: Hub, model: Model, refused: Refused, content: bytes, part: str) -> None:
    model.files["model.safetensors"] = content
    assert part in refused(CheckpointError)


INDEXES: dict[str, tuple[bytes, str]] = {
    "not JSON": (b"no", "no JSON object with a weight_map"),
    "escapes": (b'{"weight_map": {"a": "../../x.safetensors"}}', "names something other than"),
    "a missing shard": (b'{"weight_map": {"a": "x.safetensors"}}', "A shard that"),
}


@pytest.mark.parametrize(("content", "part"), INDEXES.values(), ids=INDEXES)
def test_an_index_that_is_none(hub: Hub, refused: Refused, content: bytes, part: str) -> None:
    hub.models["org/name"] = Model({"model.safetensors.index.json": content})
    assert part in refused(CheckpointError)


def test_a_list_of_files_that_is_none(hub: Hub, refused: Refused) -> None:
    hub.models["org/name"] = Model({"config.json": b"{}"})
    for content in (b"no", b"[]", b"{}", b'{"siblings": 5}', b'{"siblings": [{}]}'):
        hub.fault = Fault(Answer(200, {}, content), only="/api/models/")
        assert "not what the Hub's interface promises" in refused(ConfigError)


def test_nothing_to_read(hub: Hub, refused: Refused) -> None:
    hub.models["org/name"] = Model({"config.json": b"{}", "pytorch_model.bin": b"0"})
    assert "holds no safetensors file" in refused(MissingFileError)


def test_a_revision_that_cannot_be(hub: Hub) -> None:
    with pytest.raises(SourceError, match="cannot be a revision of org/name"):
        load_checkpoint("org/name", "..")


# Without the Hub


def test_offline_without_a_cache(hub: Hub, model: Model, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "unset HF_HUB_OFFLINE" in refused(HubUnreachableError)
    assert hub.seen == []


def test_offline_with_a_downloaded_copy(hub: Hub, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(constants.HF_HUB_CACHE) / "models--org--name"
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    for name, content in files(CONFIG | {"model_type": "brand_new"}).items():
        (snapshot / name).write_bytes(content)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    found = load_checkpoint("org/name")
    assert found.source == "org/name@0123456 on the Hugging Face Hub (the copy in the local cache)"
    assert found.name == "org/name"
    assert len(found.tensors) == len(llama())
    assert load_model("org/name").certainty["parameters"] == "exact"
    assert hub.seen == []


# Models whose type no family reads


def test_an_unknown_type_is_built_from_the_headers(hub: Hub) -> None:
    hub.models["org/name"] = Model(files(CONFIG | {"model_type": "brand_new"}))
    hub.models["org/known"] = Model(files())
    found, known = load_model("org/name"), load_model("org/known")
    assert (found.name, found.model_type) == ("org/name", "brand_new")
    assert found.parameters.total == known.parameters.total
    assert "headers" in found.source


def test_an_unknown_type_without_headers_says_what_to_do(hub: Hub) -> None:
    hub.models["org/name"] = Model({"config.json": json.dumps(CONFIG | {"model_type": "lama"}).encode()})
    with pytest.raises(UnknownModelTypeError) as caught:
        load_model("org/name")
    message = str(caught.value)
    for part in (
        "'lama' is not known",
        "nearest known types are",
        "llama",
        "holds no safetensors",
        "Give the path or id",
    ):
        assert part in message


# GGUF


def gguf(kind: str) -> bytes:
    tensors = {"token_embd.weight": (kind, (16, 256)), "blk.0.attn_q.weight": (kind, (256, 256))}
    header, data = gguf_bytes(tensors, {"general.architecture": "llama", "llama.block_count": 1})
    return header + bytes(data)


@pytest.fixture
def quantized(hub: Hub) -> Model:
    names = {f"name-{kind}.gguf": gguf(kind) for kind in ("Q4_0", "Q8_0", "Q6_K")}
    hub.models["org/name"] = Model(names | {"mmproj-F16.gguf": b"0", "imatrix.gguf": b"0"})
    return hub.models["org/name"]


@pytest.mark.parametrize(
    "source",
    [
        "org/name:Q8_0",
        "org/name:q8_0",
        "org/name:name-Q8_0.gguf",
        "org/name@main:Q8_0",
        "https://huggingface.co/org/name/blob/main/name-Q8_0.gguf",
    ],
)
def test_a_gguf_file_is_chosen(quantized: Model, source: str) -> None:
    found = load_checkpoint(source)
    assert found.by_dtype == {"Q8_0": (16 + 256) * 256 // 32 * 34}
    assert load_model(source).parameters.total == (16 + 256) * 256
    assert found.name == "org/name:name-Q8_0.gguf"


def test_several_gguf_files_are_listed(quantized: Model, refused: Refused) -> None:
    for source in ("org/name", "org/name:Q5_K_M"):
        message = refused(SourceError, source)
        for part in ("name-Q4_0.gguf (0.00 GiB)", "name-Q6_K.gguf", '"org/name:FILE.gguf"', '"org/name:Q4_K_M"'):
            assert part in message
        assert "mmproj" not in message
    with pytest.raises(SourceError, match="several GGUF files"):
        load_model("org/name")


def test_a_repository_with_one_gguf_file(hub: Hub) -> None:
    hub.models["org/name"] = Model({"a/name-Q4_0.gguf": gguf("Q4_0")})
    assert load_model("org/name").parameters.total == (16 + 256) * 256


@pytest.mark.parametrize("name", ["org/name:../x.gguf", "org/name:", "org/name:a b?c"])
def test_a_file_that_cannot_be(hub: Hub, quantized: Model, name: str) -> None:
    with pytest.raises(SourceError, match="names no GGUF file"):
        load_checkpoint(name)
    assert hub.seen == []
