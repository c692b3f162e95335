"""Ways of serving: drafts, arrivals, traces, engines' settings; and tensor groups that engines refuse."""

from __future__ import annotations

import pytest

from calculator import Layout, Workload, device, estimate, fit, load_model, serve, solve
from calculator.errors import DeviceError, WorkloadError
from calculator.serving.case import Same, case_of
from calculator.serving.mix import Lengths, Mix
from calculator.serving.parts import passed
from calculator.serving.routing import drawn
from calculator.serving.speculation import Speculation
from calculator.serving.waiting import Request, reading, stepping

QWEN = load_model("Qwen/Qwen3-32B")
ON = {"device": "h200-sxm-141gb", "layout": Layout(tp=2)}


def test_tokens_of_a_verification():
    """1 + a + a² + a³ of three drafted tokens, each accepted with the chance a = 1/2: 15/8."""
    assert Speculation("mtp", 3, 0.5).tokens_a_step == 15 / 8
    assert Speculation("mtp", 3, 0.0).tokens_a_step == 1


def test_drafts_help_one_user_and_cost_where_none_is_accepted():
    plain = serve(QWEN, **ON).tpot.expected
    draft = load_model("Qwen/Qwen3-0.6B")
    good, bad = (
        serve(QWEN, speculation={"draft": draft, "tokens": 4, "acceptance": a}, **ON).tpot.expected for a in (0.8, 0.0)
    )
    assert good < plain < bad
    own = serve(QWEN, speculation=Speculation("mtp", 1, 0.8), **ON).tpot.expected
    assert plain / 1.8 < own < plain


def test_a_draft_takes_memory_of_its_target():
    """Qwen3-0.6B beside it: half of 28 layers' 8 key-value heads of 128 in 16 bit, for 4,096 + 128 tokens."""
    asked = {"device": "h100-sxm-80gb", "layout": Layout(tp=2), "concurrency": 500, "prompt_length": 4096}
    alone = serve(QWEN, **asked)
    draft = {"draft": load_model("Qwen/Qwen3-0.6B"), "tokens": 3, "acceptance": 0.7}
    both = serve(QWEN, speculation=draft, **asked)
    more = both.memory["cache_per_sequence"] - alone.memory["cache_per_sequence"]
    assert more == 28 * 2 * 8 * 128 * 2 // 2 * (4096 + 128)
    assert alone.memory["cache_pool"] - both.memory["cache_pool"] == both.memory["draft"]
    assert 596e6 < both.memory["draft"] < 597e6
    assert both.batch == both.memory["cache_pool"] // both.memory["cache_per_sequence"] < alone.batch
    own = serve(QWEN, speculation={**draft, "draft": "mtp"}, **asked)
    assert own.memory["draft"] == pytest.approx((32.76e9 - 2 * 151936 * 5120) / 64, rel=0.001)
    assert both.batch < own.batch < alone.batch


def test_drafts_gain_less_where_products_bound_the_step():
    def gain(users: int) -> float:
        asked = {"concurrency": users, "prompt_length": 128, "output_length": 4096, **ON}
        drafted = serve(QWEN, speculation=Speculation("mtp", 3, 0.6), **asked)
        return serve(QWEN, **asked).tpot.expected / drafted.tpot.expected

    assert gain(512) < gain(1)


def test_arrivals_are_served_at_their_rate():
    slow, fast = (serve(QWEN, request_rate=r, **ON) for r in (0.5, 4.0))
    assert slow.output_tokens_per_second == 0.5 * 256
    assert slow.batch <= fast.batch
    assert slow.ttft.expected < fast.ttft.expected
    with pytest.raises(WorkloadError, match="the queue grows without end"):
        serve(QWEN, request_rate=500.0, **ON)
    with pytest.raises(WorkloadError, match="concurrency or request_rate"):
        serve(QWEN, request_rate=1.0, concurrency=4, **ON)


def test_copies_share_the_arrivals():
    one, two = (serve(QWEN, device="h200-sxm-141gb", layout=Layout(tp=2, dp=n), request_rate=2.0 * n) for n in (1, 2))
    assert one.ttft == two.ttft
    assert two.output_tokens_per_second == 2 * one.output_tokens_per_second


