"""Fits the parameters of the time model to measured serving runs; run by hand.

    python docs/calibrate_time.py RUNS.csv            what the parameters reach, and with each family left out in turn
    python docs/calibrate_time.py RUNS.csv --write    and writes values, intervals, ranges and the runs, with
                                                      their left-out times, into the package's data

RUNS.csv has a run a row: mode (agg, disagg), engine, model, group (its family), device (ids or bundled names), dtype,
isl, osl, concurrency, tp, attention_dp, ep, workers, prefill_tp, prefill_attention_dp, prefill_ep, prefill_workers,
ttft_ms, tpot_ms, doubt (calculator/data/serving_runs.csv is one). `doubt` says why a run is predicted but not
fitted to:

    drafts  1.4 to 1.9 times as fast as other versions of the engine at the same sizes: it drafted tokens
    bound   faster than the bytes of a step can be read, for a reason that is not stated
    load    stated are two numbers of sequences at once that contradict each other
    pools   disaggregated, without the number of groups that share the users

What a pass is made of comes from the package; only its time is computed here again, for all runs at once, and compared
with `serve` before anything is fitted. What disaggregated pools add is fitted after the rest, through `serve` itself.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from calculator import Layout, device, load_model, serve, validation  # noqa: E402
from calculator.serving.case import Case  # noqa: E402
from calculator.serving.efficiency import efficiency, engine_named, parameters  # noqa: E402
from calculator.serving.waiting import CHUNK, at_once  # noqa: E402

DATA = ROOT / "calculator" / "data" / "efficiency.json"
RUNS = ROOT / "calculator" / "data" / "serving_runs.csv"
ENGINES = ("vllm", "sglang", "tensorrt-llm")
STORED = {"": 0, "low": 1, "experts": 2}
LOW = {"fp8": 1, "int8": 1, "nvfp4": 2, "mxfp4": 2}
TIGHT = 0.004
"""Weight of a parameter's distance from its prior value, in widths of its prior, beside the runs' errors."""

Values = dict[str, float]
PRIOR: dict[str, tuple[float, float]] = {
    "compute": (0.60, 0.1),
    "compute_fp8": (0.86, 0.12),
    "compute_fp4": (0.84, 0.3),
    "memory_hbm": (0.787, 0.05),
    "compute_experts": (0.6, 0.3),
    "experts_low": (0.7, 0.15),  # 0.66 to 0.83 on Hopper, 0.4 to 0.7 on Blackwell, timings of single layers
    "dequantized": (0.88, 0.08),
    "dequantized_experts": (0.6, 0.2),
    "step": (0.5e-3, 0.6),
    "sequence": (9e-6, 0.6),
    "prefill_host": (2.6e-3, 1.0),
    "collective": (5e-6, 0.3),
    "hop": (1e-6, 0.3),
    "link": (0.76, 0.2),
    "all_to_all": (15e-6, 0.5),
    "interference": (0.67, 0.3),
    "queue": (0.5, 0.6),
    "wave_sglang": (0.6, 0.2),
    **{f"launch_{e}": (3.6e-6, 0.25) for e in ENGINES},
    **{f"first_token_{e}": (25e-3, 1.0) for e in ENGINES},
    **{f"wave_{e}": (0.2, 0.7) for e in ENGINES if e != "sglang"},
}
"""Value and width (of its logarithm). The values come from fits to published points of single streams and from timings
of kernels, but they, the widths and the choice of terms were settled with serving runs in sight: a family that is left
out of a fit is left out of the values, not of these choices. Every fit starts here."""
POOLS = {"handover": (0.05, 0.1, 0.2, 0.3), "wave_pools": (0.0, 0.2, 0.4, 0.6)}
"""Values tried for what only disaggregated runs have."""


class Runs:
    """Runs, and what their passes are made of, as arrays."""

    def __init__(self, rows: list[dict[str, str]]) -> None:
        self.rows = rows
        decode, prefill, mixed, full, together, known = [], [], [], [], [], []
        for row in rows:
            case, batch, length = self._case(row)
            decode.append(case.terms("decode", batch, length))
            copies, prompt = case.layout.attention_dp, int(row["isl"])
            prefill.append(case.terms("prefill", copies, prompt))
            together.append([max(1, min(n, CHUNK // prompt)) for n in (batch // (int(row["osl"]) * copies), CHUNK)])
            mixed.append(case.terms("prefill", copies * together[-1][0], prompt))
            full.append(case.terms("prefill", copies * together[-1][1], prompt))
            known.append((ENGINES.index(case.engine), batch, copies))
        self.decode, self.prefill = self._arrays(decode), self._arrays(prefill)
        self.mixed, self.full, self.together = self._arrays(mixed), self._arrays(full), np.array(together).T
        self.engine, self.batch, self.copies = np.array(known).T
        self.asked, self.prompt, self.output = (
            np.array([float(r[n]) for r in rows]) for n in ("concurrency", "isl", "osl")
        )
        self.tpot, self.ttft = (np.array([float(r[n]) for r in rows]) / 1e3 for n in ("tpot_ms", "ttft_ms"))
        self.model = np.array([r["group"] for r in rows])
        doubts = np.array([r["doubt"] for r in rows])
        self.sure = doubts == ""

    @staticmethod
    def _case(row: dict[str, str]) -> tuple[Case, int, int]:
        card, engine = device(row["device"]), engine_named(row["engine"])
        layout = Layout(tp=int(row["tp"]), attention_dp=int(row["attention_dp"]), ep=int(row["ep"]))
        case = Case(load_model(row["model"]), card, engine, layout, efficiency(card, engine), row["dtype"], "auto")
        prompt, output = int(row["isl"]), int(row["osl"])
        room = case.room(prompt + output, prompt + output // 2, {})
        return case, at_once(int(row["concurrency"]), room.sequences), prompt + output // 2

    @staticmethod
    def _arrays(passes: list[list[Any]]) -> dict[str, Any]:
        most = max(map(len, passes))
        found = np.zeros((11, len(passes), most))
        for i, terms in enumerate(passes):
            for j, t in enumerate(terms):
                plain = (t.times * (not t.devices), t.flops / t.useful, t.weights, t.moved, LOW.get(t.arithmetic, 0))
                more = (STORED[t.stored], t.experts, t.kernels * t.times, t.times * bool(t.devices), t.devices, t.sent)
                found[:, i, j] = (*plain, *more)
        names = [
            "times",
            "flops",
            "weights",
            "moved",
            "low",
            "stored",
            "experts",
            "kernels",
            "sends",
            "devices",
            "sent",
        ]
        return dict(zip(names, found, strict=True)) | {
            "all": np.array([[t.kind == "all-to-all" for t in p] + [False] * (most - len(p)) for p in passes])
        }

    def pass_time(self, of: dict[str, Any], v: Values, *, prefill: bool) -> Any:
        """`timing.pass_time` for all runs."""
        low = np.array([1, v["compute_fp8"], v["compute_fp4"]])[of["low"].astype(int)]
        experts = v["compute_experts"] * np.where(of["low"] > 0, v["experts_low"], 1)
        reached = v["compute"] * low * np.where(of["experts"] > 0, experts, 1)
        if prefill:
            reached = reached * np.where(of["stored"] > 0, v["dequantized_prefill"], 1)
        widened = np.array([1, v["dequantized"], v["dequantized_experts"]])[of["stored"].astype(int)]
        traffic = (of["weights"] / widened + of["moved"]) / v["memory_hbm"]
        busy = (of["times"] * np.maximum(of["flops"] / reached, traffic)).sum(1)
        start = np.where(of["all"], v["all_to_all"], v["collective"] + v["hop"] * np.maximum(of["devices"] - 2, 0))
        moved = (of["sends"] * (start + of["sent"] / v["link"])).sum(1)
        return busy + moved + of["kernels"].sum(1) * self._of_engine("launch", v)

    def _of_engine(self, name: str, v: Values) -> Any:
        return np.array([v[f"{name}_{e}"] for e in ENGINES])[self.engine]

    def predicted(self, v: Values) -> tuple[Any, Any]:
        """TPOT and TTFT as `serve` has them."""
        step = self.pass_time(self.decode, v, prefill=False) + v["step"] + v["sequence"] * self.batch / self.copies
        alone = self.pass_time(self.prefill, v, prefill=True) + v["prefill_host"]
        one, full = (
            (self.pass_time(of, v, prefill=True) + v["prefill_host"]) / count / self.copies
            for of, count in zip((self.mixed, self.full), self.together, strict=True)
        )
        wave = self._of_engine("wave", v)
        tpot = step + v["interference"] * (1 - wave) * (self.batch - 1) * one / self.output
        thinking = self.output * tpot
        b = thinking - one - one * (self.batch - 1) * v["queue"]
        line = (np.sqrt(b * b + 4 * one * thinking) - b) / 2
        held = np.maximum(self.asked - self.batch, 0) / self.batch * (thinking + line)
        waited = line - one + wave * (self.batch - 1) / 2 * full + held
        return tpot, alone + waited + step / 2 + self._of_engine("first_token", v)


def fit(runs: Runs, chosen: Any, v: Values, rounds: int = 12) -> Values:
    """From the prior to values with a smaller error on the chosen runs; each model weighs as the root of its runs."""
    count = {m: (runs.model[chosen] == m).sum() for m in set(runs.model[chosen])}
    weight = np.array([count[m] ** -0.5 for m in runs.model[chosen]])
    weight /= weight.sum()

    def loss(values: Values) -> float:
        tpot, ttft = runs.predicted(values)
        first = (np.abs(np.log(tpot / runs.tpot)) * runs.sure)[chosen]
        second = (np.abs(np.log(ttft / runs.ttft)) * runs.sure)[chosen]
        away = sum((np.log(values[n] / m) / s) ** 2 for n, (m, s) in PRIOR.items())
        errors = np.log1p((first / 0.15) ** 1.5) + 0.8 * np.log1p((second / 0.35) ** 1.5)
        return float((errors * weight).sum() + TIGHT * away)

    best, stride = loss(v), dict.fromkeys(PRIOR, 0.15)
    for _ in range(rounds):
        for name in PRIOR:
            for sign in (1, -1):
                tried = v | {name: v[name] * float(np.exp(sign * stride[name]))}
                if (found := loss(tried)) < best and not (name.startswith("wave") and tried[name] > 0.9):
                    best, v, stride[name] = found, tried, stride[name] * 1.3
                    break
            else:
                stride[name] *= 0.4
    return v


def said(predicted: Any, measured: Any) -> str:
    error = 100 * np.abs(predicted / measured - 1)
    return f"{np.median(error):5.1f} / {np.quantile(error, 0.9):5.1f} %"


def asked(row: dict[str, str]) -> dict[str, Any]:
    """The arguments of `serve` for a run."""
    layout = Layout(tp=int(row["tp"]), attention_dp=int(row["attention_dp"]), ep=int(row["ep"]))
    found: dict[str, Any] = {
        "device": row["device"],
        "engine": row["engine"],
        "layout": layout,
        "dtype": row["dtype"],
        "prompt_length": int(row["isl"]),
        "output_length": int(row["osl"]),
        "concurrency": int(row["concurrency"]),
    }
    if row["mode"] == "disagg" and row["prefill_tp"]:
        reads = (int(row[f"prefill_{n}"]) for n in ("tp", "attention_dp", "ep"))
        found["prefill_layout"] = Layout(**dict(zip(("tp", "attention_dp", "ep"), reads, strict=True)))
        found |= {"prefill_workers": int(row["prefill_workers"]), "decode_workers": int(row["workers"])}
    return found


def pools(rows: list[dict[str, str]], v: Values) -> tuple[Values, Any]:
    """What disaggregated pools add, by the median error of the first token; and predicted over measured times."""
    measured = np.array([[float(r["tpot_ms"]), float(r["ttft_ms"])] for r in rows]).T / 1e3
    best: tuple[float, Values, Any] = (np.inf, {}, None)
    for handover in POOLS["handover"]:
        for wave in POOLS["wave_pools"]:
            tried = {"handover": handover, "wave_pools": wave}
            served = [serve(load_model(r["model"]), parameters=v | tried, **asked(r)) for r in rows]
            ratio = np.array([[s.tpot.expected, s.ttft.expected] for s in served]).T / measured
            error = float(np.median(np.abs(np.log(ratio[1]))))
            best = min(best, (error, tried, ratio), key=lambda b: b[0])
    return best[1], best[2]


def spread(measured_over_predicted: Any) -> list[float]:
    """10th and 90th percentile."""
    return [round(float(np.quantile(measured_over_predicted, q)), 2) for q in (0.1, 0.9)]


def checked(runs: Runs, v: Values) -> None:
    """Holds the arrays here against `serve`.

    Raises:
        AssertionError: they differ.
    """
    tpot, ttft = runs.predicted(v)
    for i in range(0, len(runs.rows), max(len(runs.rows) // 20, 1)):
        s = serve(load_model(runs.rows[i]["model"]), **asked(runs.rows[i]))
        assert np.isclose(s.tpot.expected, max(tpot[i], s.tpot.lower_bound)), (runs.rows[i], s.tpot, tpot[i])
        assert np.isclose(s.ttft.expected, max(ttft[i], s.ttft.lower_bound)), (runs.rows[i], s.ttft, ttft[i])


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("runs", type=Path)
    reader.add_argument("--write", action="store_true")
    options = reader.parse_args()
    with options.runs.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    apart = [r for r in rows if r["mode"] == "disagg" and r["doubt"] != "pools"]
    runs = Runs([r for r in rows if r["mode"] == "agg"])
    v = {name: p.value for name, p in parameters().items()}
    checked(runs, v)
    tpot, ttft = runs.predicted(v)
    print(f"as they are       TPOT {said(tpot, runs.tpot)}   TTFT {said(ttft, runs.ttft)}   median / 90th percentile")
    v |= {name: value for name, (value, _) in PRIOR.items()}
    whole = fit(runs, np.ones(len(runs.rows), bool), v)
    print("fitted            TPOT {}   TTFT {}".format(*map(said, runs.predicted(whole), (runs.tpot, runs.ttft))))
    refits, left = [whole], np.zeros((2, len(runs.rows)))
    for model in sorted(set(runs.model)):
        out = runs.model == model
        refits.append(fit(runs, ~out, v))
        left[:, out] = np.array(runs.predicted(refits[-1]))[:, out]
        print(f"without {model:10s} {said(left[0, out], runs.tpot[out])}        {said(left[1, out], runs.ttft[out])}")
    print(f"all, left out     TPOT {said(left[0], runs.tpot)}   TTFT {said(left[1], runs.ttft)}")
    kept = (said(p[runs.sure], m[runs.sure]) for p, m in zip(left, (runs.tpot, runs.ttft), strict=True))
    print("without doubts    TPOT {}   TTFT {}".format(*kept))
    added, ratio = pools(apart, whole)
    print("pools             TPOT {}   TTFT {}".format(*(said(r, np.ones(len(r))) for r in ratio)), added)
    if options.write:
        write(refits, added, ranges(runs, left, ratio), sorted({device(r["device"]).id for r in (*runs.rows, *apart)}))
        keep(runs, left, apart)


def keep(runs: Runs, left: Any, apart: list[dict[str, str]]) -> None:
    """Every run; of aggregated ones with the times that were predicted with their family left out."""
    found = [
        row | {"left_ttft_ms": f"{1e3 * ttft:.2f}", "left_tpot_ms": f"{1e3 * tpot:.3f}"}
        for row, tpot, ttft in zip(runs.rows, *left, strict=True)
    ] + apart
    with RUNS.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)


def ranges(runs: Runs, left: Any, pooled: Any) -> dict[str, dict[str, list[float]]]:
    """Measured over predicted with the family left out, by kind and engine; "" over all engines."""
    found: dict[str, dict[str, list[float]]] = {}
    for kind, predicted, measured, of_pools in zip(("tpot", "ttft"), left, (runs.tpot, runs.ttft), pooled, strict=True):
        over, sure = measured / predicted, runs.sure
        found[kind] = {e: spread(over[sure & (runs.engine == i)]) for i, e in enumerate(ENGINES)}
        found[kind] |= {"": spread(over[sure]), "pools": spread(1 / of_pools)}
    return found


def widening(low: float, high: float, seen: list[str]) -> list[float]:
    """What the ends of the range of a token's time are multiplied by on devices that no run was seen of: so far from
    the expected time are runs at full load on such devices, by the parameters as they stand in the package."""
    beyond = [r for r in validation.loaded() if r.device not in seen]
    each = [spread([r.predicted / r.measured for r in beyond if r.device == d]) for d in {r.device for r in beyond}]
    ends = min(least for least, _ in each) / low, max(most for _, most in each) / high
    return [round(min(ends[0], 1.0), 2), round(max(ends[1], 1.0), 2)]


def write(
    refits: list[Values], added: Values, found: dict[str, dict[str, list[float]]], seen: list[str], file: Path = DATA
) -> None:
    """Values of the whole fit, the intervals of the refits, the ranges and the devices they are of, into the package's
    data."""
    data = json.loads(DATA.read_text(encoding="utf-8"))
    for name in PRIOR:
        tried = [float(f"{r[name]:.3g}") for r in refits]
        data["parameters"][name] |= {"value": tried[0], "low": min(tried), "high": max(tried)}
    for name, value in added.items():
        data["parameters"][name]["value"] = value
    data["ranges"] |= found
    unmeasured = widening(*data["ranges"]["tpot"][""], seen)
    rows_of = ",\n".join(f" {json.dumps(n)}: {json.dumps(p)}" for n, p in data["parameters"].items())
    kinds = ",\n".join(f" {json.dumps(n)}: {json.dumps(p)}" for n, p in data["ranges"].items())
    text = (
        f'{{\n"about": {json.dumps(data["about"])},\n"ranges": {{\n{kinds}\n}},\n"measured": {json.dumps(seen)},\n'
        f'"unmeasured": {json.dumps(unmeasured)},\n"parameters": {{\n{rows_of}\n}}\n}}\n'
    )
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
