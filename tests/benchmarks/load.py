"""How the app holds out with many visitors: sessions that speak the browser's websocket protocol change the batch size
every few seconds, and an empty page with one number is measured beside it.

    python tests/benchmarks/load.py                    1, 10, 25 and 50 sessions
    python tests/benchmarks/load.py --sessions 1 50 --seconds 20

Prints, for each number of sessions, reruns a second, the wait for a rerun at the median and for one in twenty, the
server's CPU seconds a rerun, and the memory that the server holds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
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

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

ROOT = Path(__file__).parents[2]
EMPTY = 'import streamlit as st\nst.number_input("Batch size", 1, 10**9, 1, key="batch", bind="query-params")\n'
THINKING = 3.0  # seconds between two changes of one visitor


@contextlib.contextmanager
def server(script: Path) -> Iterator[tuple[str, int]]:
    """A server of the script on a free port of this machine: its address and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true"]
    command += [f"--server.port={port}", "--server.address=127.0.0.1", "--server.fileWatcherType=none"]
    process = subprocess.Popen(command, cwd=script.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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

    def __init__(self, address: str, query: str, rng: random.Random) -> None:
        self.address, self.query, self.rng = address, query, rng
        self.batch = self.page = ""
        self.waits: list[float] = []

    async def visit(self, until: float) -> None:
        url = f"ws://{self.address}/_stcore/stream"
        options = {"subprotocols": ["streamlit"], "max_size": None, "ping_interval": None, "compression": None}
        async with websockets.connect(url, **options) as stream:
            await self._rerun(stream, None)
            self.waits.clear()  # the first run imports and builds; what is measured comes after it
            while time.monotonic() < until:
                await asyncio.sleep(self.rng.uniform(0.5, 1.5) * THINKING)
                await self._rerun(stream, self.rng.randint(1, 4096))

    async def _rerun(self, stream: websockets.ClientConnection, batch: int | None) -> None:
        message = BackMsg()
        message.rerun_script.query_string = self.query
        message.rerun_script.page_script_hash = self.page
        if batch is not None:
            state = message.rerun_script.widget_states.widgets.add()
            state.id, state.int_value = self.batch, batch
            # A number field sends what it holds as a float.
            state.double_value = batch
        start = time.monotonic()
        await stream.send(message.SerializeToString())
        while True:
            answer = ForwardMsg.FromString(await stream.recv())
            kind = answer.WhichOneof("type")
            if kind == "new_session":
                self.page = answer.new_session.page_script_hash
            elif kind == "navigation":
                self.page = answer.navigation.page_script_hash
            elif kind == "delta":
                element = answer.delta.new_element
                if element.WhichOneof("type") == "number_input" and element.number_input.label == "Batch size":
                    self.batch = element.number_input.id
                if element.WhichOneof("type") == "exception":
                    raise RuntimeError(element.exception.message)
            elif kind == "script_finished":
                break
        self.waits.append(time.monotonic() - start)


async def visit(address: str, pid: int, sessions: int, seconds: float, query: str) -> str:
    rng = random.Random(sessions)
    until = time.monotonic() + seconds
    warm = Visitor(address, query, rng)
    await warm.visit(time.monotonic())
    before, start = cpu_seconds(pid), time.monotonic()
    visitors = [Visitor(address, query, rng) for _ in range(sessions)]
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
    parser.add_argument("--query", default="", help="what stands after the ? of the app's link")
    parser.add_argument("--app", type=Path, default=ROOT / "app.py")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.py"
        empty.write_text(EMPTY)
        for title, script in (("an empty page", empty), ("the app", options.app.resolve())):
            print(f"{title}\n sessions   reruns/s   half within   95% within   CPU a rerun   memory", flush=True)
            with server(script) as (address, pid):
                for sessions in options.sessions:
                    print(asyncio.run(visit(address, pid, sessions, options.seconds, options.query)), flush=True)


if __name__ == "__main__":
    main()