def test_a_trace_is_its_mean_requests(tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival,prompt_length,output_length\n0,1000,100\n1,3000,300\n2,2000,200\n", encoding="utf-8")
    arrived = serve(QWEN, requests=trace, **ON)
    assert arrived.output_tokens_per_second == 200  # a request a second
    assert Mix.of([(1000, 100), (3000, 300)]) == Mix(2000, 200, 3300, 2625, 1.25)
    alike = serve(QWEN, requests=[(2000, 200)] * 3, concurrency=4, **ON)
    assert alike.tpot == serve(QWEN, prompt_length=2000, output_length=200, concurrency=4, **ON).tpot
    trace.write_text("prompt_length\n1000\n", encoding="utf-8")
    with pytest.raises(WorkloadError, match="has no column output_length"):
        serve(QWEN, requests=trace, **ON)


def test_long_answers_are_there_for_longer():
    """Half of all answers are ten times as long: of the sequences that generate, ten in eleven are those."""
    mixed = Mix.of([(100, 100), (100, 1000)])
    assert (mixed.prompt, mixed.output) == (100, 550)
    assert mixed.running == round((100 * 150 + 1000 * 600) / 1100) == 559


@pytest.mark.parametrize(
    ("said", "mean", "square", "longest"),
    [
        (4096, 4096, 4096**2, 4096),
        ("4096-4096", 4096, 4096**2, 4096),
        ("1-3", 2, (1 + 4 + 9) / 3, 3),
        ("512 - 4096", 2304, sum(n * n for n in range(512, 4097)) / 3585, 4096),
        ("exponential:1000", 1000, 2e6, 6908),
        ("lognormal:1000:0", 1000, 1e6, 1000),
        ("lognormal:1000:1", 1000, 2e6, 9265),  # exp(3.0902 sqrt(ln 2) - ln 2 / 2)
    ],
)
def test_distributions_of_lengths(said, mean, square, longest):
    found = Lengths.of(said, "prompt_length")
    assert (found.mean, found.longest) == (pytest.approx(mean), longest)
    assert found.square == pytest.approx(square, rel=1e-12)


@pytest.mark.parametrize(
    "said", [0, -1, True, 1.5, "", "x", "3-2", "0-1", "uniform", "exponential:0.5", "lognormal:1:2:3", "1-9999999999"]
)
def test_what_is_no_length_is_refused(said):
    with pytest.raises(WorkloadError, match="prompt_length"):
        serve(QWEN, prompt_length=said, **ON)


def test_prompts_that_vary_wait_longer():
    asked = {"output_length": 200, "request_rate": 4.0, **ON}
    alike, mixed = (serve(QWEN, prompt_length=p, **asked) for p in (2048, "1-4095"))
    assert mixed.ttft.expected > alike.ttft.expected
    assert mixed.tpot == alike.tpot


def test_the_engines_memory_decides_how_many_run():
    options = {"prompt_length": 30_000, "output_length": 2_000, "concurrency": 64}
    found = fit(QWEN, "h200-sxm-141gb", layout=Layout(tp=2), max_model_len=32_000)
    s = serve(QWEN, **ON, **options)
    assert s.memory["cache_pool"] == found.cache_pool
    assert s.batch == found.cache_pool // s.memory["cache_per_sequence"] < 64
    assert 0.9 < s.memory_used <= 1
    less = serve(QWEN, gpu_memory_utilization=0.6, **ON, **options)
    assert less.batch < s.batch
    assert serve(QWEN, max_num_seqs=4, **ON, **options).batch == 4


def test_pools_hand_the_cache_over():
    options = {"prefill_layout": Layout(tp=2), "prompt_length": 8192, "concurrency": 4, **ON}
    quick, slow = (serve(QWEN, parameters={"handover": h}, **options).ttft.expected for h in (0.01, 0.51))
    assert slow - quick == pytest.approx(0.5)


def test_energy_is_the_devices_power():
    s = serve(QWEN, concurrency=16, **ON)
    assert s.joules_per_token == 2 * 700 / s.output_tokens_per_second


def test_experts_that_tokens_prefer():
    """One token reads its own; without preference 256 · (1 - (1 - 8/256)^T) are expected; with it fewer."""
    assert drawn(256, 8, 1, 0.0) == pytest.approx(8)
    assert drawn(256, 8, 1, 1.0) == pytest.approx(8)
    assert drawn(256, 8, 32, 0.0) == pytest.approx(256 * (1 - (1 - 8 / 256) ** 32))
    assert drawn(256, 8, 32, 1.0) < 0.8 * drawn(256, 8, 32, 0.0)
    assert drawn(256, 8, 100_000, 1.0) == pytest.approx(256)


def test_a_pass_of_a_mixture_takes_the_models_own_length():
    """Without a length a pass is of 4,096 tokens, and the time of an estimate is that of its parts."""
    model = load_model("Qwen/Qwen3-30B-A3B")
    card = device("h200-sxm-141gb")
    for mode in ("prefill", "decode"):
        asked = Workload(mode=mode, batch_size=8)
        e = estimate(model, asked, device=card)
        assert e.time == estimate(model, Workload(mode=mode, batch_size=8, sequence_length=4096), device=card).time
        parts = passed(model, asked, card, Layout(), "vllm")
        host = parts.parts["Engine"]
        assert parts.time.expected - host == pytest.approx(e.time.expected)


@pytest.mark.parametrize(
    ("name", "layout", "said"),
    [
        ("meta-llama/Llama-3.1-8B", Layout(tp=3), "tp 3 does not divide the 32 attention heads"),
        ("Qwen/Qwen2.5-7B", Layout(tp=8), "the 28 attention heads"),
        ("Qwen/Qwen2.5-7B", Layout(tp=14), "the 4 key-value heads"),
        ("deepseek-ai/DeepSeek-V3.1", Layout(tp=6), "the 128 attention heads"),
        ("deepseek-ai/DeepSeek-V3.1", Layout(tp=12, attention_dp=4), "tp 12 / attention_dp 4"),
    ],
)
def test_tensor_groups_that_engines_refuse(name, layout, said):
    model = load_model(name)
    for ask in (
        lambda: fit(model, "h200-sxm-141gb", layout=layout),
        lambda: serve(model, device="b200", layout=layout),
    ):
        with pytest.raises(DeviceError, match=said):
            ask()


@pytest.mark.parametrize("layout", [Layout(tp=16), Layout(pp=5), Layout(tp=4, pp=3), Layout(tp=2, dp=3)])
def test_layouts_that_engines_take(layout):
    """Eight key-value heads stand twice on sixteen devices; stages may be uneven."""
    assert fit(load_model("meta-llama/Llama-3.1-8B"), "h200-sxm-141gb", layout=layout, max_model_len=8192).fits


def test_a_search_passes_over_layouts_that_engines_refuse():
    """28 heads divide by 14, 4 key-value heads do not."""
    found = solve(load_model("Qwen/Qwen2.5-7B"), "max-batch", "h200-sxm-141gb", devices=14, max_model_len=8192)
    assert {row["tp"] for row in found.rows()} == {1, 2}
    timed = solve(load_model("Qwen/Qwen2.5-7B"), device="h200-sxm-141gb", max_model_len=8192, max_num_seqs=16, tpot=0.1)
    assert timed.value == 16


def test_the_fewest_devices_are_a_group_that_engines_take():
    found = solve(load_model("meta-llama/Meta-Llama-3.1-70B"), "min-devices", "l40s", max_model_len=8192, concurrency=8)
    assert found.layout is not None
    assert 64 % found.layout.tp == 0


def test_layers_on_the_host_are_read_there():
    """Llama-3.1-8B's 32 layers are 13,959,954,432 bytes in 16 bit; half of them at 60 GB/s."""
    model = load_model("meta-llama/Llama-3.1-8B")
    whole, half = (
        serve(model, device="rtx-4090", engine="llama.cpp", prompt_length=512, output_length=64, n_gpu_layers=n)
        for n in (32, 16)
    )
    read = 13_959_954_432 / 2 / 60e9
    assert read < half.decode.expected < read + whole.decode.expected
    assert half.ttft.expected > whole.ttft.expected


def test_devices_without_a_layout_are_the_largest_group_that_engines_take():
    assert serve(load_model("Qwen/Qwen2.5-7B"), device="h200-sxm-141gb", devices=8).layout == Layout(tp=4, pp=2)
    assert serve(QWEN, device="h200-sxm-141gb", devices=8).layout == Layout(tp=8)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (f"prompt_length,output_length\n{10**400},1\n", "prompt_length of request 1 must be a whole number from 1 to"),
        (f"prompt_length,output_length\n1,{'9' * 5000}\n", "Request 1 of the trace 'trace' has no number"),
        (f"{'x' * 200_000},b\n1,2\n", "is no CSV file"),
        ("", "has no column prompt_length"),
        ("prompt_length,output_length\n", "must be from 1 to 1,000,000 pairs"),
    ],
    ids=["huge", "endless", "a long field", "empty", "no rows"],
)
def test_a_stranger_s_trace_is_a_sentence(content, sentence):
    with pytest.raises(WorkloadError, match=sentence):
        Mix.read(content)


