"""calculator.hub against a Hub on the loopback interface, through the real huggingface_hub client."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from loopback import COMMIT, Answer, Fault, Hub, Model, Storage

from calculator.errors import (
    CalculatorError,
    ConfigError,
    GatedModelError,
    HubError,
    HubUnreachableError,
    MissingFileError,
    ModelNotFoundError,
    SourceError,
)
from calculator.sources.hub import client as reader

CONFIG = {"model_type": "llama", "hidden_size": 64}
BODY = json.dumps(CONFIG).encode()
TOKEN = "hf_" + "SecretTokenOfATest" * 2
QUICK = 0.2

Refused = Callable[..., str]


@pytest.fixture
def model(hub: Hub) -> Model:
    """A public model that the Hub serves as "org/name"."""
    hub.models["org/name"] = Model({"config.json": BODY, "README.md": b"hello"})
    return hub.models["org/name"]


@pytest.fixture
def refused(hub: Hub, caplog: pytest.LogCaptureFixture) -> Refused:
    """Fetches, expects exactly this error, and returns its message, which is prose without any token."""
    caplog.set_level(logging.DEBUG)

    def fetch(kind: type[CalculatorError], repo_id: str = "org/name", timeout: float = 5, **options: str | None) -> str:
        with pytest.raises(kind) as caught:
            reader.fetch_config(repo_id, timeout=timeout, **options)
        assert caught.type is kind
        message = str(caught.value)
        assert re.fullmatch(r"[A-Z\"o].*\.", message)
        assert "None" not in message
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
        assert "SecretToken" not in shown
        return message

    return fetch


# Ids and addresses


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


# What is read


def test_a_model_is_read(hub: Hub, model: Model) -> None:
    file = reader.fetch_config("org/name")
    assert file == reader.HubFile(CONFIG, "org/name", None, COMMIT, cached=False)
    assert file.provenance == "org/name@0123456 on the Hugging Face Hub"
    assert [seen.method for seen in hub.seen] == ["GET", "GET"]


def test_a_single_name_is_read(hub: Hub) -> None:
    hub.models["gpt2"] = Model({"config.json": BODY})
    assert reader.fetch_config("gpt2").provenance == "gpt2@0123456 on the Hugging Face Hub"


@pytest.mark.parametrize("revision", ["dev", "refs/pr/1", "f" * 40])
def test_a_revision_is_read(model: Model, revision: str) -> None:
    model.branches |= {"dev": "f" * 40, "refs/pr/1": "f" * 40}
    file = reader.fetch_config("org/name", revision=revision)
    assert (file.revision, file.commit) == (revision, "f" * 40)


def test_the_endpoint_is_read_at_each_call(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Hub(storage)
    other.models["org/other"] = Model({"config.json": BODY})
    monkeypatch.setenv("HF_ENDPOINT", other.url + "/")
    try:
        assert reader.fetch_config("org/other").config == CONFIG
    finally:
        other.stop()


@pytest.mark.parametrize(
    "endpoint",
    ["huggingface.co", "ftp://huggingface.co", "http://", "http://h:99999", "http://[", "http://h:0", "http://\x7f"],
)
def test_an_endpoint_that_is_no_address(refused: Refused, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert "HF_ENDPOINT is not the address of a Hub" in refused(HubError)


def test_a_server_without_commits_is_read_but_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.fault = Fault(Answer(200, body=BODY))
    assert reader.fetch_config("org/name").provenance == "org/name on the Hugging Face Hub"
    assert reader.fetch_config("org/name", revision="dev").provenance == "org/name@dev on the Hugging Face Hub"
    assert not (tmp_path / "cache").exists()


# Tokens


def test_no_token_is_sent_when_there_is_none(hub: Hub, model: Model) -> None:
    reader.fetch_config("org/name")
    reader.fetch_config("org/name", token="  ")
    assert {seen.authorization for seen in hub.seen} == {None}


@pytest.mark.parametrize("access", ["public", "private", "gated"])
def test_a_given_token_is_sent(hub: Hub, model: Model, access: str) -> None:
    hub.tokens = model.readers = {TOKEN}
    model.access = access
    assert "SecretToken" not in repr(reader.fetch_config("org/name", token=f" {TOKEN}\n"))
    assert {seen.authorization for seen in hub.seen} == {f"Bearer {TOKEN}"}


def test_the_token_of_the_environment_is_sent_unless_another_is_given(
    hub: Hub, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.tokens = {TOKEN, "hf_other"}
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    reader.fetch_config("org/name")
    assert {seen.authorization for seen in hub.seen} == {"Bearer hf_other"}
    hub.seen.clear()
    reader.fetch_config("org/name", token=TOKEN)
    assert {seen.authorization for seen in hub.seen} == {f"Bearer {TOKEN}"}


def test_the_stored_login_is_sent_unless_that_is_forbidden(
    hub: Hub, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.tokens = {TOKEN}
    (tmp_path / "token").write_text(TOKEN)
    reader.fetch_config("org/name")
    assert {seen.authorization for seen in hub.seen} == {f"Bearer {TOKEN}"}
    hub.seen.clear()
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    reader.fetch_config("org/name")
    assert {seen.authorization for seen in hub.seen} == {None}


def test_the_token_does_not_follow_a_redirect_to_another_host(hub: Hub, storage: Storage, model: Model) -> None:
    hub.tokens, model.large = {TOKEN}, {"config.json"}
    file = reader.fetch_config("org/name", token=TOKEN)
    assert (file.config, file.commit) == (CONFIG, COMMIT)
    assert [seen.authorization for seen in hub.seen] == [f"Bearer {TOKEN}"]
    assert [seen.authorization for seen in storage.seen] == [None]


@pytest.mark.parametrize(
    "token", ["hf_Secret Token", "hf_SecretT\u00f6ken", "hf_SecretToken\x00", "hf_\r\nSecretToken: x"]
)
def test_a_malformed_token(hub: Hub, model: Model, refused: Refused, token: str) -> None:
    message = refused(HubError, token=token)
    assert "malformed" in message
    assert "Secret" not in message
    assert hub.seen == []


def test_a_server_that_repeats_the_token_is_not_quoted(
    hub: Hub, refused: Refused, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)  # below that, the HTTP library logs the headers of every answer
    headers = {"X-Error-Message": f"no {TOKEN}", "X-Error-Code": TOKEN, "Retry-After": TOKEN}
    kinds = {400: HubError, 401: HubError, 403: ModelNotFoundError, 404: ModelNotFoundError, 429: HubUnreachableError}
    for status, kind in kinds.items():
        hub.fault = Fault(Answer(status, headers, TOKEN.encode()))
        refused(kind, token=TOKEN)


# What the Hub refuses


def test_an_unknown_or_private_model(hub: Hub, model: Model, refused: Refused) -> None:
    model.access = "private"
    for repo_id in ("org/name", "org/unknown"):
        message = refused(ModelNotFoundError, repo_id)
        assert f"has no model {repo_id}, or it is private, which looks the same without an access token" in message
        assert "HF_TOKEN" in message
        assert "--token" in message
        assert f"{hub.url}/{repo_id}" in message


def test_a_model_the_token_does_not_open(hub: Hub, model: Model, refused: Refused) -> None:
    model.access, hub.tokens = "private", {TOKEN}
    assert "the access token that was sent may not read it" in refused(ModelNotFoundError, token=TOKEN)


def test_a_gated_model(hub: Hub, model: Model, refused: Refused) -> None:
    model.access, hub.tokens = "gated", {TOKEN}
    without = refused(GatedModelError)
    assert f"Open {hub.url}/org/name, accept the licence, then set HF_TOKEN or pass --token" in without
    sent = refused(GatedModelError, token=TOKEN)
    assert "the access token that was sent has no access" in sent
    assert f"{hub.url}/org/name" in sent


def test_an_invalid_token(model: Model, refused: Refused) -> None:
    for access in ("public", "private", "gated"):
        model.access = access
        message = refused(HubError, token=TOKEN)
        assert "refused the access token (401)" in message
        assert "https://huggingface.co/settings/tokens" in message


def test_what_is_forbidden(hub: Hub, refused: Refused) -> None:
    hub.tokens, hub.fault = {TOKEN}, Fault(Answer(403))
    assert "no access token was sent" in refused(ModelNotFoundError)
    assert "lacks the permission" in refused(ModelNotFoundError, token=TOKEN)


def test_a_disabled_model(hub: Hub, refused: Refused) -> None:
    hub.fault = Fault(Answer(403, {"X-Error-Message": "Access to this resource is disabled."}))
    assert "has disabled org/name" in refused(HubError)


def test_an_unknown_revision(hub: Hub, model: Model, refused: Refused) -> None:
    message = refused(ModelNotFoundError, revision="v9")
    assert 'org/name has no revision "v9"' in message
    assert f"{hub.url}/org/name/tree/main" in message


@pytest.mark.parametrize("files", [{"model.gguf": b""}, {"model_index.json": b"{}", "unet/config.json": b"{}"}, {}])
def test_a_repository_without_config(model: Model, refused: Refused, files: dict[str, bytes]) -> None:
    model.files = files
    assert "org/name holds no config.json: repositories with only GGUF" in refused(MissingFileError)
    assert "no config.json at revision main:" in refused(MissingFileError, revision="main")


def test_a_bare_404(hub: Hub, refused: Refused) -> None:
    hub.fault = Fault(Answer(404))
    assert "has no model org/name" in refused(ModelNotFoundError)


@pytest.mark.parametrize("status", [204, 304, 400, 410, 451])
def test_another_status(hub: Hub, refused: Refused, status: int) -> None:
    hub.fault = Fault(Answer(status))
    assert f"gave no file for org/name but status {status}" in refused(HubError)


def test_refusals_are_not_answered_from_the_cache(hub: Hub, model: Model, refused: Refused) -> None:
    hub.tokens = model.readers = {TOKEN}
    model.access = "gated"
    reader.fetch_config("org/name", token=TOKEN)
    refused(GatedModelError)


# What is no configuration


def test_what_nests_too_deep(model: Model, refused: Refused, tmp_path: Path) -> None:
    model.files["config.json"] = b"[" * 200_000
    assert "The config.json of org/name nests objects and lists more than 100 deep" in refused(ConfigError)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("body", [b"", b"{", b"<html></html>", b"{'a': 1}", b"\xff\xfe\x00"])
def test_what_is_not_json(model: Model, refused: Refused, tmp_path: Path, body: bytes) -> None:
    model.files["config.json"] = body
    assert "The config.json of org/name is not JSON" in refused(ConfigError)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[1]", "a list"),
        (b'"a"', "a text"),
        (b"1", "a number"),
        (b"1.5", "a number"),
        (b"true", "true or false"),
        (b"null", "null"),
    ],
)
def test_what_is_not_an_object(model: Model, refused: Refused, body: bytes, kind: str) -> None:
    model.files["config.json"] = body
    assert f"is JSON, but {kind} instead of an object. Allowed is one JSON object" in refused(ConfigError)


@pytest.mark.parametrize("name", ["Content-Length", "X-Linked-Size"])
def test_a_declared_length_beyond_the_limit_is_not_read(hub: Hub, refused: Refused, name: str) -> None:
    hub.fault = Fault(Answer(200, {name: "99999999999"}), endless=True)
    assert "is larger than 20 MB and was not read" in refused(ConfigError)
    hub.stop()
    assert hub.sent < reader.MAX_BYTES


def test_an_endless_body_is_read_to_the_limit(hub: Hub, refused: Refused) -> None:
    hub.fault = Fault(Answer(200, body=BODY), endless=True)
    assert "is larger than 20 MB and was not read" in refused(ConfigError)
    hub.stop()
    assert hub.sent < 2 * reader.MAX_BYTES  # what the buffers of both ends hold comes on top of the limit


# What breaks on the way


def test_a_closed_port(hub: Hub, refused: Refused) -> None:
    hub.stop()
    message = refused(HubUnreachableError)
    assert f"from the Hugging Face Hub ({hub.url.removeprefix('http://')}): the network is down" in message
    assert "the local cache holds no copy" in message
    assert "Bundled models, local files and models already in the cache still work" in message


FAULTS = {
    "reset": (Fault(reset=True), "the connection broke off"),
    "cut": (Fault(cut=5), "the connection broke off"),
    "shorter than linked": (Fault(Answer(200, {"X-Linked-Size": "999"}, BODY)), "the connection broke off"),
    "no answer": (Fault(delay=9), "no complete answer came within 0.2 seconds"),
    "slow headers": (Fault(header_pause=0.05), "no complete answer came within 0.2 seconds"),
    "slow body": (Fault(Answer(200, body=BODY), body_pause=0.05), "no complete answer came within 0.2 seconds"),
    "not HTTP": (Fault(Answer(200, {"X Y": "\r\n"})), "the connection broke off"),
    "not compressed": (Fault(Answer(200, {"Content-Encoding": "gzip"}, BODY)), "the connection broke off"),
    "redirects": (Fault(Answer(302, {"Location": "/org/name"})), "an endless chain of redirects"),
    "429": (Fault(Answer(429)), "limits the rate of requests (429)"),
    "500": (Fault(Answer(500)), "a fault of its own (status 500)"),
    "503": (Fault(Answer(503, {"Retry-After": "100"})), "a fault of its own (status 503)"),
    "408": (Fault(Answer(408)), "a fault of its own (status 408)"),
}


@pytest.mark.parametrize(("fault", "part"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_told_at_once_and_answered_from_the_cache(
    hub: Hub, model: Model, refused: Refused, fault: Fault, part: str
) -> None:
    hub.fault, timeout = fault, QUICK if "within" in part else 5
    message = refused(HubUnreachableError, timeout=timeout)
    # The client by itself would try for a minute.
    assert not hub.finished if "within" in part else len(hub.seen) <= (21 if "redirects" in part else 2)
    assert part in message
    hub.fault = Fault()
    reader.fetch_config("org/name")
    hub.fault = fault
    file = reader.fetch_config("org/name", timeout=timeout)
    assert file == reader.HubFile(CONFIG, "org/name", None, COMMIT, cached=True)
    assert file.provenance == "org/name@0123456 on the Hugging Face Hub (the copy in the local cache)"


def test_a_slow_body_ends_the_reading_thread(hub: Hub, refused: Refused) -> None:
    hub.fault = Fault(Answer(200, body=BODY), body_pause=0.05)
    refused(HubUnreachableError, timeout=QUICK)
    for thread in [thread for thread in threading.enumerate() if thread.name == "hub"]:
        thread.join(3)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("headers", "part"),
    [
        ({"Retry-After": "30"}, "try again in 30 seconds"),
        ({"RateLimit": '"resolvers";r=0;t=55'}, "try again in 55 seconds"),
        ({"Retry-After": "Wed, 21 Oct 2065 07:28:00 GMT"}, "try again in a few minutes"),
        ({}, "try again in a few minutes"),
    ],
)
def test_a_rate_limit(hub: Hub, refused: Refused, headers: dict[str, str], part: str) -> None:
    hub.fault = Fault(Answer(429, headers))
    message = refused(HubUnreachableError)
    assert part in message
    assert len(hub.seen) == 1


def test_a_cut_on_the_storage_host(storage: Storage, model: Model, refused: Refused) -> None:
    model.large, storage.fault = {"config.json"}, Fault(cut=3)
    assert "the connection broke off" in refused(HubUnreachableError)


@pytest.mark.parametrize(
    ("error", "text", "part"),
    [
        ("ConnectError", "[SSL: CERTIFICATE_VERIFY_FAILED] unable to get issuer", "certificate could not be verified"),
        ("ProxyError", "403 Forbidden", "the proxy refused the connection"),
        ("PoolTimeout", "", "no complete answer came"),
        ("ConnectError", "[Errno -2] Name or service not known", "the network is down"),
    ],
)
def test_faults_of_the_network(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, error: str, text: str, part: str
) -> None:
    http = sys.modules[type(huggingface_hub.get_session()).__module__]

    class Session:
        def stream(self, *_: object, **__: object) -> None:
            raise getattr(http, error)(text)

    monkeypatch.setattr(huggingface_hub, "get_session", Session)
    assert part in refused(HubUnreachableError)


@pytest.mark.usefixtures("hub")
def test_an_unexpected_error_of_the_reading_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        def stream(self, *_: object, **__: object) -> None:
            raise ZeroDivisionError

    monkeypatch.setattr(huggingface_hub, "get_session", Session)
    with pytest.raises(ZeroDivisionError):
        reader.fetch_config("org/name")


# The cache, shared with the client


def test_the_client_finds_what_was_read(model: Model, tmp_path: Path) -> None:
    model.branches["refs/pr/1"] = "f" * 40
    for revision in (None, "refs/pr/1"):
        reader.fetch_config("org/name", revision=revision)
        path = huggingface_hub.hf_hub_download("org/name", "config.json", revision=revision, local_files_only=True)
        assert Path(path).read_bytes() == BODY
    scan = huggingface_hub.scan_cache_dir(tmp_path / "cache")
    assert not scan.warnings
    assert {revision.commit_hash for repo in scan.repos for revision in repo.revisions} == {COMMIT, "f" * 40}
    assert list((tmp_path / "cache").rglob("*.incomplete")) == []


def test_what_the_client_downloaded_is_found(hub: Hub, model: Model) -> None:
    huggingface_hub.hf_hub_download("org/name", "config.json")
    hub.stop()
    assert reader.fetch_config("org/name").cached
    assert reader.fetch_config("org/name", revision=COMMIT).cached


def test_a_file_of_the_client_is_left_as_it_is(model: Model) -> None:
    path = Path(huggingface_hub.hf_hub_download("org/name", "config.json"))
    link, changed = path.is_symlink(), path.stat().st_mtime_ns
    assert not reader.fetch_config("org/name").cached
    assert (path.is_symlink(), path.stat().st_mtime_ns) == (link, changed)


def test_a_new_commit_is_read(hub: Hub, model: Model) -> None:
    reader.fetch_config("org/name")
    model.branches["main"], model.files["config.json"] = "e" * 40, b'{"a": 1}'
    assert reader.fetch_config("org/name").config == {"a": 1}
    hub.stop()
    assert reader.fetch_config("org/name").config == {"a": 1}
    assert reader.fetch_config("org/name", revision=COMMIT).config == CONFIG


def test_a_cache_that_cannot_be_written_costs_nothing(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    assert reader.fetch_config("org/name").config == CONFIG


@pytest.mark.parametrize(("body", "part"), [(b"{", "is not JSON"), (b" " * 20_000_001, "is larger than 20 MB")])
def test_an_unusable_copy(hub: Hub, model: Model, refused: Refused, body: bytes, part: str) -> None:
    path = huggingface_hub.hf_hub_download("org/name", "config.json")
    Path(path).write_bytes(body)
    hub.stop()
    assert part in refused(ConfigError)


def test_a_broken_link_in_the_cache(hub: Hub, model: Model, refused: Refused) -> None:
    path = Path(huggingface_hub.hf_hub_download("org/name", "config.json"))
    path.resolve().unlink()
    hub.stop()
    refused(HubUnreachableError)


# Offline


@pytest.mark.parametrize("way", ["variable", "constant"])
def test_offline(hub: Hub, model: Model, refused: Refused, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    reader.fetch_config("org/name")
    hub.seen.clear()
    if way == "variable":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    else:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert reader.fetch_config("org/name").cached
    message = refused(HubUnreachableError, "org/other")
    assert "offline mode is on (HF_HUB_OFFLINE is set), and the local cache holds no copy" in message
    assert "unset HF_HUB_OFFLINE" in message
    assert hub.seen == []


# The process


def test_importing_costs_no_client() -> None:
    clients = "[name for name in sys.modules if 'huggingface' in name or 'httpx' in name]"
    assert _python(f"import sys, calculator.sources.hub.client; print({clients})") == "[]"


def test_the_variables_of_a_new_process(hub: Hub, model: Model, tmp_path: Path) -> None:
    hub.tokens, model.access, model.readers = {TOKEN}, "private", {TOKEN}
    code = (
        "from calculator.sources.hub.client import fetch_config; print(fetch_config('org/name', timeout=30).provenance)"
    )
    variables = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN}
    assert _python(code, **variables) == "org/name@0123456 on the Hugging Face Hub"
    assert (tmp_path / "home/hub/models--org--name/refs/main").read_text() == COMMIT
    hub.seen.clear()
    offline = _python(code, **variables, HF_HUB_OFFLINE="1")
    assert offline == "org/name@0123456 on the Hugging Face Hub (the copy in the local cache)"
    assert hub.seen == []


def _python(code: str, **variables: str) -> str:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | variables, cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


# The loopback Hub itself, checked by the client that it is made for


def test_the_client_reads_ranges_of_the_loopback_hub(hub: Hub, model: Model) -> None:
    session, url = huggingface_hub.get_session(), huggingface_hub.hf_hub_url("org/name", "config.json")
    for asked, part in {"bytes=0-7": BODY[:8], "bytes=8-": BODY[8:], "bytes=-3": BODY[-3:]}.items():
        answer = session.get(url, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (206, part)
    assert session.get(url, headers={"Range": "bytes=999-"}).status_code == 416


@pytest.mark.parametrize("large", [False, True])
def test_the_client_reads_the_metadata_of_the_loopback_hub(model: Model, large: bool) -> None:
    model.large = {"config.json"} if large else set()
    metadata = huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url("org/name", "config.json"))
    assert (metadata.commit_hash, metadata.size) == (COMMIT, len(BODY))


def test_the_client_knows_the_refusals_of_the_loopback_hub(hub: Hub, model: Model) -> None:
    errors = huggingface_hub.errors
    cases = {
        "org/unknown": (errors.RepositoryNotFoundError, "main"),
        "org/name": (errors.RevisionNotFoundError, "v9"),
        "org/gated": (errors.GatedRepoError, "main"),
        "org/empty": (errors.EntryNotFoundError, "main"),
    }
    hub.models |= {"org/gated": Model({}, access="gated"), "org/empty": Model({})}
    for repo_id, (kind, revision) in cases.items():
        with pytest.raises(kind):
            huggingface_hub.hf_hub_download(repo_id, "config.json", revision=revision)
