"""Fit: whether an engine holds it on the chosen devices, what would make it fit on fewer, and how to start it."""

from __future__ import annotations

from typing import Any, NamedTuple

import streamlit as st

from calculator.engines.memory.fit import TITLES, Fit
from calculator.engines.memory.start import COMMANDS, shell
from calculator.errors import CalculatorError
from calculator.hardware import Device, device
from calculator.report import charts
from calculator.search.fewest import BY_LAYERS, MOST, cures, fewest, held
from calculator.search.map import map_rows
from pages.shared import show as ui
from pages.shared.guard import error
from pages.shared.needs import serving
from pages.shared.show import Figure, Inputs, Paper
from pages.shared.start import Started, starts

KINDS = {
    "weights": "Weights",
    "cache": "KV cache",
    "activations": "Activations",
    "overhead": "Runtime",
    "outside": "Outside the engine",
}
SHADES = charts.KINDS | {"Outside the engine": "#A9A49B"}
GIB = 2**30
DEAR = 1e9  # dollars an hour of what nobody has a price for
OFFERED = (
    *("rtx-4090", "rtx-5090", "l40s", "a100-sxm4-80gb", "h100-sxm-80gb", "h200-sxm-141gb", "b200-sxm-180gb"),
    *("b300-sxm-288gb", "mi300x", "rtx-pro-6000-bw-server"),
)


def show(inputs: Inputs) -> None:
    paper = Paper(inputs, "fit")
    card = inputs.device
    if card is None:
        advice(paper, inputs)
        return
    asked = serving(inputs)
    try:
        least = fewest(inputs.model, card, **asked)
        count = inputs.hardware.count or (least.layout.devices if least else MOST)
        mine = held(inputs.model, card, count, **asked)
    except CalculatorError as problem:
        paper.answer(f"What holds {ui.plain(inputs.name)}")
        error(problem)
        return
    paper.answer(sentence(inputs, mine), terms(inputs))
    paper.figures(*figures(inputs, mine, least))
    with ui.card(f"How {TITLES[mine.engine]} divides {'each' if count > 1 else 'the'} device"):
        memory(paper, mine)
    changes(paper, mine)
    with ui.sides():
        with ui.card(
            "Fewest devices that hold it", "Cheapest first. The whole width is what the engine may use of one device"
        ):
            choices(paper, offered(inputs))
        with st.container():
            with ui.card(
                "Sequences × tokens",
                "The share of the cache pool that so many sequences of so many take. A click asks for them.",
            ):
                plane(paper, mine)
            if mine.fits:
                starts([Started("", mine)])
    shares(paper, mine)
    paper.data(fit=lambda: [whole(mine)])


def sentence(inputs: Inputs, mine: Fit) -> str:
    """Whether it fits and with what room, or by how much it does not and what would make it fit."""
    where = f"{ui.devices(mine.layout.devices, mine.device)} with {TITLES[mine.engine]}"
    what, length = ui.plain(inputs.name), ui.tokens(mine.max_model_len)
    if mine.fits:
        room = mine.sequences * mine.layout.attention_dp
        many = f"{room:,} sequence{'' if room == 1 else 's'}"
        return f"{what} fits on {where}, with room for :primary[{many}] of {length} tokens."
    short = ui.size(mine.short_by).replace(" ", "\u00a0")
    asked = "one sequence" if mine.concurrency == 1 else f"{mine.concurrency:,} sequences"
    cures = ", or with ".join(ui.plain(fix.short) for fix in mine.fixes[:2])
    said = f" It does with {cures}." if cures else ""
    each = " on each" if mine.layout.devices > 1 else ""
    return f"{what} with {asked} of {length} tokens is :primary[{short}] too much{each} for {where}.{said}"


def terms(inputs: Inputs) -> str:
    e, w = inputs.estimate, inputs.workload
    return (
        f"Asked: {w.batch_size:,} × {e.sequence_length:,} tokens · weights {ui.stored(e.precision)} · KV cache "
        f"{ui.stored(e.kv_precision)} · memory as {TITLES[inputs.hardware.engine]} divides it"
    )


