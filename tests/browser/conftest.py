"""The app behind a real server, and a browser that notes what no visitor should see: an exception, an error in the
console, a request to anywhere but this machine."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.error import URLError

import pytest
from loopback import Hub, Storage
from loopback import Model as Repository
from models import DEEPSEEK
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)
from writers import safetensors_bytes

from calculator.sources.load import model_from_config

ROOT = Path(__file__).parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SETTLED = "[data-testid=stApp][data-test-script-state=notRunning][data-test-connection-state=CONNECTED]"
# On a deep link Streamlit's own front end asks first whether the app lives below that path, and takes 404 for no.
PROBES = ("/_stcore/health", "/_stcore/host-config")
UNKNOWN_PAGE = "The page that you have requested does not seem to exist."
START = 60  # seconds a server may take to answer

expect.set_options(timeout=20_000)


@contextmanager
def running(script: Path, log: Path, hub: str = "http://127.0.0.1:9") -> Iterator[str]:
    """The address of a new server process that runs the script."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"headless": "true", "address": "127.0.0.1", "port": port, "fileWatcherType": "none"}
    # A Hub nobody answers for or a test's own, and an empty cache: what is seen does not depend on the network.
    env = os.environ | {"HF_ENDPOINT": hub, "HF_HOME": str(log.parent / "hub")}
    env = {name: value for name, value in env.items() if not name.lower().endswith("_proxy")}
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(script),
        *(f"--server.{k}={v}" for k, v in options.items()),
    ]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=script.parent, env=env, stdout=output, stderr=output) as server,
    ):
        try:
            _wait_for(f"http://127.0.0.1:{port}", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + START
    while time.monotonic() < until and server.poll() is None:
        try:
            with opener.open(f"{url}/_stcore/health", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"The server did not start:\n{log.read_text(encoding='utf-8')}")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise RuntimeError("These tests need Chromium: install it, or name its executable in the variable CHROMIUM.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for all tests, which has served a visitor before."""
    with running(ROOT / "app.py", tmp_path_factory.mktemp("server") / "log") as url:
        yield url


@pytest.fixture(scope="session")
def hub_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose Hub holds one small checkpoint, org/deepseek, with its prediction layer and a strange tensor."""
    config = DEEPSEEK | {"num_nextn_predict_layers": 1}
    model = model_from_config(config)
    stored = {name: ("BF16", shape) for name, shape in model.tensors(apart=True)} | {"odd": ("F32", (7,))}
    header, data = safetensors_bytes(stored)
    storage = Storage()
    hub = Hub(storage)
    files = {"config.json": json.dumps(config).encode(), "model.safetensors": header + bytes(data)}
    hub.models["org/deepseek"] = Repository(files)
    try:
        with running(ROOT / "app.py", tmp_path_factory.mktemp("hub") / "log", hub.url) as url:
            yield url
    finally:
        hub.stop()
        storage.stop()


@pytest.fixture
def cold_server(tmp_path: Path) -> Iterator[str]:
    """A server that nobody has visited yet."""
    with running(ROOT / "app.py", tmp_path / "log") as url:
        yield url


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """Starts a server beside the app's: another script in a folder of its own, under the app's settings."""
    with ExitStack() as servers:

        def started(script: Path) -> str:
            shutil.copytree(ROOT / ".streamlit", script.parent / ".streamlit")
            return servers.enter_context(running(script, tmp_path / f"{script.stem}.log"))

        yield started


LATER = ("Scaling", "Experts", "Checkpoint", "Methods")
"""Pages that stand under More where the navigation runs along the top."""


@dataclass
class Visitor:
    """A browser window on one server, and what went wrong in it."""

    page: Page
    server: str
    wrong: list[str] = field(default_factory=list)

    def open(self, link: str = "") -> Page:
        """The page of a link, once all of it is there."""
        self.page.goto(f"{self.server}/{link}")
        return self.settled()

    def links(self) -> Locator:
        """The links to the pages: along the top, on a phone in the sidebar."""
        return self.page.locator("[data-testid=stTopNavLink], [data-testid=stSidebarNavLink]")

    def go(self, title: str) -> None:
        """To the page of that title, which may stand under More."""
        more = self.page.get_by_test_id("stTopNavSection")
        if title in LATER and more.count():
            more.click()
            self.page.get_by_test_id("stTopNavDropdownLink").filter(has_text=title).click()
        else:
            self.links().filter(has_text=title).click()

    def settled(self) -> Page:
        expect(self.page.locator(SETTLED)).to_be_attached()
        expect(self.page.locator("[data-testid=stSkeleton], [data-testid=stSpinner]")).to_have_count(0)
        assert self.page.locator("[data-testid=stException]").all_inner_texts() == []
        return self.page

    def console(self, message: ConsoleMessage) -> None:
        probe = message.location.get("url", "").endswith(PROBES)
        if message.type == "error" and not probe and not message.text.startswith(UNKNOWN_PAGE):
            self.wrong.append(f"console: {message.text}")

    def request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.server}/", self.server.replace("http", "ws", 1), "data:", "blob:")):
            self.wrong.append(f"request to {request.url}")

    def response(self, response: Response) -> None:
        if response.status >= 400 and not response.url.endswith(PROBES):
            self.wrong.append(f"{response.status} from {response.url}")


@pytest.fixture(scope="session")
def contexts(chromium: Browser) -> Callable[[int, str], BrowserContext]:
    """A profile for each kind of window, so that the front end is loaded into a cache once."""

    @cache
    def context(width: int, color_scheme: str) -> BrowserContext:
        size = {"width": width, "height": 844 if width < 700 else 900}
        return chromium.new_context(viewport=size, color_scheme=color_scheme)

    return context


@pytest.fixture
def visit(contexts: Callable[[int, str], BrowserContext]) -> Iterator[Callable[..., Visitor]]:
    """Opens a window on a server; what went wrong in any of them fails the test at its end."""
    visitors: list[Visitor] = []

    def new(server: str, width: int = 1440, color_scheme: str = "light") -> Visitor:
        visitor = Visitor(contexts(width, color_scheme).new_page(), server)
        visitor.page.on("console", visitor.console)
        visitor.page.on("pageerror", lambda error: visitor.wrong.append(f"script error: {error}"))
        visitor.page.on("request", visitor.request)
        visitor.page.on("response", visitor.response)
        visitors.append(visitor)
        return visitor

    yield new
    for visitor in visitors:
        exceptions = visitor.page.locator("[data-testid=stException]").all_inner_texts()
        visitor.page.close()
        assert [*exceptions, *visitor.wrong] == []
