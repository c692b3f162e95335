"""The loopback Hub itself, checked by the client that it is made for."""

from __future__ import annotations

import huggingface_hub
import pytest
from loopback import COMMIT, Hub, Model
from public import BODY


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