def figures(inputs: Inputs, mine: Fit, least: Fit | None) -> list[Figure]:
    parts = "\n".join(f"- {KINDS[kind]} {ui.size(size)}" for kind, size in mine.shares.items() if size)
    name, count, copies = ui.device_name(mine.device), mine.layout.devices, mine.layout.attention_dp
    laid = "laid out by layers" if mine.engine in BY_LAYERS else "as one tensor group"
    if least is not None and least.layout.attention_dp > 1:
        laid = "the attention on each, the experts divided"
    pool = f"{mine.cache_tokens:,} tokens" if mine.growing else "states, whatever the length"
    notes = "\n".join(f"- {ui.plain(note)}" for note in mine.notes)
    return [
        Figure(
            "On each device" if count > 1 else "On the device",
            ui.size(mine.taken),
            f"of {ui.size(mine.capacity)} that {TITLES[mine.engine]} may use",
            parts,
        ),
        Figure(
            "Fewest devices",
            f"{least.layout.devices}" if least else f"over {MOST}",
            f"{name}, {laid}",
            "The smallest power of two whose fullest device holds its share.",
        ),
        Figure(
            "Most sequences",
            f"{mine.sequences * copies:,}",
            f"of {ui.tokens(mine.max_model_len)} tokens, on {count} × {name}",
            "As many as the cache pool holds, and no more than the engine runs at once.",
        ),
        Figure(
            "Cache pool",
            ui.size(mine.cache_pool) if mine.cache_pool > 0 else "none",
            pool + " on each" * (copies > 1) if mine.fits else "",
            notes,
        ),
    ]


def memory(paper: Paper, mine: Fit) -> None:
    """Where the memory goes with what was asked."""
    copies = mine.layout.attention_dp
    label = f"{mine.concurrency:,} × {ui.tokens(mine.max_model_len)} tokens" + " on each" * (copies > 1)
    verdict = f"{ui.size(mine.free)} free" if mine.fits else f"✕ {ui.size(mine.short_by)} short"
    shares = {KINDS[kind]: size / GIB for kind, size in mine.shares.items() if size}
    limit = charts.Limit(mine.capacity / GIB, f"{TITLES[mine.engine]} may use {ui.size(mine.capacity)}")
    finding = f"{label} take {ui.size(mine.taken)} of {ui.size(mine.capacity)}: {verdict}."
    bar = charts.Bar(label, verdict, shares)
    paper.chart("memory", charts.stacked([bar], SHADES, finding, ui.ink(), limits=[limit]))


def shares(paper: Paper, mine: Fit) -> None:
    """Every share of the device with the rule or the log that it comes from."""
    rows = mine.rows()
    paper.tables["shares"] = lambda: rows
    with ui.folded("How each share is known", "shares", ":material/fact_check:") as opened:
        if opened:
            st.table(  # of lines that wrap: sources are sentences
                [
                    {
                        "Share": ui.plain(row["name"]),
                        "Size": ui.size(row["bytes"]),
                        "Known": row["certainty"],
                        "Source": ui.plain(row["source"]),
                    }
                    for row in rows
                ]
            )


def plane(paper: Paper, mine: Fit) -> None:
    """Which sequences and tokens fit."""
    copies = mine.layout.attention_dp  # each of which runs its share of the sequences
    rows = [r | {"sequences": r["sequences"] * copies} for r in map_rows(mine)]
    cells = [charts.Cell(short(r["tokens"]), f"{r['sequences']:,}", r["share"]) for r in rows]
    fitting = sum(r["fits"] for r in rows)
    finding = (
        f"{fitting} of {len(rows)} combinations fit: at {mine.max_model_len:,} tokens the pool holds "
        f"{mine.sequences * copies:,} sequences, and one sequence of up to {mine.longest_context:,} tokens."
        if mine.longest_context and mine.growing
        else f"{fitting} of {len(rows)} combinations fit."
    )
    here = (short(mine.max_model_len), f"{mine.concurrency * copies:,}")
    titles = ("Tokens of each sequence", "Sequences")
    named = {(cell.across, cell.up): row for cell, row in zip(cells, rows, strict=True)}

    def ask(across: str, up: str) -> None:
        row = named.get((across, up))
        if row is not None:
            st.session_state["length"], st.session_state["batch"] = f"{row['tokens']:,}", f"{row['sequences']:,}"

    paper.chart("map", charts.grid(cells, titles, finding, ui.ink(), rows=rows, here=here), picked=ask)
    paper.tables["map"] = lambda: rows


def short(tokens: int) -> str:
    """4,096 is 4k; what is no whole number of 1,024 is written out."""
    return f"{tokens:,}" if tokens % 1024 else ui.tokens(tokens)


