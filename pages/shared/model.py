"""The sidebar's model: a bundled one, a Hub id, an uploaded config.json, or numbers typed by hand."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import streamlit as st

from calculator.errors import SourceError
from calculator.families import FAMILIES
from calculator.limits import check_json, limits
from calculator.model import Model
from calculator.sources import catalogue, memory
from calculator.sources.hub.ids import is_repo
from calculator.sources.load import from_hub, load_model, model_from_config
from calculator.sources.manual import ModelConfig, ModelType, manual_model
from calculator.sources.paths import parse_config
from pages.shared import fields

SOURCES = ("popular", "hub", "file", "manual")  # what the link says, so they are shown as they are
DEFAULT_MODEL = "Qwen/Qwen2.5-7B"
HOUR = 3600  # seconds an upload's model is kept
LONGEST_LINK = 100_000  # bytes of a compressed config that may still be short enough for a link, packed better
LARGEST_INFLATED = 2**20


class Typed(NamedTuple):
    """A size that is typed by hand: the field of `ModelConfig`, its label, what stands in it, what it means."""

    field: str
    label: str
    default: int | None
    help: str = ""
    absent: str = ""
    least: int = 1
    of_mixtures: bool = False


TYPED = {
    "layers": Typed("num_layers", "Layers", 32),
    "hidden": Typed("hidden_size", "Hidden size", 4096),
    "heads": Typed("num_attention_heads", "Attention heads", 32),
    "kv_heads": Typed(
        "num_key_value_heads", "Key-value heads", 8, "Fewer than attention heads: grouped-query attention."
    ),
    "head_dim": Typed("head_dim", "Head size", None, "Empty: the hidden size over the heads.", "hidden / heads"),
    "ffn": Typed("intermediate_size", "MLP width", 14336),
    "vocab": Typed("vocab_size", "Vocabulary", 128256),
    "experts": Typed("num_experts", "Experts", 8, of_mixtures=True),
    "top_k": Typed("top_k", "Experts a token", 2, "Routed experts that each token visits.", of_mixtures=True),
    "expert_ffn": Typed("moe_intermediate_size", "Expert width", 14336, of_mixtures=True),
    "shared_experts": Typed(
        "num_shared_experts", "Shared experts", 0, "Visited by every token.", least=0, of_mixtures=True
    ),
}
"""By name in the link."""


class Waiting(Exception):
    """The sidebar has no model yet; the message says what to do."""


def named() -> str:
    """The model that the sidebar asks for, as a heading says it."""
    source = st.session_state.get("source")
    asked = str(st.session_state.get("hub") or "").strip()
    if source == "hub" and is_repo(asked):  # anything else may be a token
        return clipped(asked)
    return {"file": "The uploaded config", "manual": "The model typed by hand"}.get(str(source), "The model")


def offer_near() -> None:
    """A button for each bundled model whose name is like the one that the Hub was asked for."""
    asked = str(st.session_state.get("hub") or "").strip()
    found = catalogue.near(asked) if st.session_state.get("source") == "hub" and is_repo(asked) else []
    if found:
        with st.container(horizontal=True):
            for name in found:
                st.button(name, key=f"near_{name}", on_click=_ask_for, args=(name,))


def _ask_for(name: str) -> None:
    st.session_state["hub"] = name


def choose_model(refused: fields.Refused) -> Model:
    """Draw the model's inputs and return the model.

    Raises:
        Waiting: no model is named yet.
        CalculatorError: the named one cannot be read.
    """
    st.subheader("Model", anchor=False)
    source = st.segmented_control(
        "Model",
        SOURCES,
        label_visibility="collapsed",
        default="popular",
        required=True,
        key="source",
        width="stretch",
        bind="query-params",
    )
    if source != "file" and "config" in st.query_params:
        del st.query_params["config"]  # kept in the session for a return to the upload
    if source == "manual":
        return _manual(refused)
    choosers = {"popular": _popular, "hub": _from_hub, "file": _uploaded}
    return choosers[source or "popular"]()


def _popular() -> Model:
    ids = [entry.id for entry in catalogue.entries() if entry.config.get("model_type") in FAMILIES]
    chosen = st.selectbox(
        "Popular model",
        ids,
        index=ids.index(DEFAULT_MODEL),
        key="model",
        bind="query-params",
        label_visibility="collapsed",
        help="Bundled with the app: works without a network. Type to search.",
    )
    return bundled(chosen)


@st.cache_resource(max_entries=128, show_spinner=False)
def bundled(model_id: str) -> Model:
    """A bundled model, built once for all sessions."""
    return load_model(model_id)


def _from_hub() -> Model:
    text = st.text_input(
        "Hugging Face id or URL",
        key="hub",
        bind="query-params",
        placeholder="org/name, org/name@revision or org/name:Q4_K_M",
        help="Only config.json is read; for GGUF files, and for types that are not known here, also the headers of the "
        "weights. No code from the repository is run.",
    )
    token = st.text_input(
        "Access token (gated models)",
        type="password",
        key="hub_token",
        persist_state="session",
        help="Sent to the Hub only, kept for this session, never part of the link; what it opens is shown to you only.",
    )
    if not text:
        raise Waiting("Type a Hugging Face model id in the sidebar, for instance Qwen/Qwen3-8B.")
    entry = catalogue.find(text)
    if entry is not None:
        return bundled(entry.id)
    with st.spinner("Reading from the Hub…"):
        return from_hub(text.strip(), token=token or None)


def _uploaded() -> Model:
    most = limits().upload_bytes
    file = st.file_uploader("config.json", type=["json"], key="config_file", max_upload_size=most // 10**6)
    if file is not None:
        st.session_state.config_bytes = _accepted(file.name, file.size, file.getvalue)
        st.session_state.config_packed = None
    content: bytes | None = st.session_state.get("config_bytes")
    link: str = st.session_state.get("config_packed") or st.query_params.get("config") or ""
    if content is None and not link:
        raise Waiting("Upload a model's config.json in the sidebar.")
    if content is None:
        st.session_state.config_packed = link
        return _model_of(zlib.compress(inflated(link)), "the config in the link")
    model = _model_of(content, "the uploaded config.json")
    # Made anew for the link only where it fits there; what was uploaded is read from the session, not from the link.
    link = st.session_state.config_packed or (packed(_parsed(content)) if len(content) <= LONGEST_LINK else "")
    if link and len(link) <= limits().link_characters:
        st.session_state.config_packed = link
        st.query_params["config"] = link
    else:
        st.query_params.pop("config", None)
        st.caption("This config is too large to be part of the link.")
    return model


def model_uploaded(name: str, size: int, content: Callable[[], bytes]) -> Model:
    """The model of an uploaded config.json, under the file's own name.

    Raises:
        CalculatorError: it is too large, no text, nested too deep, or no config of a model that is known.
    """
    return _model_of(_accepted(name, size, content), clipped(name), name)


def clipped(name: str) -> str:
    """A file's name, cut where a sentence would not hold it."""
    return name if len(name) <= 60 else f"{name[:59]}…"