def test_stages_of_a_pipeline_work_at_once():
    """At full load four stages give nearly four times the tokens of one device that holds the same batch a stage; one
    user waits for all of them in turn, and under transformers nobody gains."""
    model, asked = load_model("Qwen/Qwen3-32B"), {"prompt_length": 1024, "output_length": 1024, "dtype": "fp8"}
    one = serve(model, device="h200-sxm-141gb", layout=Layout(), concurrency=64, **asked)
    four = serve(model, device="h200-sxm-141gb", layout=Layout(pp=4), concurrency=256, **asked)
    assert 3.4 < four.output_tokens_per_second / one.output_tokens_per_second < 4
    alone = [serve(model, device="h200-sxm-141gb", layout=Layout(pp=n), concurrency=1, **asked) for n in (1, 4)]
    assert alone[1].tpot.expected > alone[0].tpot.expected
    assert alone[1].ttft.expected > alone[0].ttft.expected
    slow = [
        serve(model, device="h200-sxm-141gb", engine="transformers", layout=Layout(pp=n), concurrency=8, **asked)
        for n in (1, 4)
    ]
    assert slow[1].tpot.expected > slow[0].tpot.expected


def test_the_fullest_stage_decides_where_all_work_at_once():
    """64 layers on 12 stages are 6 on the fullest: 72/64 of an even pipeline's time; with one user no stage waits."""
    model, card = Same(load_model("Qwen/Qwen3-32B")), Same(device("h200-sxm-141gb"))
    cases = [case_of(model, card, "vllm", Layout(pp=n), "fp8", "auto", (), 0.0) for n in (8, 12)]
    assert [case.uneven for case in cases] == [1.0, 72 / 64]
    one = [stepping(case, 1, Request.like(16, 0, 4096), None)[1] for case in cases]
    many = [stepping(case, n * 32, Request.like(16, 0, 4096), None)[1] for case, n in zip(cases, (8, 12), strict=True)]
    assert one[1] / one[0] < 1.02
    assert many[1] / many[0] == pytest.approx(72 / 64, rel=0.03)


def test_a_long_prompt_s_chunks_fill_the_pipeline():
    """Sixteen chunks of 8,192 tokens over four stages take 19 quarters of a chunk's pass, not 64."""
    model = load_model("Qwen/Qwen3-32B")
    long = [
        serve(model, device="h200-sxm-141gb", layout=Layout(pp=n), prompt_length=131072, output_length=16).ttft.expected
        for n in (1, 4)
    ]
    assert long[1] / long[0] == pytest.approx(19 / 64, rel=0.03)


def test_prompts_read_together_fill_the_tiles_that_one_leaves_empty():
    """128 tokens are one row of tiles, of which o_proj has 64 for the 132 multiprocessors of an H100; a chunk of 64
    prompts leaves none of them without work."""
    request = Request.like(128, 0, 128)
    model, card = Same(load_model("meta-llama/Meta-Llama-3.1-70B")), Same(device("h100-sxm-80gb"))
    case = case_of(model, card, "vllm", Layout(tp=2), "fp8", "auto", (), 0.0)
    alone, busy = reading(case, request, 1), reading(case, request, 10**6)
    assert busy == reading(case, request)
    assert busy.one < alone.one / 2
    assert busy.one > 128 * 2 * 67e9 / 2 / 1979e12  # and no faster than the units
