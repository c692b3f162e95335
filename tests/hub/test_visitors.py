"""A server with visitors: what one's token opens no other sees, slow Hubs are answered within ten seconds and not asked
again at once, and what is remembered stays within its bytes."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import constants
from loopback import COMMIT, Answer, Fault, Hub, Model
from models import LLAMA, tensors
from writers import safetensors_bytes

from calculator.errors import CalculatorError, CheckpointError, HubError, HubUnreachableError
from calculator.limits import SERVER, STANDARD, HeaderBudget, applied
from calculator.sources import memory
from calculator.sources.checkpoint import load_checkpoint
from calculator.sources.hub import client
from calculator.sources.load import from_hub

TOKEN, OTHER = "hf_" + "SecretTokenOfATest" * 2, "hf_" + "AnotherTokenOfATest" * 2
BODY = json.dumps(LLAMA).encode()
BROKEN = {
    "429": Fault(Answer(429)),
    "500": Fault(Answer(500)),
    "503": Fault(Answer(503)),
    "reset": Fault(reset=True),
    "cut": Fault(cut=3),
}


@pytest.fixture
def private(hub: Hub) -> Model:
    """A private model that both tokens are known to the Hub, and one of them opens."""
    header, data = safetensors_bytes(tensors(LLAMA))
    files = {"config.json": BODY, "model.safetensors": header + bytes(data)}
    hub.tokens = {TOKEN, OTHER}
    hub.models["org/private"] = Model(files, "private", {TOKEN})
    return hub.models["org/private"]


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("bounds", [STANDARD, SERVER], ids=["own machine", "server"])
def test_what_a_token_opened_nobody_else_gets(hub: Hub, private: Model, fault: str, bounds: Any) -> None:
    with applied(bounds):
        assert client.fetch_config("org/private", token=TOKEN).config == LLAMA
        assert from_hub("org/private", token=TOKEN).name == "org/private"
        assert load_checkpoint("org/private", token=TOKEN).tensors
        hub.fault = BROKEN[fault]
        for token in (None, OTHER):
            for ask in (client.fetch_config, from_hub, load_checkpoint):
                with pytest.raises(HubError):
                    ask("org/private", token=token)  # type: ignore[operator]


def test_the_own_token_opens_its_copy_again_and_a_public_model_is_everyone_s(hub: Hub, private: Model) -> None:
    hub.models["org/public"] = Model({"config.json": BODY})
    client.fetch_config("org/private", token=TOKEN)
    client.fetch_config("org/public")
    hub.fault = Fault(Answer(503))
    assert client.fetch_config("org/private", token=TOKEN).cached
    assert client.fetch_config("org/public").cached
    assert client.fetch_config("org/public", token=OTHER).cached
    with pytest.raises(HubUnreachableError):
        client.fetch_config("org/private", revision=COMMIT)


def test_a_server_writes_nothing_to_disk(hub: Hub, private: Model) -> None:
    hub.models["org/public"] = Model({"config.json": BODY})
    with applied(SERVER):
        from_hub("org/public")
        from_hub("org/private", token=TOKEN)
    assert not Path(constants.HF_HUB_CACHE).exists()


def test_a_server_s_own_token_serves_what_its_operator_allows(
    hub: Hub, private: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with applied(SERVER):
        with pytest.raises(HubError):
            from_hub("org/private")
        assert {seen.authorization for seen in hub.seen} == {None}
        monkeypatch.setenv("CALCULATOR_SHARED_REPOS", "meta-llama/*, Org/private")
        assert from_hub("org/private").name == "org/private"
        monkeypatch.setenv("CALCULATOR_SHARED_REPOS", "meta-llama/*")
        with pytest.raises(HubError):
            from_hub("org/private")
    assert from_hub("org/private").name == "org/private"  # on a machine of one's own the token is one's own


def test_two_sessions_of_the_app(open_page: Any, hub: Hub, private: Model) -> None:
    first = open_page(source="hub", hub="org/private")
    assert len(first.error) == 1
    first.text_input(key="hub_token").set_value(TOKEN).run()
    assert not first.error
    assert first.title[0].value.startswith("private in")
    from streamlit.testing.v1 import AppTest

    for fault in (Fault(), Fault(Answer(503)), Fault(Answer(429)), Fault(reset=True)):
        hub.fault = fault
        for page in ("overview", "checkpoint"):
            second = AppTest.from_file(Path(__file__).parents[2] / "app.py", default_timeout=60)
            second.query_params.update({"source": "hub", "hub": "org/private"})
            if page != "overview":
                second.switch_page(f"pages/{page}.py")
            second.run()
            assert len(second.error) == 1
            assert not second.metric


@pytest.mark.parametrize("fault", [Fault(), *BROKEN.values()], ids=["no fault", *BROKEN])
def test_a_public_adapter_does_not_open_its_private_base(hub: Hub, private: Model, fault: Fault) -> None:
    """Nor do side files that stand beside a private config: each is asked for with the visitor's own token."""
    lora = {"peft_type": "LORA", "r": 8, "target_modules": ["q_proj"], "base_model_name_or_path": "org/private"}
    hub.models["org/lora"] = Model({"adapter_config.json": json.dumps(lora).encode()})
    private.files["quantize_config.json"] = json.dumps({"quant_method": "gptq", "bits": 4, "group_size": 128}).encode()
    with applied(SERVER):
        opened = from_hub("org/lora", token=TOKEN)
        assert opened.parameters.total > from_hub("org/private", token=TOKEN).parameters.total
        assert from_hub("org/private", token=TOKEN).scheme is not None
        hub.fault = fault
        for token in (None, OTHER):
            for name in ("org/lora", "org/private"):
                with pytest.raises(CalculatorError):
                    from_hub(name, token=token)