def _accepted(name: str, size: int, content: Callable[[], bytes]) -> bytes:
    """An upload, compressed, held against the limits before anything is made of it.

    Raises:
        SourceError: it is too large or no text.
    """
    short = clipped(name)
    if size > limits().upload_bytes:
        raise SourceError(f"{short} is larger than {limits().upload_bytes / 1e6:g} MB, so it is no config.json.")
    body = content()
    check_json(body, short, SourceError)
    try:
        body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{short} is not text, so it is no config.json.") from error
    return zlib.compress(body)


def _parsed(content: bytes, where: str = "the uploaded config.json") -> dict[str, Any]:
    return parse_config(zlib.decompress(content).decode("utf-8-sig"), where)


def _model_of(content: bytes, where: str, name: str = "uploaded config.json") -> Model:
    """The model of a config's compressed text, built once for those who send the same."""
    key = ("upload", name, hashlib.sha256(content).hexdigest())
    return memory.current().made(
        key, HOUR, lambda: model_from_config(_parsed(content, where), name=name, source="an uploaded config.json")
    )


def packed(raw: dict[str, Any]) -> str:
    """A config as text that fits in a URL."""
    compact = json.dumps(raw, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(zlib.compress(compact, 9)).decode().rstrip("=")


def inflated(text: str) -> bytes:
    """The text of the config that `packed` made into text.

    Raises:
        SourceError: the text is no packed config, or a larger one than links hold.
    """
    if len(text) > limits().link_characters:
        raise SourceError("The config in this link is longer than links hold; upload the config.json instead.")
    try:
        inflater = zlib.decompressobj()
        content = inflater.decompress(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), LARGEST_INFLATED)
    except (ValueError, zlib.error) as error:
        raise SourceError("The config in this link is damaged; upload the config.json again.") from error
    if inflater.unconsumed_tail:
        raise SourceError("The config in this link is larger than 1 MiB; upload the config.json instead.")
    if not inflater.eof:
        raise SourceError("The config in this link is cut short; upload the config.json again.")
    return content


def unpacked(text: str) -> dict[str, Any]:
    """The config that `packed` made into text.

    Raises:
        SourceError: the text is no packed config.
    """
    try:
        return parse_config(inflated(text).decode(), "the config in the link")
    except UnicodeDecodeError as error:
        raise SourceError("The config in this link is damaged; upload the config.json again.") from error


def _manual(refused: fields.Refused) -> Model:
    kind = st.segmented_control(
        "Kind",
        ["dense", "moe"],
        default="dense",
        required=True,
        key="kind",
        bind="query-params",
    )
    asked: dict[str, Any] = {}
    with st.grid(2, min_column_width=100, gap="xsmall"):
        for key, typed in TYPED.items():
            if kind == "moe" or not typed.of_mixtures:
                asked[typed.field] = fields.number(
                    typed.label,
                    key,
                    refused,
                    default=typed.default,
                    placeholder=typed.absent,
                    help=f"{typed.help} Reads 4096, 32k (32,768), 1e6.".strip(),
                    least=typed.least,
                )
    if kind == "moe":
        asked["model_type"] = ModelType.MOE
    asked["tie_word_embeddings"] = st.toggle("Head tied to the embedding", key="tied", bind="query-params")
    return replace(manual_model(ModelConfig(**asked)), name="The model typed by hand")
