"""The experts of a mixture, and a dense model as one."""

from __future__ import annotations

import pytest
from screen import (
    MIXTURE,
    QWEN,
    approximately,
    line,
    parsed,
    shown,
    values,
)

from calculator import estimate, load_model
from calculator.whatif import as_mixture, balance


def test_the_experts_of_a_mixture(open_page, pictures, downloads):
    at = open_page("experts", model=MIXTURE, mode="prefill", skew=1.0, capacity=3.0)
    model = load_model(MIXTURE)
    assert [m.value for m in at.metric] == ["30.53B", "3.35B", "128", "28.99B"]
    reached, share, load = (pictures[name] for name in ("experts_read", "bytes_moved", "load"))
    sizes = sorted({row["Sequences"] for row in reached.rows})
    balanced, uniform = (line(reached, f"{rule} routing", "Experts") for rule in ("balanced", "uniform"))
    assert (balanced[0], uniform[0]) == (approximately(8), approximately(8))
    assert (balanced[-1], uniform[-1]) == (128, pytest.approx(128, rel=1e-6))
    assert balanced[sizes.index(8)] == approximately(64)
    assert uniform[sizes.index(8)] == approximately(128 * (1 - (1 - 8 / 128) ** 8))
    for batch in (1, 64, 4096):
        e = estimate(model, mode="decode", batch_size=batch, sequence_length=4096, expert_capacity_factor=3.0)
        column = {row["series"]: row["Share of bytes"] for row in share.rows if row["Sequences"] == batch}
        assert sum(column.values()) == approximately(1)
        assert column["Experts"] == approximately(e.traffic.by_component["experts"] / e.traffic.total)
    even = balance(128, 1.0)
    assert [row["Load over mean"] for row in load.rows] == approximately([share * 128 for share in even.loads])
    rows = parsed(downloads["routing.csv"]())
    assert [row["capacity"] for row in rows] == ["dropless", 1, 1.25, 1.5, 2, 4, 3]
    for row in rows:
        factor = None if row["capacity"] == "dropless" else row["capacity"]
        b = balance(128, 1.0, factor)
        assert (row["dropped"], row["padding"]) == (b.dropped, b.padding)
        assert row["flops"] == estimate(model, expert_capacity_factor=factor).flops.by_component["experts"]
    assert values(shown(at), "dropped", "padding") == values(rows, "dropped", "padding")


def test_the_load_of_every_expert_is_drawn(open_page, charts_of):
    for model, experts in (("mistralai/Mixtral-8x7B-v0.1", 8), (MIXTURE, 128)):
        bars = charts_of(open_page("experts", model=model))[2].rows("rect")
        assert [(row["x0"], row["x1"]) for row in bars] == [(n, n + 1) for n in range(experts)]


def test_a_dense_model_as_a_mixture(open_page, downloads):
    at = open_page("experts", whatif_experts=16, whatif_top_k=4, whatif_width=4736)
    assert not at.metric
    assert at.title[0].value.startswith("What if Qwen2.5-7B were a mixture?")
    rows = parsed(downloads["as_experts.csv"]())
    dense = load_model(QWEN)
    mixture = as_mixture(dense, 16, 4, 4736)
    for row, model in zip(rows, (dense, mixture), strict=True):
        e = estimate(model)
        assert (row["parameters"], row["active"]) == (model.parameters.total, model.parameters.active)
        assert (row["memory_bytes"], row["flops"], row["traffic_bytes"]) == (
            e.memory.total,
            e.flops.total,
            e.traffic.total,
        )
    # 16 experts a quarter as wide, and a router of 16 rows in each of the 28 layers, for one MLP.
    assert mixture.parameters.total - dense.parameters.total == 28 * (3 * 3584 * (16 * 4736 - 18944) + 16 * 3584)
    assert values(shown(at), "parameters", "active") == values(rows, "parameters", "active")


def test_more_experts_per_token_than_experts(open_page):
    at = open_page("experts", whatif_experts=2, whatif_top_k=3)
    assert [e.value for e in at.main.error] == ["A token cannot visit 3 of 2 experts; choose at most 2 per token."]
    assert not at.exception


def test_the_routing_of_the_sidebar_changes_the_mixture(open_page, pictures):
    at_eight = {}
    for rule in ("balanced", "uniform"):
        open_page("experts", model=MIXTURE, routing=rule)
        at_eight[rule] = {r["series"]: r["Share of bytes"] for r in pictures["bytes_moved"].rows if r["Sequences"] == 8}
    assert at_eight["uniform"]["Experts"] < at_eight["balanced"]["Experts"]