def test_compare_opens_nothing_that_a_token_of_another_session_did(open_page: Any, hub: Hub, private: Model) -> None:
    first = open_page(source="hub", hub="org/private")
    first.text_input(key="hub_token").set_value(TOKEN).run()
    assert not first.error
    from streamlit.testing.v1 import AppTest

    for fault in (Fault(), Fault(Answer(503))):
        hub.fault = fault
        second = AppTest.from_file(Path(__file__).parents[2] / "app.py", default_timeout=60)
        second.query_params.update({"models": ["org/private", "openai-community/gpt2"], "own": "false"})
        second.switch_page("pages/compare.py").run()
        assert len(second.error) == 1
        assert list(second.dataframe[0].value["name"]) == ["gpt2"]


FAULTS = {
    "silent": Fault(delay=30),
    "headers drop by drop": Fault(header_pause=0.5),
    "body drop by drop": Fault(body_pause=0.5),
    "cut": Fault(cut=10),
    "reset": Fault(reset=True),
    "endless": Fault(Answer(200), endless=True),
    "limited": Fault(Answer(429, {"Retry-After": "3600"})),
    "broken": Fault(Answer(500)),
    "elsewhere": Fault(Answer(302, {"Location": "file:///etc/passwd"})),
    "round and round": Fault(Answer(302, {"Location": "/org/model/resolve/main/model.safetensors"})),
}


@pytest.mark.parametrize("part", ["config.json", "safetensors", ""])
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_answered_by_the_deadline(hub: Hub, fault: str, part: str) -> None:
    """The deadline is two seconds here, and ten for a visitor; it holds for config and headers together."""
    unknown = json.dumps(LLAMA | {"model_type": "never_heard_of"}).encode()
    header, data = safetensors_bytes(tensors(LLAMA))
    hub.models["org/model"] = Model({"config.json": unknown, "model.safetensors": header + bytes(data)})
    hub.fault = replace(FAULTS[fault], only=part)
    with applied(replace(SERVER, seconds=2.0)), pytest.MonkeyPatch.context() as patch:
        patch.setattr(client.fetch_config, "__kwdefaults__", client.fetch_config.__kwdefaults__ | {"timeout": 1.0})
        with pytest.raises(CalculatorError) as caught:
            from_hub("org/model")
        unfinished = FAULTS[fault].delay or FAULTS[fault].header_pause or FAULTS[fault].body_pause
        assert not unfinished or not [seen for seen in hub.finished if part in seen.path]
        assert fault == "round and round" or len(hub.seen) < 12  # nobody tries again and again
        assert str(caught.value).endswith(".")
        assert "HF_ENDPOINT" not in str(caught.value) or fault == "round and round"


def test_the_deadline_of_a_visitor_is_ten_seconds() -> None:
    assert SERVER.seconds == STANDARD.seconds == 9  # and one to draw
    assert client.DEFAULT_TIMEOUT <= 5


def test_a_hub_that_did_not_answer_is_left_alone_for_a_moment(hub: Hub) -> None:
    hub.models["org/model"] = Model({"config.json": BODY})
    hub.fault = Fault(Answer(503))
    with applied(SERVER), memory.used(memory.Memory()):
        for _ in range(3):
            with pytest.raises(HubUnreachableError):
                from_hub("org/model")
        assert len([s for s in hub.seen if s.path.endswith("/config.json")]) == 1
        asked = [s.path for s in hub.seen]
        assert len(asked) == len(set(asked))  # the files beside it once too, as far as they were asked for by then
    hub.fault = Fault()
    assert from_hub("org/model").name == "org/model"