def changes(paper: Paper, mine: Fit) -> None:
    """What would make it fit, or fit on half the devices, and what each change costs."""
    smaller, fixes = cures(mine)
    if mine.fits and not fixes:
        return
    where = ui.devices(smaller.layout.devices, mine.device)
    with ui.card(f"What would make it fit on {where}" if mine.fits else "What would make it fit"):
        if not fixes:
            st.markdown("No single change and no pair of changes does.")
        for fix in fixes:
            held = f"{fix.devices} × {ui.device_name(mine.device)}"
            st.markdown(
                f"- **{ui.plain(fix.short)}**: {ui.plain(fix.meaning)} :gray[{fix.fit.sequences:,} × "
                f"{ui.tokens(fix.fit.max_model_len)} tokens on {ui.plain(held)}]"
            )
    paper.tables["fixes"] = lambda: [
        {
            "fix": fix.short,
            "cost": fix.meaning,
            "devices": fix.devices,
            "sequences": fix.fit.sequences,
            "max_model_len": fix.fit.max_model_len,
            "cache_pool_bytes": fix.fit.cache_pool,
        }
        for fix in fixes
    ]


def whole(mine: Fit) -> dict[str, Any]:
    """The answer as one row: its numbers, its sentence and the command."""
    told = {k: v for k, v in mine.to_dict().items() if isinstance(v, str | int | float) or v is None}
    command = shell(mine) if mine.engine in COMMANDS else None
    return {**told, "devices": mine.layout.devices, "command": command}


class Choice(NamedTuple):
    """The fewest of a kind of device: dollars an hour (much where no price is known), their name, bar and row, and GiB
    that the engine may use of one."""

    hourly: float
    label: str
    bar: charts.Bar
    row: dict[str, Any]
    room: float


def advice(paper: Paper, inputs: Inputs) -> None:
    """Without a device: the cheapest of the usual ones, and the others."""
    found = offered(inputs)
    if not found:
        paper.answer(f"No group of up to {MOST} usual devices holds {ui.plain(inputs.name)}.", terms(inputs))
        return
    number, _, name = found[0].label.partition(" × ")
    cost = f", ${found[0].hourly:,.2f} an hour" if found[0].hourly < DEAR else ""
    on = f"{number}\u00a0×\u00a0{ui.plain(name)}" if number != "1" else f"one\u00a0{ui.plain(name)}"
    others = f", the cheapest of {len(found)} kinds" if len(found) > 1 else ""
    paper.answer(
        f"{ui.plain(inputs.name)} fits on :primary[{on}]{cost.replace('$', chr(92) + '$')}{others}.", terms(inputs)
    )
    with ui.card(
        "Fewest devices that hold it",
        "Cheapest first. The whole width is what the engine may use of one device. Choose one in the sidebar to see "
        "how its memory is divided, what else fits, and how to start it.",
    ):
        choices(paper, found)
    paper.data()


def offered(inputs: Inputs) -> list[Choice]:
    """The fewest of each of the usual devices and of the chosen one, the cheapest first."""
    found: list[Choice] = []
    cards = {d.id: d for d in [device(name) for name in OFFERED] + ([inputs.device] if inputs.device else [])}
    for card in cards.values():
        try:
            least = fewest(inputs.model, card, **serving(inputs))
        except CalculatorError:
            continue  # the model cannot be laid out on so many, or the engine does not run on it
        if least is not None:
            found.append(_choice(inputs, card, least))
    return sorted(found, key=lambda f: f[:2])


def choices(paper: Paper, found: list[Choice]) -> None:
    """The fewest of each kind of device."""
    if not found:
        st.info(f"No group of up to {MOST} of these devices holds it.")
        return
    finding = f"The cheapest that holds it is {found[0].label}, {found[0].bar.remark}."
    full = {f.label: f.room for f in found}
    drawn = charts.stacked([f.bar for f in found], SHADES, finding, ui.ink(), full=full)
    paper.chart("fewest_devices", drawn)
    paper.tables["fewest_devices"] = lambda: [f.row for f in found]


def _choice(inputs: Inputs, card: Device, least: Fit) -> Choice:
    count = least.layout.devices
    price = inputs.hardware.price if card is inputs.device else card.price or None
    hourly = price * count if price else None
    label = f"{count} × {ui.device_name(card)}"
    cost = f" · ${hourly:,.2f}/h" if hourly else ""
    remark = f"{ui.size(least.taken)}{cost}"  # on a phone a device's name leaves no room for more
    shares = {KINDS[kind]: size / GIB for kind, size in least.shares.items() if size}
    row = {
        "device": card.name,
        "devices": count,
        **{f"{kind}_bytes": size for kind, size in least.shares.items()},
        "capacity_bytes": least.capacity,
        "usd_per_hour": hourly,
    }
    return Choice(hourly or DEAR, label, charts.Bar(label, remark, shares), row, least.capacity / GIB)


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
