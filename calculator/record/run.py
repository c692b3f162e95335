"""A pass over a stack of layers: how many tokens, against how long a context, in which formats. The parts of a model
ask a `Run` for these and hand it their operations; forward and backward, bytes and formats are applied here, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from calculator.formats.named import FORMATS, Format
from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number, ceil_div, distinct_drawn, maximum, minimum
from calculator.record.operation import Cache, Operation
from calculator.record.workload import Workload

if TYPE_CHECKING:
    from calculator.parts import Part

NOTHING = Cache()


class Reach(NamedTuple):
    """What the queries of a pass attend to, in tokens (or pairs of tokens) of one sequence."""

    doubled_pairs: Number  # query-key pairs, times two
    scored: Number  # scores that an unfused kernel writes
    fresh: Number  # keys and values made in this pass, and read without the cache
    held: Number  # tokens in the cache
    read: Number  # cached tokens that are read, summed over the steps of the pass
    written: Number
    window: Number | None = None
    across: bool = False  # they are tokens of the encoder
    chunked: bool = False  # the window is a chunk: it does not slide


@dataclass(slots=True)
class Run:
    """One pass. Shapes are in tokens, element widths in bytes."""

    workload: Workload
    batch: Number  # sequences
    queries: Number  # new tokens per sequence
    past: Number  # tokens per sequence already in the cache
    width: int  # bytes per activation element
    residual: Number  # features of the residual stream
    cache_bits: Number  # per cached element
    native: Format  # format of tensors that are not quantized
    formats: Mapping[str, Format] = field(default_factory=dict)  # weight name -> format, where it is not `native`
    prices: dict[str, tuple[Number, Number]] = field(
        default_factory=dict
    )  # operation -> parameters and bytes, once known
    causal: bool = True
    active: bool = True  # False: the weights are held but the pass is not run (a vision tower without images)
    layers: str = ""
    count: int = 1
    stored: int = 1
    component: str | None = None  # every operation's component, where a whole stack is one ("vision")
    parallel: Number = 0  # activation bytes of a sibling branch, alive while this one runs
    source: Number = 0  # tokens per sequence in the encoder's output, for cross-attention
    steps: int = 1  # decode steps summed into one run; more than one only for totals over decode_length
    out: list[Operation] = field(default_factory=list)

    @property
    def training(self) -> bool:
        return self.workload.mode == "pretraining"

    @property
    def decoding(self) -> bool:
        return self.workload.mode == "decode" and self.causal

    @property
    def caching(self) -> bool:
        """Whether the pass leaves a cache behind or reads one."""
        return self.causal and self.active and not self.training

    @property
    def eager(self) -> bool:
        return self.workload.attention == "eager"

    @property
    def tokens(self) -> Number:
        return self.batch * self.queries

    @property
    def stream(self) -> Number:
        """Bytes of the residual stream, which lives while a branch runs."""
        return self.tokens * self.residual * self.width

    def at(
        self, layers: str, count: int, formats: Mapping[str, Format], prices: dict[str, tuple[Number, Number]]
    ) -> Run:
        """The same pass over `count` equal layers with their own formats."""
        return replace(self, layers=layers, count=count, stored=count, formats=formats, prices=prices)

    def attended(self, window: Number | None, chunked: bool = False) -> Number:
        """Query-key pairs per sequence, times two (so that a causal half stays a whole number).

        Full counting takes every query against every key, windowed layers too: what an eager kernel and torch's
        counter do. Causal counting takes the triangle, S²/2, and for a window w the band S·w − w²/2; of an encoder,
        whose window reaches h = (w − 1)/2 tokens to both sides, S + 2·S·h − h·(h + 1). A chunk of c tokens, before
        which nothing is seen, is a triangle of its own, and so is what is left over: ⌊S/c⌋·c²/2 + (S mod c)²/2.
        """
        if self.decoding:
            return 2 * self.keys(window, chunked)
        if not self.causal and window is not None and self.workload.attention_flops == "causal":
            half = minimum((window - 1) // 2, self.queries - 1)
            return 2 * (self.queries + 2 * self.queries * half - half * half - half)
        if self.causal and self.workload.attention_flops == "causal" and chunked and window is not None:
            chunks, rest = _divided(self.queries, window)
            return chunks * window * window + rest * rest
        if self.causal and self.workload.attention_flops == "causal":
            reach = self.queries if window is None else minimum(self.queries, window)
            return 2 * self.queries * reach - reach * reach
        return 2 * self.queries * self.queries

    def keys(self, window: Number | None, chunked: bool = False) -> Number:
        """Keys that the steps of a decode run attend to, summed: step i sees past + i + 1 keys, the window at most, of
        a chunk of c tokens (past + i) mod c + 1."""
        if chunked and window is not None:
            return _keys_in_chunks(self.past + self.steps, window) - _keys_in_chunks(self.past, window)
        if self.steps == 1:
            keys = self.past + 1
            return keys if window is None else minimum(keys, window)
        growing = self.steps if window is None else self._unfilled(window)
        keys = growing * self.past + growing * (growing + 1) // 2
        return keys if window is None else keys + (self.steps - growing) * window

    def _unfilled(self, window: Number) -> Number:
        """Steps before the window is full."""
        return minimum(maximum(window - self.past, 0), self.steps)

    def scored(self, window: Number | None, chunked: bool = False) -> Number:
        """Scores per sequence and head that an unfused kernel writes: all S keys of a prefill, masked or not."""
        return self.keys(window, chunked) if self.decoding else self.queries * self.queries

    def cached_read(self, window: Number | None, chunked: bool = False) -> Number:
        """Cached tokens per sequence that the steps read, summed: what is attended to but for the token itself."""
        return self.keys(window, chunked) - self.steps if self.decoding else 0

    def reach(self, window: Number | None, kept: Number | None, chunked: bool = False) -> Reach:
        """What the new tokens attend to among their own sequence: `window` tokens are seen, `kept` are held. Of a chunk
        there must be room for all its tokens, though a token at its start sees few."""
        return Reach(
            self.attended(window, chunked),
            self.scored(window, chunked),
            self.queries,
            self.held_tokens(kept),
            self.cached_read(window, chunked),
            self.queries if self.decoding else self.held_tokens(kept),
            window,
            chunked=chunked,
        )

    def reach_across(self) -> Reach:
        """What the new tokens attend to in the encoder's output: all of it, its keys and values made once, with the
        prompt, and read by every decode step."""
        pairs = self.queries * self.source
        if self.decoding:
            return Reach(2 * pairs, pairs, 0, self.source, pairs, 0, across=True)
        held = 0 if self.training else self.source
        return Reach(2 * pairs, pairs, self.source, held, 0, held, across=True)

    @property
    def last_logits(self) -> bool:
        """Whether only the last position of each sequence reaches the head; an encoder's positions all do."""
        return self.workload.last_logits and (self.causal or self.workload.logits == "last")

    def splits(self, seen: Reach, block: Number) -> Number:
        """Pieces of `block` cached tokens that the steps' reads divide into, summed."""
        window = seen.window
        if seen.across:
            return ceil_div(self.source, block) * self.steps
        if seen.chunked and window is not None:
            ends = (self.past + self.steps, self.past)
            after, before = (_pieces_in_chunks(end, window, block) for end in ends)
            return after - before
        growing = self.steps if window is None else self._unfilled(window)
        if self.steps == 1:
            return ceil_div(self.past if window is None else minimum(self.past, window), block)
        pieces = _ceil_sum(self.past + growing, block) - _ceil_sum(self.past, block)
        return pieces if window is None else pieces + (self.steps - growing) * ceil_div(window, block)

    def held_tokens(self, window: Number | None) -> Number:
        """Tokens per sequence in the cache: the context a decode step starts from, or what prefill leaves behind."""
        if self.training or not self.causal:
            return 0
        context = self.past + self.queries if self.workload.mode == "prefill" else self.past
        return context if window is None else minimum(context, window)

    def experts_touched(self, experts: Number, top_k: Number) -> Number:
        """Experts whose weights a layer reads, summed over the steps of the pass."""
        tokens = self.tokens // self.steps
        if self.workload.expert_capacity_factor is not None:
            return experts * self.steps  # every expert computes its padded rows
        if self.workload.routing == "uniform":
            return distinct_drawn(experts, tokens, top_k) * self.steps
        return minimum(experts, tokens * top_k) * self.steps

    def expert_rows(self, experts: Number, top_k: Number) -> Number:
        """Token rows that the routed experts of a layer compute, padding included."""
        factor = self.workload.expert_capacity_factor
        if factor is None:
            return self.tokens * top_k
        numerator, denominator = Fraction(str(factor)).as_integer_ratio()
        tokens = self.tokens // self.steps
        return experts * ceil_div(tokens * top_k * numerator, experts * denominator) * self.steps

    def bytes_of(self, weight: Weight) -> Number:
        return self.formats.get(weight.name, self.native).size(weight)

    def _price(self, name: str, weights: tuple[Weight, ...]) -> tuple[Number, Number]:
        """Parameters and bytes of an operation's weights: the same in every workload, so computed once per plan."""
        price = self.prices.get(name)
        if price is None:
            parameters = sum(w.elements() for w in weights if w.role != "buffer")
            price = self.prices[name] = (parameters, sum(self.bytes_of(w) for w in weights))
        return price

    def add(
        self,
        name: str,
        component: str,
        kind: str,
        *,
        flops: Number = 0,
        reads: Number = 0,
        writes: Number = 0,
        weights: tuple[Weight, ...] = (),
        active_share: tuple[Number, Number] | None = None,
        weight_reads: Number | None = None,
        cache: Cache = NOTHING,
        saved: Number = 0,
        workspace: Number = 0,
        spilled: Number = 0,
        rereads: Number = 0,
        in_place: bool = False,
        stream: Number = 0,
        split: str = "replicated",
        input_gradient: bool = True,
        tied: bool = False,
    ) -> None:
        """Append an operation, forward quantities given per instance.

        Args:
            active_share: (used, of) when a token touches only some of the weights' equal parts.
            weight_reads: bytes of weights the forward pass reads; None: all of them once per step.
            cache: bytes held, read, written, and what a layer keeps of one sequence.
            saved: bytes kept for the backward pass.
            workspace: bytes alive beside what is read and written.
            spilled: bytes that are written, read back once and then dropped (the partial results of split attention).
            rereads: bytes that are read again, by later tiles, beside `reads`.
            in_place: what is written replaces what is read.
            stream: bytes of the residual stream, alive beside what is read and written.
            input_gradient: False where the backward pass needs no gradient of the input (a patch embedding's pixels).
            tied: the weights are stored elsewhere: they are read here but not held.
        """
        parameters, held = self._price(name, weights) if weights else (0, 0)
        moved = (held * self.steps if weight_reads is None else weight_reads) if self.active else 0
        live = (reads if in_place else reads + writes) + workspace + spilled + stream + self.parallel
        reads, writes = reads + spilled + rereads, writes + spilled
        if self.training:
            # Backward: dX = dY·Wᵀ and dW = Xᵀ·dY, each as many FLOPs as the forward product.
            gradient = parameters * gradient_bytes(self.workload, self.native) if self.active else 0
            flops = flops * (3 if input_gradient else 2)
            reads, writes = 2 * reads + writes, reads + writes + gradient
            moved = moved * 2
        if self.training:
            cache = NOTHING
        self.out.append(
            Operation(
                name,
                self.component or component,
                kind,
                self.layers,
                self.count,
                0 if tied else self.stored,
                parameters,
                parameters if active_share is None else parameters * active_share[0] // active_share[1],
                flops,
                held,
                moved,
                reads,
                writes,
                cache.held,
                cache.read,
                cache.written,
                saved if self.training else 0,
                live,
                split,
                weights,
                cache.kept,
            )
        )


