"""Which model of the Hugging Face Hub a text names: ids, addresses and revisions, told apart without asking the Hub."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote, urlsplit

from calculator.errors import SourceError
from calculator.sources.catalogue import tidied

FILE = "config.json"

_ALLOWED = (
    'Allowed are "org/name", a single name such as "gpt2", either one with "@revision", '
    "or the address of a model such as https://huggingface.co/org/name."
)
_HOSTS = {"huggingface.co", "www.huggingface.co", "hf.co", "hf-mirror.com"}
_VIEWS = {"tree", "blob", "resolve", "raw", "blame", "commit", "commits"}
_OTHER_KINDS = {"datasets": "a dataset", "spaces": "a Space", "buckets": "a bucket", "kernels": "a kernel"}
_SITE_PAGES = {"api", "blog", "collections", "docs", "join", "learn", "login", "models", "new", "organizations"}
_SITE_PAGES |= {"papers", "posts", "pricing", "settings", "tasks"}
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_REPO_ID = re.compile(rf"(?:{_PART}/)?{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=/-]{0,254}")
_TOKEN = re.compile(r"hf_[A-Za-z0-9]{30,}")


def parse_repo(text: str) -> tuple[str, str | None]:
    """The repository id and the revision, if one is named, of a Hub id or address.

    Raises SourceError when the text is neither, or is the address of something other than a model's config.json.
    """
    stripped = model_scope(text.strip()) or tidied(text)
    path = _hub_path(stripped)
    repo_id, revision = _split_id(stripped) if path is None else _split_path(path)
    check(repo_id, revision)
    return repo_id, revision


def parse_file(text: str) -> tuple[str, str | None, str | None]:
    """The repository id, the revision and the GGUF file (or quantization) that a text such as "org/name:Q4_K_M" or the
    address of a GGUF file names; the latter two are None where they are not named.

    Raises SourceError when the text is neither an id nor an address.
    """
    stripped = model_scope(text.strip()) or tidied(text)
    if stripped.lower().startswith("hf://"):
        return _split_scheme(stripped[5:])
    path = _hub_path(stripped) if "://" in stripped or stripped.lower().startswith(SITES) else None
    if path is not None:
        parts = [unquote(part) for part in path.split("/") if part]
        if len(parts) == 2 and ":" in parts[1]:  # hf.co/org/name:Q4_K_M, as Ollama and llama.cpp name one
            return parse_file("/".join(parts))
        if len(parts) > 4 and parts[2] in _VIEWS and parts[-1].lower().endswith(".gguf"):
            repo_id, file = "/".join(parts[:2]), "/".join(parts[4:])
            check(repo_id, parts[3])
            return repo_id, parts[3], _checked_file(file)
        return *parse_repo(stripped), None
    name, colon, file = stripped.partition(":")
    return *parse_repo(name if colon else stripped), _checked_file(file) if colon else None


MODEL_SCOPE = re.compile(
    r"(?:https?://)?(?:www\.)?modelscope\.(?:cn|ai)/models/([\w.-]+)/([\w.-]+?)(?:/(?:summary|files|feedback|resolve/\S*)?)?",
    re.ASCII,
)
RENAMED_OWNERS = (
    ("ZhipuAI", "", "zai-org"),
    ("LLM-Research", "Meta-Llama", "meta-llama"),
    ("LLM-Research", "Llama", "meta-llama"),
    ("LLM-Research", "gemma", "google"),
    ("LLM-Research", "Phi", "microsoft"),
)
"""Owners on ModelScope, the beginning of their models' names, and who publishes those on the Hub."""


def model_scope(text: str) -> str | None:
    """The Hub's id of a model at ModelScope's address, where most have the id that they have there; None for anything
    else."""
    found = MODEL_SCOPE.fullmatch(text.partition("?")[0].partition("#")[0])
    if found is None:
        return None
    owner = next((h for o, begins, h in RENAMED_OWNERS if o == found[1] and found[2].startswith(begins)), found[1])
    return f"{owner}/{found[2]}"


SITES = ("hf.co/", "huggingface.co/", "www.huggingface.co/", "hf-mirror.com/")


