"""What breaks on the way to the Hub is told in time."""

from __future__ import annotations

import sys
import threading

import huggingface_hub
import pytest
from loopback import COMMIT, Answer, Fault, Hub, Model, Storage
from public import BODY, CONFIG, QUICK, Refused

from calculator.errors import (
    HubUnreachableError,
)
from calculator.sources.hub import client as reader


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
