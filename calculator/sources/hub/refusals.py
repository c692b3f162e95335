"""Why the Hub gave no usable config.json and what to do about it: every way a request can fail, as an error."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from calculator.errors import (
    ConfigError,
    GatedModelError,
    HubError,
    HubUnreachableError,
    MissingFileError,
    ModelNotFoundError,
)
from calculator.limits import limits
from calculator.sources.hub.ids import FILE, shown

MAX_BYTES = 20_000_000
"""Longest config.json that is read; the largest known ones have a few hundred thousand bytes."""

_SOON, _LATER = "try again in a moment", "try again in a few minutes"


@dataclass(frozen=True)
class Request:
    """What is asked of which Hub."""

    repo_id: str
    revision: str | None
    endpoint: str
    timeout: float
    file: str = FILE

    @property
    def host(self) -> str:
        """Host and port of the Hub, without a user's name or password."""
        return urlsplit(self.endpoint).netloc.rpartition("@")[2]

    @property
    def page(self) -> str:
        """Address of the repository's page."""
        address = urlsplit(self.endpoint)
        return address._replace(netloc=self.host, path=f"{address.path}/{self.repo_id}").geturl()


def bad_endpoint() -> HubError:
    """HF_ENDPOINT names no Hub."""
    return HubError(
        "HF_ENDPOINT is not the address of a Hub. Allowed is an address such as https://huggingface.co; "
        "correct the variable or unset it."
    )


def unreadable_token() -> HubError:
    """The stored token's file cannot be read."""
    return HubError(
        "The access token that this machine stores cannot be read; log in again with `hf auth login`, or pass a token."
    )


def malformed_token() -> HubError:
    """The token cannot be one."""
    return HubError(
        "The access token is malformed: it holds spaces or characters that no token has. Copy it again from "
        f"https://huggingface.co/settings/tokens into {_place()}."
    )


# Nothing was read, and a later try may succeed


def unreachable(request: Request, reason: str, remedy: str) -> HubUnreachableError:
    """Nothing was read, for a reason that the remedy may mend."""
    return HubUnreachableError(
        f"{request.repo_id} was not read from the Hugging Face Hub ({request.host}): {reason}, and the local cache "
        f"holds no copy of it. Bundled models, local files and models already in the cache still work; to read this "
        f"one, {remedy}."
    )


def offline(request: Request, reason: str = "offline mode is on") -> HubUnreachableError:
    """The Hub may not be asked."""
    return unreachable(request, reason, "unset HF_HUB_OFFLINE")


def late(request: Request) -> HubUnreachableError:
    """The deadline passed."""
    return unreachable(request, f"no complete answer came within {request.timeout:g} seconds", _SOON)


def cut_short(request: Request) -> HubUnreachableError:
    """The connection broke off."""
    return unreachable(request, "the connection broke off before the whole file had come", _SOON)


def broken(request: Request, error: Exception, http: Any) -> HubError:
    """Why no complete answer came, told from what the connection, made by the library `http`, raised."""
    if isinstance(error, http.TimeoutException):
        return late(request)
    if isinstance(error, http.InvalidURL):
        return bad_endpoint()
    if isinstance(error, http.UnsupportedProtocol):
        # HF_ENDPOINT was looked at before, so it is the answer that led there.
        return unreachable(request, "it sent the request on to an address that is none of the web", _LATER)
    if isinstance(error, http.ProxyError):
        return unreachable(request, "the proxy refused the connection", "correct HTTPS_PROXY or unset it")
    if "CERTIFICATE" in str(error).upper():
        remedy = "have the certificate of the network's proxy installed, or set SSL_CERT_FILE to it"
        return unreachable(request, "its certificate could not be verified", remedy)
    if isinstance(error, http.ConnectError):
        return unreachable(request, "the network is down or the host is blocked", "check the connection and try again")
    if isinstance(error, http.TooManyRedirects):
        reason = "it answered with an endless chain of redirects"
        return unreachable(request, reason, "check HF_ENDPOINT and try again")
    return cut_short(request)


# The Hub answered, but with no file


def refusal(request: Request, response: Any, token_sent: bool) -> HubError:
    """What the status and the Hub's own error code say; the error's body is never read."""
    status, code = response.status_code, response.headers.get("x-error-code", "")
    if status == 401 and token_sent and (code != "GatedRepo" or _says(response, "invalid credentials")):
        return _token_refused(request)
    if code == "GatedRepo":
        return _gated(request, token_sent)
    if code == "RevisionNotFound":
        return _no_revision(request)
    if code == "EntryNotFound":
        return _no_file(request)
    if code == "RepoNotFound" or status in (401, 404):
        return _not_found(request, token_sent)
    if status == 403:
        return _forbidden(request, response, token_sent)
    if status == 429:
        return _limited(request, response)
    if status >= 500 or status == 408:
        return unreachable(request, f"it has a fault of its own (status {status})", _LATER)
    return HubError(
        f"The Hugging Face Hub ({request.host}) gave no file for {request.repo_id} but status {status}. Check the id "
        f"at {request.page}, or give a local config.json."
    )


