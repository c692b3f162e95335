"""What users wait for: prompts that queue, steps that prompts interrupt, pools that hand a cache over."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from calculator.serving.case import PIPELINED, Case
from calculator.serving.efficiency import link_of
from calculator.serving.speculation import Speculation
from calculator.serving.timing import PassTime

CHUNK = 8192  # tokens of a prefill's chunk
CHUNKED = PIPELINED | {"llama.cpp"}
UBATCH = 512  # llama.cpp's, which follow each other through the devices of a split by layers (pull request 6017)


@dataclass(frozen=True)
class Request:
    """A request's tokens.

    Attributes:
        prompt, output: of its prompt and its answer. cached: of the prompt, found in the cache. mean: of its sequence
            while it generates, on average. variation: how much prompts vary (mean of squares over squared mean).
    """

    prompt: int
    cached: int
    output: int
    mean: int
    variation: float = 1.0

    @staticmethod
    def like(prompt: int, cached: int, output: int) -> Request:
        """One of many that are alike."""
        return Request(prompt, cached, output, prompt + output // 2)


@dataclass(frozen=True)
class Waited:
    """Seconds of users: ttft, tpot; the sequences that run at once; the passes behind them."""

    ttft: float
    tpot: float
    batch: int
    step: PassTime
    first: PassTime


@dataclass(frozen=True)
class Prompt:
    """Reading a prompt: `alone`, and each of many (`one`) on devices whose copies of the attention share them and whose
    pipeline stages read one after another at once."""

    first: PassTime
    alone: float
    one: float


def reading(case: Case, request: Request, batch: int | None = None) -> Prompt:
    """Prompts that fill a chunk; or, where `batch` sequences generate for `request.output` steps each, as many as come
    along with each step. As `_reading`, found once."""
    most = max(CHUNK // (request.prompt - request.cached), 1)
    if batch is None:
        count = most
    else:
        count = max(1, min(most, batch // (request.output * case.layout.attention_dp * case.in_flight)))
    prompt: Prompt = case.once(
        ("prompt", request.prompt, request.cached, count), lambda: _reading(case, request, count)
    )
    return prompt


def _reading(case: Case, request: Request, together: int) -> Prompt:
    """A prompt's pass. Each copy of the attention reads its own, and while prompts queue all copies have one."""
    e, copies = case.efficiency, case.layout.attention_dp
    tokens, stages = request.prompt - request.cached, case.layout.pp
    terms = case.terms("prefill", copies, tokens, past_length=request.cached)
    first = case.timed(terms, prefill=True)
    many = case.terms("prefill", copies * together, tokens, past_length=request.cached) if together > 1 else terms
    one = (case.timed(many, prefill=True).expected + e.prefill_host) / together
    # While the last chunk of a prompt is in the first stage, those before it are in the others.
    chunks = -(-tokens // (UBATCH if case.engine == "llama.cpp" else CHUNK)) if case.engine in CHUNKED else 1
    filled = (chunks + stages - 1) / (chunks * stages)
    alone = first.expected * filled + e.prefill_host
    return Prompt(replace(first, bound=first.bound * filled), alone, one / copies / case.in_flight * case.uneven)


def stepping(case: Case, batch: int, request: Request, drafted: Speculation | None) -> tuple[PassTime, float]:
    """A decode step's pass, and seconds a token with the engine's host."""
    e = case.efficiency
    uneven = case.uneven if batch >= case.in_flight else 1.0  # fewer leave stages idle, and wait for none
    batch = -(-batch // case.in_flight)  # of one of those on their way
    host = e.step + e.sequence * batch / case.layout.attention_dp
    if drafted is None:
        step = case.decode(batch, request.mean)
        return step, step.expected * uneven + host
    step, each = drafted.token(case, batch, request.mean, host)
    return step, each * uneven


def together(case: Case, request: Request, asked: int, most: int, drafted: Speculation | None) -> Waited:
    """Prompts and steps on the same devices, in a closed loop of `asked` users."""
    e, batch = case.efficiency, at_once(asked, most)
    step, each = stepping(case, batch, request, drafted)
    prompt, full = reading(case, request, batch), reading(case, request)
    tpot = each + e.interference * (1 - e.wave) * (batch - 1) * prompt.one / request.output
    waits = queue(prompt.one, request.output * tpot, batch, e.queue)
    # Those that do not fit wait until others have left; the first wave of a run waits for its own prompts.
    held = max(asked - batch, 0) / batch * (request.output * tpot + waits)
    wave = e.wave * (batch - 1) / 2 * full.one
    return Waited(
        prompt.alone - prompt.one + waits + wave + each / 2 + e.first_token + held, tpot, batch, step, prompt.first
    )


def arriving(case: Case, request: Request, rate: float, most: int, drafted: Speculation | None) -> Waited | None:
    """Prompts and steps on the same devices, requests arriving at random `rate` times a second; None where they arrive
    faster than they can be served. As many generate at once as arrive while one does (Little's law, 1961)."""
    if rate * reading(case, request).one >= 1:
        return None
    low, high, most = 0, 1, most or 1
    while carried(case, request, high, drafted) < rate:  # doubling: a step takes a leap where its tiles are full
        if high == most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if carried(case, request, middle, drafted) >= rate else (middle, high)
    while rate * reading(case, request, high).one >= 1:  # so few come with a step that their prompts take all the time
        if high == most:
            return None
        high = min(2 * high, most)
    return beside(case, request, rate, high, drafted)


def carried(case: Case, request: Request, batch: int, drafted: Speculation | None = None) -> float:
    """The requests a second that `batch` sequences at once make room for: each generates for as many steps as its
    answer has tokens, and prompts take their part of every second."""
    _, each = stepping(case, batch, request, drafted)
    one = reading(case, request, batch).one
    return batch / (request.output * each + batch * case.efficiency.interference * one)


def beside(case: Case, request: Request, rate: float, batch: int, drafted: Speculation | None = None) -> Waited:
    """What users wait while `batch` sequences generate and prompts arrive `rate` times a second, on the same devices.
    The prompts must leave the devices some time: `rate` times the seconds of one is below 1."""
    e, prompt = case.efficiency, reading(case, request, batch)
    step, each = stepping(case, batch, request, drafted)
    busy = rate * prompt.one
    tpot = each / (1 - e.interference * busy)
    waits = line(prompt.one, rate, request.variation)
    return Waited(prompt.alone + waits + each / 2 + e.first_token, tpot, batch, step, prompt.first)


def line(service: float, rate: float, variation: float = 1.0) -> float:
    """Seconds that a prompt of `service` seconds waits for those before it, arriving at random `rate` times a second:
    Pollaczek and Khinchine's formula (1932), with the mean of squares over the squared mean of the service."""
    busy = rate * service
    return busy * service * variation / (2 * (1 - busy))


def apart(
    case: Case, reader: Case, request: Request, users: int, workers: tuple[int, int], most: int, moved: float
) -> Waited:
    """Prompts on `workers[0]` groups of devices of their own, steps on `workers[1]` others.

    Args:
        most: sequences that one group of the generating ones holds. moved: bytes of cache that a device hands over.
    """
    e = case.efficiency
    prompt = reading(reader, request)
    service = prompt.one / workers[0]
    handed = handover(case, sum(workers) * case.layout.devices, moved)
    most = most or math.ceil(users / workers[1])
    batch = at_once(math.ceil(users / workers[1]), most)
    waits = held = 0.0
    for _ in range(4):  # who waits for a prompt does not generate meanwhile
        step, tpot = stepping(case, batch, request, None)
        generating = request.output * tpot
        waits = queue(service, generating, users, 1.0)
        waits += e.wave_pools * max(users * service / 2 - waits, 0)
        held = max(users / workers[1] * generating / (generating + waits) - most, 0) / most * generating
        batch = at_once(math.ceil(users / workers[1] * generating / (generating + waits)), most)
    return Waited(prompt.alone - service + waits + handed + held + e.first_token, tpot, batch, step, prompt.first)


def handover(case: Case, devices: int, moved: float) -> float:
    """Seconds from a prompt's end until another pool's device has its `moved` bytes of cache."""
    return case.efficiency.handover + moved / (link_of(case.device, devices) * case.efficiency.link)


def at_once(asked: int, most: int) -> int:
    """Sequences that run at once. Where not even one fits, the times are those of memory that is large enough."""
    return min(asked, most) if most else asked


def queue(service: float, thinking: float, users: int, share: float) -> float:
    """Seconds from a prompt's arrival to its end in a closed loop of users who then generate for `thinking` seconds:
    R = s (1 + share (n - 1) R / (R + Z)), by Schweitzer's approximation of mean value analysis (1979)."""
    b = thinking - service - service * (users - 1) * share
    return (math.sqrt(b * b + 4 * service * thinking) - b) / 2