def _divided(count: Number, chunk: Number) -> tuple[Number, Number]:
    """⌊count/chunk⌋ and what is left over."""
    chunks = ceil_div(count + 1, chunk) - 1
    return chunks, count - chunks * chunk


def _keys_in_chunks(count: Number, chunk: Number) -> Number:
    """Σ (i mod chunk + 1) over the first `count` tokens: whole chunks, and what is left over."""
    chunks, rest = _divided(count, chunk)
    return chunks * (chunk * (chunk + 1) // 2) + rest * (rest + 1) // 2


def _pieces_in_chunks(count: Number, chunk: Number, block: Number) -> Number:
    """Σ ⌈(i mod chunk)/block⌉ over the first `count` tokens."""
    chunks, rest = _divided(count, chunk)
    return chunks * _ceil_sum(chunk, block) + _ceil_sum(rest + 1, block) - ceil_div(rest, block)


def _ceil_sum(count: Number, block: Number) -> Number:
    """⌈0/b⌉ + ⌈1/b⌉ + … over `count` terms: whole blocks of equal terms, and what is left of the last."""
    whole = maximum(ceil_div(count, block) - 1, 0)  # the last, perhaps partial, block's value is `whole` + 1 or less
    return block * whole * (whole + 1) // 2 + (count - 1 - whole * block) * (whole + 1)


def gradient_bytes(workload: Workload, native: Format) -> int:
    """Bytes per gradient element."""
    return native.bits // 8 if workload.gradient_dtype == "auto" else 4 if workload.gradient_dtype == "fp32" else 2


def written(parts: tuple[Part, ...]) -> list[Operation]:
    """The operations of the parts for one token, their amounts in 16 bit: what they hold, whatever the workload."""
    run = Run(Workload(), 1, 1, 0, 2, 1, 16, FORMATS["bf16"])
    for part in parts:
        part.write(run)
    return run.out


def weights_of(parts: tuple[Part, ...], *, stored: bool = False) -> tuple[Weight, ...]:
    """The weights that the parts read; with `stored`, without those that are tied to others."""
    listed = written(parts)
    names = [op.name for op in listed if op.weights]
    if len(set(names)) < len(names):
        # Prices are looked up by the operation's name.
        raise RuntimeError(
            f"a layer has two operations of one name: {sorted(n for n in set(names) if names.count(n) > 1)}"
        )
    return tuple(w for op in listed if op.stored or not stored for w in op.weights)
