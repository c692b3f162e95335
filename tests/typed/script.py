"""A user's script under mypy --strict: the public names have types, under either name of the package. The tests run it,
and the type check reads it."""

from __future__ import annotations

from typing import assert_type

import calculator
import transformer_calculator
from calculator import Layout, Training, Workload

model = calculator.load_model("Qwen/Qwen2.5-7B")
assert_type(model, calculator.Model)
assert_type(model.parameters.total, int)
assert_type(transformer_calculator.load_model("gpt2"), calculator.Model)
assert_type(transformer_calculator.__version__, str)

e = calculator.estimate(model, Workload(mode="decode", batch_size=8, sequence_length=4096), device="h100")
assert_type(e, calculator.Estimate)
seconds: float = e.time.expected
size: int = e.memory.total
names: list[str] = [op.name for op in e.operations]

f = calculator.fit(model, device="rtx-4090", engine="llama.cpp", dtype="q4_k", max_model_len=32768)
assert_type(f.fits, bool)
fixes: list[str] = [fix.short for fix in f.fixes]
assert_type(calculator.serve(model, device="h100", concurrency=16).tpot.expected, float)
step = calculator.train(model, device="h100", layout=Layout(dp=8), training=Training(zero=3))
assert_type(step, calculator.Trained)
peak: int = step.peak
assert_type(calculator.solve(model, "max-context", "h100").verdict, str)
assert_type(calculator.solve_training(model, "fastest", "h100", devices=8).verdict, str)
assert_type(calculator.provision(model, "dgx-h100", {"ttft": 0.5}), calculator.Plan)
assert_type(calculator.device("h200"), calculator.Device)
rows = list(calculator.many(["gpt2"], [{"mode": "decode"}], processes=1))
assert rows[0]["model"] == "openai-community/gpt2"
