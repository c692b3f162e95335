"""How the app holds out with many visitors: sessions that speak the browser's websocket protocol change the batch size
(of training the sequences of a step, of serving the requests a second, so that plans are made anew) every few seconds,
and an empty page with one number is measured beside it. The Checkpoint page reads the headers of a Hub on this machine,
of 13,000 tensors.

    python tests/benchmarks/load.py                    1, 10, 25 and 50 sessions of the first page
    python tests/benchmarks/load.py --pages overview fit speed --sessions 10 --seconds 20

Prints, for each number of sessions, reruns a second, the wait for a rerun at the median and for one in twenty, the
server's CPU seconds a rerun, and the memory that the server holds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "hub"))
sys.path.insert(0, str(Path(__file__).parents[1] / "checkpoint"))

import websockets
from loopback import Hub, Model, Storage
from models import DEEPSEEK, tensors
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from writers import safetensors_bytes

ROOT = Path(__file__).parents[2]
EMPTY = 'import streamlit as st\nst.number_input("Batch size", 1, 10**9, 1, key="batch", bind="query-params")\n'
PAGES = ("overview", "fit", "speed", "serving", "training", "compare", "scaling", "experts", "checkpoint", "methods")
CHANGED = ("Batch size", "Sequences a step", "Requests (1/s)")  # of all pages, of training, of serving
THINKING = 3.0  # seconds between two changes of one visitor
MIXTURE = DEEPSEEK | {
    "num_hidden_layers": 48,
    "n_routed_experts": 88,
    "moe_intermediate_size": 2,
}  # of many tiny tensors
QUERIES = {"checkpoint": "source=hub&hub=org/mixture"}  # what a page needs in its link


@contextlib.contextmanager
def hub() -> Iterator[str]:
    """The address of a Hub on this machine with one mixture of experts."""
    storage = Storage()
    server = Hub(storage)
    header, data = safetensors_bytes(tensors(MIXTURE))
    files = {"config.json": json.dumps(MIXTURE).encode(), "model.safetensors": header + bytes(data)}
    server.models["org/mixture"] = Model(files)
    try:
        yield server.url
    finally:
        server.stop()
        storage.stop()


@contextlib.contextmanager
def server(script: Path, hub: str = "http://127.0.0.1:9") -> Iterator[tuple[str, int]]:
    """A server of the script on a free port of this machine, which asks no Hub but this one: its address and its
    process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true"]
    command += [f"--server.port={port}", "--server.address=127.0.0.1", "--server.fileWatcherType=none"]
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"HF_ENDPOINT": hub}
    process = subprocess.Popen(
        command, cwd=script.parent, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        address = f"127.0.0.1:{port}"
        for _ in range(300):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address}/_stcore/health"):
                break
            time.sleep(0.1)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def held_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Visitor:
    """One browser tab."""

    def __init__(self, address: str, page: str, query: str, rng: random.Random) -> None:
        self.address, self.name, self.query, self.rng = address, page, query, rng
        self.batch: WidgetState | None = None
        self.page = ""
        self.waits: list[float] = []

    async def visit(self, until: float) -> None:
        url = f"ws://{self.address}/_stcore/stream"
        asked = [websockets.Subprotocol("streamlit")]
        opened = websockets.connect(url, subprotocols=asked, max_size=None, ping_interval=None, compression=None)
        async with opened as stream:
            await self._rerun(stream, None)
            self.waits.clear()  # the first run imports and builds; what is measured comes after it
            while time.monotonic() < until:
                await asyncio.sleep(self.rng.uniform(0.5, 1.5) * THINKING)
                await self._rerun(stream, self.rng.randint(1, 4096))

    async def _rerun(self, stream: websockets.ClientConnection, batch: int | None) -> None:
        message = BackMsg()
        message.rerun_script.query_string = self.query
        message.rerun_script.page_script_hash = self.page
        message.rerun_script.page_name = self.name
        if batch is not None:
            assert self.batch is not None
            if self.batch.WhichOneof("value") == "string_value":
                self.batch.string_value = str(batch)
            else:
                self.batch.double_value = batch
            message.rerun_script.widget_states.widgets.append(self.batch)
        start = time.monotonic()
        await stream.send(message.SerializeToString())
        drawn = 0
        while True:
            answer = ForwardMsg.FromString(await stream.recv())
            kind = answer.WhichOneof("type")
            if kind == "navigation":
                self.page = answer.navigation.page_script_hash
            elif kind == "new_session" and not self.page:
                self.page = answer.new_session.page_script_hash
            elif kind == "delta":
                drawn += 1
                self._read(answer.delta.new_element)
            elif kind == "script_finished":
                break
        if answer.script_finished != ForwardMsg.FINISHED_SUCCESSFULLY or not drawn or self.batch is None:
            raise RuntimeError(f"The page was not drawn: {drawn} elements, {answer.script_finished}")
        self.waits.append(time.monotonic() - start)

    def _read(self, element: Element) -> None:
        """Remember the field that is changed, and refuse a page with an error."""
        kind = element.WhichOneof("type")
        if kind == "exception" or (kind == "alert" and element.alert.format == Alert.ERROR):
            raise RuntimeError(element.exception.message or element.alert.body)
        field = getattr(element, kind) if kind in ("number_input", "text_input") else None
        if field is not None and field.label in CHANGED:
            self.batch = WidgetState(id=field.id)
            if kind == "text_input":
                self.batch.string_value = ""
            else:
                self.batch.double_value = 0


async def visit(address: str, pid: int, sessions: int, seconds: float, page: str, query: str) -> str:
    rng = random.Random(sessions)
    until = time.monotonic() + seconds
    await Visitor(address, page, query, rng).visit(time.monotonic())
    before, start = cpu_seconds(pid), time.monotonic()
    visitors = [Visitor(address, page, query, rng) for _ in range(sessions)]
    await asyncio.gather(*(v.visit(until) for v in visitors))
    took, cpu = time.monotonic() - start, cpu_seconds(pid) - before
    waits = sorted(w for v in visitors for w in v.waits)
    runs = len(waits) + sessions  # the first runs cost CPU too
    p95 = waits[int(len(waits) * 0.95)]
    return (
        f"{sessions:9}  {len(waits) / took:9.1f}  {statistics.median(waits) * 1000:7.0f} ms  {p95 * 1000:7.0f} ms  "
        f"{cpu / runs:8.3f} s  {held_bytes(pid) / 2**20:6.0f} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 10, 25, 50])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--pages", nargs="+", choices=PAGES, default=["overview"])
    parser.add_argument("--query", default="", help="what stands after the ? of the app's link")
    parser.add_argument("--app", type=Path, default=ROOT / "app.py")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, hub() as address_of_hub:
        empty = Path(folder) / "empty.py"
        empty.write_text(EMPTY)
        pages = [("an empty page", empty, "")]
        pages += [(page, options.app.resolve(), "" if page == "overview" else page) for page in options.pages]
        for title, script, page in pages:
            print(f"{title}\n sessions   reruns/s   half within   95% within   CPU a rerun   memory", flush=True)
            query = options.query or QUERIES.get(page, "")
            with server(script, address_of_hub) as (address, pid):
                for sessions in options.sessions:
                    print(asyncio.run(visit(address, pid, sessions, options.seconds, page, query)), flush=True)


if __name__ == "__main__":
    main()