def _give_token() -> str:
    """What to do where no token was sent; on a server its own HF_TOKEN is its operator's matter."""
    return "set HF_TOKEN or pass --token" if limits().own_token else "give an access token in the sidebar"


def _place() -> str:
    """Where a token is given: on the command line, or in the app."""
    return "HF_TOKEN or --token" if limits().own_token else "the sidebar's field for an access token"


def _says(response: Any, words: str) -> bool:
    return words in response.headers.get("x-error-message", "").lower()


def _token_refused(request: Request) -> HubError:
    return HubError(
        f"The Hugging Face Hub refused the access token (401) when asked for {request.repo_id}: it is mistyped, "
        f"expired or revoked. Create one at https://huggingface.co/settings/tokens and put it into {_place()}; "
        "public models need none."
    )


def _gated(request: Request, token_sent: bool) -> GatedModelError:
    if token_sent:
        return GatedModelError(
            f"{request.repo_id} is gated, and the access token that was sent has no access to it. Open {request.page} "
            "with the token's account, accept the licence, wait until access is granted, and try again."
        )
    return GatedModelError(
        f"{request.repo_id} is gated: only accounts that accepted its licence may read it. Open {request.page}, accept "
        f"the licence, then {_give_token()}."
    )


def _no_revision(request: Request) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"{request.repo_id} has no revision {shown(request.revision or 'main')}. Allowed are its branches, tags "
        f"and commits, which {request.page}/tree/main lists; without @revision, main is read."
    )


def _no_file(request: Request) -> MissingFileError:
    where = f" at revision {request.revision}" if request.revision else ""
    if request.file != FILE:
        return MissingFileError(
            f"{request.repo_id} holds no {request.file}{where}; {request.page}/tree/main lists its files."
        )
    return MissingFileError(
        f"{request.repo_id} holds no config.json{where}: repositories with only GGUF files, adapters or "
        "diffusion pipelines have none at the top. Give the transformer it was made from, or a local config.json."
    )


def _not_found(request: Request, token_sent: bool) -> ModelNotFoundError:
    hint = (
        "or it is private and the access token that was sent may not read it"
        if token_sent
        else f"or it is private, which looks the same without an access token ({_give_token()})"
    )
    return ModelNotFoundError(
        f"The Hugging Face Hub has no model {request.repo_id}, {hint}. Check the spelling at {request.page}."
    )


def _forbidden(request: Request, response: Any, token_sent: bool) -> HubError:
    if _says(response, "disabled"):
        return HubError(f"The Hugging Face Hub has disabled {request.repo_id} (403). Choose another model.")
    lack = "the access token that was sent lacks the permission" if token_sent else "no access token was sent"
    return ModelNotFoundError(
        f"The Hugging Face Hub forbids reading {request.repo_id} (403): {lack}. Put a token that may "
        f"read this repository into {_place()}."
    )


def _limited(request: Request, response: Any) -> HubUnreachableError:
    """The seconds to wait come from Retry-After or the Hub's RateLimit header."""
    after = re.fullmatch(r"\s*([0-9]{1,9})\s*", response.headers.get("retry-after", ""))
    pause = after or re.search(r";\s*t\s*=\s*([0-9]{1,9})", response.headers.get("ratelimit", ""))
    remedy = f"try again in {pause[1]} seconds" if pause else _LATER
    return unreachable(request, "it limits the rate of requests (429)", f"{remedy}, or set HF_TOKEN for a higher limit")


# The file came, but is no config


def unreadable(request: Request, what: str, limit: int = MAX_BYTES) -> ConfigError:
    """What came is no JSON object."""
    return ConfigError(
        f"The {request.file} of {request.repo_id} {what}. Allowed is one JSON object of at most {_size(limit)}. Check "
        f"at {request.page} that this is the right model, or give a local config.json."
    )


def too_large(request: Request, limit: int) -> ConfigError:
    """What would come is larger than is read."""
    return unreadable(request, f"is larger than {_size(limit)} and was not read", limit)


def _size(limit: int) -> str:
    return f"{limit // 1_000_000} MB"
