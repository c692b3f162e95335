"""Another traffic on the Speed page is what `serve` says of it."""

from __future__ import annotations

import pytest

from calculator import Layout, load_model, serve

NAME = "Qwen/Qwen3-32B"
LINK = {"model": NAME, "batch": 8, "length": 2048, "generate": 256, "weights": "fp8", "devices": "2", "mix": "true"}
ASKED = {
    "device": "h200-sxm-141gb",
    "layout": Layout(tp=2),
    "dtype": "fp8",
    "prompt_length": 2048,
    "output_length": 256,
}


def row(at):
    (table,) = [e.value for e in at.dataframe if "traffic" in e.value.columns]
    return table.to_dict("records")[1]


@pytest.mark.parametrize(
    ("link", "asked"),
    [
        ({}, {"concurrency": 8}),
        ({"arrive": 2.0}, {"request_rate": 2.0}),
        ({"cached": 50.0}, {"concurrency": 8, "prefix_hit": 0.5}),
        ({"prompts": "512-4096", "answers": "exponential:300", "arrive": 1.5},
         {"prompt_length": "512-4096", "output_length": "exponential:300", "request_rate": 1.5}),
        ({"drafted": 2, "accepted": 80.0},
         {"concurrency": 8, "speculation": {"draft": "mtp", "tokens": 2, "acceptance": 0.8}}),
    ],
)  # fmt: skip
def test_the_table_is_what_serve_says(open_page, link, asked):
    at = open_page("speed", **LINK, **link)
    assert not at.exception
    found, expected = row(at), serve(load_model(NAME), **{**ASKED, **asked})
    assert found["first_token_s"] == expected.ttft.expected
    assert found["next_token_ms"] == 1e3 * expected.tpot.expected
    assert found["all_users"] == expected.output_tokens_per_second


def test_a_trace_goes_before_the_lengths(open_page):
    at = open_page("speed", **LINK)
    at.file_uploader(key="trace").set_value(
        ("trace.csv", b"arrival,prompt_length,output_length\n0,1000,100\n4,3000,300\n8,2000,200\n", "text/csv")
    ).run()
    assert row(at)["all_users"] == 50  # a request every four seconds, of 200 tokens


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        ({"prompts": "x"}, "prompt_length must be a whole number"),
        ({"arrive": 5000.0}, "the queue grows without end"),
    ],
)
def test_what_cannot_be_is_said_in_the_fold(open_page, link, sentence):
    at = open_page("speed", **LINK, **link)
    assert any(sentence in e.value for e in at.error)
    assert len(at.metric) == 4