def _split_scheme(rest: str) -> tuple[str, str | None, str | None]:
    """What follows hf://, the client's own scheme: org/name, org/name@revision, or a GGUF file in it."""
    owner, _, rest = rest.removeprefix("models/").partition("/")
    name, _, file = rest.partition("/")
    repo_id, revision, quantization = parse_file(f"{owner}/{name}")
    if file in ("", FILE):
        return repo_id, revision, quantization
    if not file.lower().endswith(".gguf"):
        raise SourceError(
            f"{shown(file)} is no file that a model is read from. Give hf://{repo_id}, or a GGUF file in it."
        )
    return repo_id, revision, _checked_file(file)


def _checked_file(name: str) -> str:
    if ".." in name or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+/ -]{0,250}", name):
        raise SourceError(
            f'{shown(name)} names no GGUF file. Allowed are a file\'s name as in "org/name:FILE.gguf" and a '
            'quantization as in "org/name:Q4_K_M".'
        )
    return name


def is_repo(text: str) -> bool:
    """Whether the text has the form of a Hub id or address of a model; the Hub is not asked."""
    try:
        parse_repo(text)
    except SourceError:
        return False
    return True


def check(repo_id: str, revision: str | None) -> None:
    """Raises SourceError unless both may be part of a Hub address and, being safe paths, of the cache."""
    if _TOKEN.search(f"{repo_id} {revision}"):
        raise SourceError(f"This holds an access token where a model of the Hugging Face Hub is asked for. {_ALLOWED}")
    owner = repo_id.partition("/")[0]
    if owner in _OTHER_KINDS:
        raise SourceError(f"{shown(repo_id)} is {_OTHER_KINDS[owner]}, and only models have a config.json. {_ALLOWED}")
    wrong_end = repo_id.endswith((".git", ".json"))
    if owner in _SITE_PAGES or wrong_end or ".." in repo_id or "--" in repo_id or not _REPO_ID.fullmatch(repo_id):
        raise _refused(repo_id)
    if revision is not None and not _is_revision(revision):
        raise SourceError(
            f"{shown(revision)} cannot be a revision of {repo_id}. Allowed are a branch, a tag or a commit hash, "
            'such as "main" or "refs/pr/1".'
        )


def shown(text: str) -> str:
    """The text in quotes, short, and without what looks like an access token."""
    masked = _TOKEN.sub("hf_…", text)
    return f'"{masked if len(masked) <= 80 else masked[:79] + "…"}"'


def _is_revision(text: str) -> bool:
    unsafe = ".." in text or "//" in text or text.endswith("/")
    return not unsafe and _REVISION.fullmatch(text) is not None


def _hub_path(text: str) -> str | None:
    """The path of a Hub address, None when the text is no address. Raises SourceError for another site's address."""
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
    except ValueError:
        raise _refused(text) from None
    site = parts.netloc.rpartition("@")[2].lower()
    if site in _HOSTS or (site and site == _configured_host()):
        return parts.path
    if "://" in text:
        raise _refused(f"{site}{parts.path}")
    return None


def _configured_host() -> str:
    try:
        return urlsplit(os.environ.get("HF_ENDPOINT", "")).netloc.lower()
    except ValueError:  # the variable is complained about when the Hub is asked
        return ""


def _split_id(text: str) -> tuple[str, str | None]:
    repo_id, at, revision = text.partition("@")
    if at and not revision:
        raise SourceError(f"{shown(text)} names no revision after the @. {_ALLOWED}")
    return repo_id, revision or None


def _split_path(path: str) -> tuple[str, str | None]:
    parts = [unquote(part) for part in path.split("/") if part]
    end = next((place for place, part in enumerate(parts) if place and part in _VIEWS), len(parts))
    repo_id, view = "/".join(parts[:end]), parts[end:]
    file = "/".join(view[2:])
    if file not in ("", FILE):
        raise SourceError(
            f"This address points at {shown(file)}, but only the config.json at the top of a repository is read. "
            f"Give {shown(repo_id)} instead."
        )
    return repo_id, view[1] if len(view) > 1 else None


def _refused(text: str) -> SourceError:
    return SourceError(f"{shown(text)} is not a model on the Hugging Face Hub. {_ALLOWED}")
