"""The accelerators of the machine this runs on: through nvidia-ml-py where it is installed, nvidia-smi otherwise, and
Apple silicon. Never asked by a server,
whose hardware is not its visitors' to read."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from typing import NamedTuple

from calculator.errors import DeviceError
from calculator.numbers.units import MIB

SECONDS = 10  # a driver that answers later is hung
SERVERS = ("streamlit.web.server",)  # modules that only a process with visitors has loaded


class Found(NamedTuple):
    """An accelerator of this machine: what its driver calls it, its bytes, and the cores of Apple's GPUs."""

    name: str
    memory: int
    cores: int | None = None


def accelerators() -> list[Found]:
    """All accelerators of this machine, in the driver's order.

    Raises:
        DeviceError: none was found, or the process is a server.
    """
    if any(server in sys.modules for server in SERVERS):
        raise DeviceError("A server does not tell which accelerators it has; name a device instead.")
    found = _nvml() or _smi()
    if found:
        return [Found(name, memory) for name, memory in found]
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return [Found(_sysctl("machdep.cpu.brand_string"), int(_sysctl("hw.memsize")), _apple_cores())]
    raise DeviceError(
        "No accelerator was found in this machine: neither nvidia-ml-py nor nvidia-smi names one, and it is no Apple "
        "silicon. Name a device, for instance h200-sxm-141gb."
    )


def _nvml() -> list[tuple[str, int]]:
    """Names and bytes as NVML reports them; none without nvidia-ml-py or a driver."""
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [(_text(pynvml.nvmlDeviceGetName(h)), int(pynvml.nvmlDeviceGetMemoryInfo(h).total)) for h in handles]
    finally:
        pynvml.nvmlShutdown()


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name  # nvidia-ml-py before version 12 returns bytes


def _smi() -> list[tuple[str, int]]:
    """The same as nvidia-smi prints them; none where it is missing or fails."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        printed = subprocess.run(query, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
    except (subprocess.SubprocessError, OSError):
        return []
    return parsed(printed)


def parsed(printed: str) -> list[tuple[str, int]]:
    """The lines of nvidia-smi as names and bytes: "NVIDIA H200, 143771"."""
    rows = [line.rpartition(",") for line in printed.splitlines() if "," in line]
    return [(name.strip(), int(size) * MIB) for name, _, size in rows if size.strip().isdigit()]


def _sysctl(name: str) -> str:
    return _output(["/usr/sbin/sysctl", "-n", name])


def _apple_cores() -> int | None:
    found = re.search(r"Total Number of Cores: (\d+)", _output(["/usr/sbin/system_profiler", "SPDisplaysDataType"]))
    return int(found[1]) if found else None


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True).stdout.strip()
    except (subprocess.SubprocessError, OSError) as error:
        raise DeviceError(f"This machine did not say what it is: {error}.") from None
