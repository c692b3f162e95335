"""Ids and addresses of models: what they mean, and what is none."""

from __future__ import annotations

import pytest
from loopback import COMMIT, Hub
from public import TOKEN, Refused

from calculator.errors import (
    SourceError,
)
from calculator.sources.hub import client as reader


@pytest.mark.parametrize(
    ("text", "repo_id", "revision"),
    [
        ("org/name", "org/name", None),
        ("  org/name\n", "org/name", None),
        ("gpt2", "gpt2", None),
        ("gpt2@main", "gpt2", "main"),
        ("01-ai/Yi-1.5_34B", "01-ai/Yi-1.5_34B", None),
        ("org/name@v1.0", "org/name", "v1.0"),
        ("org/name@refs/pr/1", "org/name", "refs/pr/1"),
        (f"org/name@{COMMIT}", "org/name", COMMIT),
        ("https://huggingface.co/org/name", "org/name", None),
        ("http://www.huggingface.co/org/name/", "org/name", None),
        ("HTTPS://HuggingFace.co/Org/Name", "Org/Name", None),
        ("huggingface.co/org/name?library=transformers#top", "org/name", None),
        ("hf.co/org/name", "org/name", None),
        ("hf.co/gpt2", "gpt2", None),
        ("https://hf.co/gpt2/tree/main", "gpt2", "main"),
        ("https://huggingface.co/org/name/tree/dev", "org/name", "dev"),
        ("https://huggingface.co/org/name/tree/dev/", "org/name", "dev"),
        ("https://huggingface.co/org/name/tree/refs%2Fpr%2F1", "org/name", "refs/pr/1"),
        ("https://huggingface.co/org/name/blob/main/config.json", "org/name", "main"),
        (f"https://huggingface.co/org/name/resolve/{COMMIT}/config.json?download=true", "org/name", COMMIT),
        ("huggingface.co/org/name/raw/v2/config.json", "org/name", "v2"),
        (f"https://huggingface.co/org/name/commit/{COMMIT}", "org/name", COMMIT),
        ("https://someone:password@huggingface.co/org/name", "org/name", None),
    ],
)
def test_ids_and_addresses(text: str, repo_id: str, revision: str | None) -> None:
    assert reader.parse_repo(text) == (repo_id, revision)
    assert reader.is_repo(text)


def test_an_address_of_the_configured_hub(hub: Hub) -> None:
    assert reader.parse_repo(f"{hub.url}/org/name/tree/dev") == ("org/name", "dev")
    assert reader.parse_repo(f"{hub.url.removeprefix('http://')}/org/name") == ("org/name", None)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "is not a model"),
        ("   ", "is not a model"),
        ("a b", "is not a model"),
        ("org/name/more", "is not a model"),
        ("/org/name", "is not a model"),
        ("org/", "is not a model"),
        ("./org", "is not a model"),
        ("../name", "is not a model"),
        ("~/name", "is not a model"),
        ("C:\\models\\name", "is not a model"),
        ("configs/llama.json", "is not a model"),
        ("org/name.git", "is not a model"),
        ("org/na--me", "is not a model"),
        ("org/na..me", "is not a model"),
        ("-org/name", "is not a model"),
        ("org/n\u00e4me", "is not a model"),
        ("org/" + "n" * 97, "is not a model"),
        ("n" * 1_000_000, "is not a model"),
        ('{"model_type": "llama"}', "is not a model"),
        ("https://example.com/org/name", "is not a model"),
        ("https://huggingface.co", "is not a model"),
        ("huggingface.co/", "is not a model"),
        ("https://huggingface.co/docs/transformers", "is not a model"),
        ("https://huggingface.co/org/name/discussions/1", "is not a model"),
        ("http://[", "is not a model"),
        ("file:///etc/passwd", "is not a model"),
        ("https://huggingface.co/datasets/org/name", "is a dataset"),
        ("datasets/org/name", "is a dataset"),
        ("https://huggingface.co/spaces/org/name/tree/main", "is a Space"),
        ("https://huggingface.co/org/name/blob/main/text_encoder/config.json", 'points at "text_encoder/config.json"'),
        ("https://huggingface.co/org/name/blob/main/README.md", 'points at "README.md"'),
        ("org/name@", "no revision after the @"),
        ("org/name@../../x", "cannot be a revision"),
        ("org/name@/main", "cannot be a revision"),
        ("org/name@main/", "cannot be a revision"),
        ("org/name@a b", "cannot be a revision"),
        ("https://huggingface.co/org/name/tree/..%2F..%2Fx", "cannot be a revision"),
    ],
)
def test_what_is_no_model(text: str, part: str) -> None:
    assert not reader.is_repo(text)
    with pytest.raises(SourceError) as caught:
        reader.parse_repo(text)
    message = str(caught.value)
    assert part in message
    assert "Allowed" in message or "Give" in message
    assert len(message) < 500


@pytest.mark.parametrize(
    "text", [TOKEN, f"org/{TOKEN}", f"org/name@{TOKEN}", f"https://x.org/{TOKEN}", f"org/name?token={TOKEN}"]
)
def test_a_token_in_place_of_a_model_is_not_repeated(text: str) -> None:
    with pytest.raises(SourceError) as caught:
        reader.parse_repo(text)
    assert "SecretToken" not in str(caught.value)


@pytest.mark.parametrize(
    ("repo_id", "revision"), [("../x", None), ("org/name", "../x"), ("org/name", ""), (TOKEN, None)]
)
def test_fetching_checks_its_arguments(hub: Hub, refused: Refused, repo_id: str, revision: str | None) -> None:
    refused(SourceError, repo_id, revision=revision)
    assert hub.seen == []
