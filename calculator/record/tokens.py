"""The tokens of a pass: how many, against how long a context, and what each of them attends to."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from calculator.numbers.symbolic import Number, ceil_div, distinct_drawn, maximum, minimum
from calculator.record.workload import Workload


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
class Tokens:
    """The new tokens of a pass and those before them. Counts are per sequence."""

    workload: Workload
    batch: Number  # sequences
    queries: Number  # new tokens per sequence
    past: Number  # tokens per sequence already in the cache
    causal: bool = True
    active: bool = True  # False: the weights are held but the pass is not run (a vision tower without images)
    source: Number = 0  # tokens per sequence in the encoder's output, for cross-attention
    steps: int = 1  # decode steps summed into one run; more than one only for totals over decode_length
    training: bool = field(init=False)
    decoding: bool = field(init=False)
    eager: bool = field(init=False)
    tokens: Number = field(init=False)

    def __post_init__(self) -> None:
        mode = self.workload.mode
        self.training = mode == "pretraining"
        self.decoding = mode == "decode" and self.causal
        self.eager = self.workload.attention == "eager"
        self.tokens = self.batch * self.queries

    @property
    def caching(self) -> bool:
        """Whether the pass leaves a cache behind or reads one."""
        return self.causal and self.active and not self.training

    def attended(self, window: Number | None, chunked: bool = False) -> Number:
        """Query-key pairs per sequence, times two (so that a causal half stays a whole number).

        Full counting takes every query against every key, windowed layers too: what an eager kernel and torch's
        counter do. Causal counting takes the triangle, S²/2, and for a window w the band S·w − w²/2; of an encoder,
        whose window reaches h = (w − 1)/2 tokens to both sides, S + 2·S·h − h·(h + 1). A chunk of c tokens, before
        which nothing is seen, is a triangle of its own, and so is what is left over: ⌊S/c⌋·c²/2 + (S mod c)²/2.
        """
        if self.decoding:
            return 2 * self.keys(window, chunked)
        if self.workload.attention_flops == "full":
            return 2 * self.queries * (self.past + self.queries)
        if not self.causal:
            if window is None:
                return 2 * self.queries * self.queries
            half = minimum((window - 1) // 2, self.queries - 1)
            return 2 * (self.queries + 2 * self.queries * half - half * half - half)
        both = _doubled_area(self.past + self.queries, window, chunked)
        return both - _doubled_area(self.past, window, chunked) if self.past else both

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
        """Scores per sequence and head that an unfused kernel writes: all keys of a prefill, masked or not."""
        return self.keys(window, chunked) if self.decoding else self.queries * (self.past + self.queries)

    def cached_read(self, window: Number | None, chunked: bool = False) -> Number:
        """Cached tokens per sequence that are read: by the steps of a decode run, summed, what is attended to but for
        the token itself; by a prefill once, those before it that its first token sees."""
        if self.decoding:
            return self.keys(window, chunked) - self.steps
        if not self.past or not self.causal or window is None:
            return self.past if self.causal else 0
        return _divided(self.past, window)[1] if chunked else minimum(self.past, window - 1)

    def reach(self, window: Number | None, kept: Number | None, chunked: bool = False) -> Reach:
        """What the new tokens attend to among their own sequence: `window` tokens are seen, `kept` are held. Of a chunk
        there must be room for all its tokens, though a token at its start sees few."""
        return Reach(
            self.attended(window, chunked),
            self.scored(window, chunked),
            self.queries,
            self.held_tokens(kept),
            self.cached_read(window, chunked),
            self._written(kept),
            window,
            chunked=chunked,
        )

    def _written(self, kept: Number | None) -> Number:
        """Tokens per sequence that the pass puts into the cache: of a prefill, those that are still seen after it."""
        if self.decoding or kept is None:
            return self.queries if self.decoding or self.held_tokens(None) else 0
        return minimum(self.queries, kept) if self.held_tokens(kept) else 0

    def reach_across(self) -> Reach:
        """What the new tokens attend to in the encoder's output: all of it, its keys and values made once, with the
        prompt, and read by every decode step."""
        pairs = self.queries * self.source
        if self.decoding:
            return Reach(2 * pairs, pairs, 0, self.source, pairs, 0, across=True)
        if self.past:
            return Reach(2 * pairs, pairs, 0, self.source, self.source, 0, across=True)
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


def _doubled_area(tokens: Number, window: Number | None, chunked: bool) -> Number:
    """Pairs of so many tokens with those before them, times two: the triangle, the band of a window, or the triangles
    of chunks. Those of new tokens are what they add to it."""
    if window is None:
        return tokens * tokens
    if chunked:
        chunks, rest = _divided(tokens, window)
        return chunks * window * window + rest * rest
    reach = minimum(tokens, window)
    return 2 * tokens * reach - reach * reach


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