@pytest.mark.parametrize("error", [None, HubUnreachableError("The Hub sleeps.")], ids=["answer", "no answer"])
def test_who_asks_while_the_answer_is_under_way_waits_for_it(error: HubUnreachableError | None) -> None:
    asked, answer, arrived = [], threading.Event(), threading.Semaphore(0)
    outcomes: list[str] = []

    class Watched(memory.Memory):
        def under_way(self, key: memory.Key) -> tuple[Future[Any], bool]:
            found = super().under_way(key)
            arrived.release()
            return found

    def ask() -> str:
        asked.append(1)
        assert answer.wait(10)
        if error is not None:
            raise error
        return "there"

    def late() -> HubUnreachableError:
        return HubUnreachableError("Too late.")

    def visit(patience: float) -> None:
        try:
            outcomes.append(memory.answered(("key",), 20, ask, patience, late))
        except HubUnreachableError as said:
            outcomes.append(str(said))

    with memory.used(Watched()):
        visits = [threading.Thread(target=copy_context().run, args=(visit, 10)) for _ in range(8)]
        for each in visits:
            each.start()
        for _ in visits:
            assert arrived.acquire(timeout=10)
        visit(0)  # the others are served; this one has no time to wait
        answer.set()
        for each in visits:
            each.join()
        said = "there" if error is None else "The Hub sleeps."
        assert (len(asked), outcomes) == (1, ["Too late."] + 8 * [said])
        visit(0)
        assert len(asked) == (2 if error is None else 1)  # only what was not answered is remembered


def test_one_repository_is_remembered_once_however_it_is_written(hub: Hub) -> None:
    hub.models["org/model"] = Model({"config.json": BODY})
    with applied(SERVER), memory.used(memory.Memory()):
        first = from_hub("org/model")
        for text in ("org/model", f"{hub.url}/org/model?x=1", f"{hub.url}/org/model?x=2", f"{hub.url}/org/model/"):
            assert from_hub(text) is first
        assert from_hub("org/model@main") is first  # another name of the same commit
    asked = [s.path for s in hub.seen if s.path.endswith("resolve/main/config.json")]
    assert len(asked) == 2


def test_memory_is_bounded_by_bytes_over_all_kinds() -> None:
    held = memory.Memory(1_000_000)
    for i in range(200):
        held.put(("kind", i % 3, i), {"text": "x" * 50_000, "n": i}, 60)
    assert 500_000 < held.nbytes <= 1_000_000
    assert held.get(("kind", 199 % 3, 199)) == {"text": "x" * 50_000, "n": 199}
    assert held.get(("kind", 0, 0)) is None
    held.put(("large",), "x" * 900_000, 60)
    assert held.get(("large",)) is None
    held.put(("old",), "x", 0.01)
    time.sleep(0.02)
    assert held.get(("old",)) is None


def test_a_large_config_is_refused_before_it_is_parsed(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.models["org/large"] = Model({"config.json": b'{"a": [' + b"{}," * 2_000_000 + b"{}]}"})
    hub.models["org/many"] = Model({"config.json": b'{"a": [' + b"{}," * 400_000 + b"{}]}"})
    parsed: list[Any] = []
    monkeypatch.setattr(client, "json", SimpleNamespace(loads=parsed.append))
    with applied(SERVER):
        for name in ("org/large", "org/many"):
            with pytest.raises(CalculatorError):
                from_hub(name)
    assert not parsed


def test_headers_of_all_shards_have_one_budget(hub: Hub) -> None:
    shards = {f"model-{i:05d}-of-00004.safetensors": {f"t{i}": ("BF16", (1,))} for i in range(1, 5)}
    files = {"config.json": BODY}
    for name, stored in shards.items():
        header, data = safetensors_bytes(stored, {"a": "b" * 9_000_000})
        files[name] = header + bytes(data)
    index = {"weight_map": {t: name for name, stored in shards.items() for t in stored}}
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    hub.models["org/large"] = Model(files)
    with applied(SERVER), pytest.raises(CheckpointError, match="more than 25 MB together"):
        load_checkpoint("org/large", COMMIT)


def test_a_budget_counts_bytes_tensors_and_time() -> None:
    bounds = replace(STANDARD, header_bytes=100, tensors=3)
    with pytest.raises(CheckpointError, match="tensors"):
        HeaderBudget("x", bounds).take(tensors=4)
    with pytest.raises(CheckpointError, match="longer than a request"):
        HeaderBudget("x", bounds, until=time.monotonic() - 1).take()
