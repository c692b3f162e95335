"""The command line: models in, tables out as text, Markdown, CSV or JSON."""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from calculator import catalogue, text
from calculator.errors import CalculatorError, SourceError, WorkloadError
from calculator.estimate import MEMORY_KINDS, Estimate
from calculator.explain import Explained, explain
from calculator.formats import ALIASES, CACHE_BITS, FORMATS
from calculator.model import Model
from calculator.sources import load_model
from calculator.workload import CHOICES, DEFAULT_LENGTH, MODES, Workload

FAILED, INTERRUPTED, PIPE_CLOSED = 2, 130, 141
TABLES = ("memory", "flops", "reuse")
OUTPUTS = ("text", "json", "csv", "markdown")
Row = dict[str, Any]

DESCRIPTION = """\
Exact parameters, memory, FLOPs, bytes moved and arithmetic intensity of transformer models, for pretraining, prefill
and decode. Bundled models (--list-models) need no network; any other Hugging Face id is read from the Hub, of which
only config.json is fetched. Nothing is downloaded or run besides."""

EPILOG = """\
examples:
  {program} --hf-model "Qwen/Qwen2.5-7B" --mode prefill --table all
  {program} deepseek-ai/DeepSeek-V3.1-Terminus --mode decode --seq-len 32768 --batch-size 16 --table memory
  {program} --config ./my-model/config.json --dtype int4 --kv-dtype fp8
  {program} Qwen/Qwen2.5-7B --table operations --format csv --output operations.csv
two models side by side, and the formulas behind the numbers, filled in:
  {program} Qwen/Qwen3-8B meta-llama/Llama-3.1-8B --mode decode --seq-len max
  {program} Qwen/Qwen2.5-7B --explain q_proj

output formats:
  text      aligned tables; memory in KiB, MiB, GiB (1 GiB = 2^30 bytes), FLOPs with decimal prefixes
  markdown  the same tables in Markdown
  json      everything, raw numbers: one object, a list of them for several models; --table changes nothing
  csv       raw numbers (bytes, FLOPs), every row with its model, mode, batch size and length; no total rows, so that
            sums are right. One --table keeps that table's columns; --table all has a line per number: table,
            component, field, value, with the totals as table "summary"

exit status: 0; 2 when the request cannot be met, with the reason on standard error; 130 interrupted; 141 pipe closed.
A Hugging Face token is best given as HF_TOKEN, where other users of the machine cannot see it."""


class Parser(argparse.ArgumentParser):
    """argparse, with its complaints as one sentence like every other error."""

    def error(self, message: str) -> NoReturn:
        said = message.rstrip(".")
        raise CalculatorError(f"{said[:1].upper()}{said[1:]}; see {self.prog} --help.")

    def print_help(self, file: Any = None) -> None:
        _print(self.format_help())


def parser(program: str) -> Parser:
    """The options, which are also the documentation."""
    made = Parser(program, description=DESCRIPTION, epilog=EPILOG.format(program=program), allow_abbrev=False,
                  formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    for title, fill in GROUPS.items():
        fill(made.add_argument_group(title).add_argument)
    return made


Add = Callable[..., Any]


def _add_models(add: Add) -> None:
    add("models", nargs="*", metavar="MODEL", help="a bundled model, Hugging Face id (org/name, org/name@revision) or "
        "URL, or the path of a config.json or its folder; several are compared")  # fmt: skip
    add("--hf-model", action="append", default=[], metavar="MODEL", help="the same as an option; may be repeated")
    add("--config", action="append", default=[], metavar="PATH", help="a config.json or its folder; may be repeated")
    add("--revision", help="branch, tag or commit on the Hub; bundled copies are then not used")
    add("--token", help="Hugging Face token for gated or private models; default: HF_TOKEN or the stored login")


def _add_workload(add: Add) -> None:
    add("--mode", choices=MODES, default="prefill", help="default: prefill")
    add("--seq-len", type=_length, metavar="N|max", help="tokens per sequence: processed by prefill and pretraining, "
        "held in the cache by decode; max is the model's own limit; "
        f"default: {DEFAULT_LENGTH}, or the limit if shorter")  # fmt: skip
    add("--batch-size", type=int, default=1, metavar="N", help="sequences; default: 1")
    add("--decode-len", type=int, default=64, metavar="N", help="tokens generated, for decode's totals; default: 64")


def _add_precision(add: Add) -> None:
    add("--dtype", type=_format_name, default="auto", metavar="FORMAT",
        help=f"weights: auto (as the config says), {', '.join(FORMATS)}; default: auto")  # fmt: skip
    add("--kv-dtype", type=_format_name, default="auto", metavar="FORMAT",
        help=f"KV cache: auto, {', '.join(CACHE_BITS)}; default: auto")  # fmt: skip
    add("--gradient-dtype", choices=CHOICES["gradient_dtype"], default="auto", help="pretraining only; default: auto")


def _add_execution(add: Add) -> None:
    add("--attention", choices=CHOICES["attention"], default="flash", help="eager writes the S × S scores to memory; "
        "default: flash")  # fmt: skip
    add("--attention-flops", choices=CHOICES["attention_flops"], default="full", help="full counts every query "
        "against every key, causal the half a causal kernel computes; default: full")  # fmt: skip
    add("--logits", choices=CHOICES["logits"], default="auto", help="positions that reach the head; default: auto, "
        "the last one in prefill and all in pretraining")  # fmt: skip
    add("--routing", choices=CHOICES["routing"], default="balanced", help="balanced spreads tokens evenly over "
        "experts, uniform expects what random routing reaches; default: balanced")  # fmt: skip
    add("--expert-capacity-factor", type=float, metavar="C", help="pad or cut each expert to C times its fair share")
    add("--share-experts", action="store_true", help="what if all layers shared one set of experts; no published "
        "model does")  # fmt: skip
    add("--flash-block-size", type=int, metavar="N", help="query rows per flash-attention tile; default: keys and "
        "values are read once")  # fmt: skip
    add("--no-flash-decode", action="store_true", help="do not split a decode step's cache read over workers")
    add("--flash-decode-block-size", type=int, default=256, metavar="N", help="cached tokens per split; default: 256")


def _add_output(add: Add) -> None:
    add("--table", choices=(*TABLES, "operations", "all"), default="all", help="all, the default, is memory, flops and "
        "reuse (arithmetic intensity)")  # fmt: skip
    add("--explain", nargs="?", const="", metavar="OPERATION", help="instead of tables the formula behind every "
        "amount, filled in; of the operations whose name contains OPERATION (give it last, or as "
        "--explain=OPERATION)")  # fmt: skip
    add("--format", choices=OUTPUTS, default="text", help="default: text")
    add("--output", metavar="FILE", help="write there instead; an existing file is replaced only if all went well")
    add("--list-models", action="store_true", help="list the bundled models")
    add("--list-types", action="store_true", help="list the model types that can be read")
    add("--version", action="store_true", help="show the version")


GROUPS: Mapping[str, Callable[[Add], None]] = {
    "models": _add_models,
    "what is run": _add_workload,
    "precision": _add_precision,
    "how it runs and how it is counted": _add_execution,
    "output": _add_output,
}


def _length(value: str) -> int | str:
    if value == "max":
        return value
    try:
        return int(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{value!r} is neither a whole number nor max") from error


def _format_name(value: str) -> str:
    return ALIASES.get(value.lower(), value.lower())


def main(arguments: Sequence[str] | None = None, program: str = "transformer-calculator") -> int:
    """Run the command line and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _run(given, program)
    except SystemExit as ended:  # --help
        return int(ended.code or 0)
    except CalculatorError as error:
        _complain(_without_token(str(error), given))
        return FAILED
    except BrokenPipeError:
        # Nothing may be left for the interpreter to flush into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _run(given: list[str], program: str) -> None:
    options = parser(program).parse_intermixed_args(given)
    if options.output is not None:
        target_of(options.output)  # refused before any work, not after
    content = _content(options)
    if options.output is None:
        _print(content)
    else:
        write_file(options.output, content)


def _content(options: argparse.Namespace) -> str:
    """All of the output; nothing is written before it is complete."""
    if options.version:
        return f"transformer-calculator {version()}\n"
    if options.list_models:
        return listing("Bundled models", model_rows(), options.format)
    if options.list_types:
        return listing("Model types", type_rows(), options.format)
    workload = workload_of(options)
    models = load_all(sources(options), options.revision, options.token)
    estimates = [Estimate(model, workload) for model in models]
    if options.format == "csv":
        for warning in dict.fromkeys(w for e in estimates for w in e.warnings):
            _complain(warning, "warning")  # a CSV file has no place for it
    if options.explain is not None:
        return explanation(estimates, options.explain, options.format)
    return report(estimates, options.table, options.format)


# From options to models and workload


def workload_of(options: argparse.Namespace) -> Workload:
    """The workload that the options ask for.

    Raises:
        WorkloadError: a number or name outside what is allowed.
    """
    return Workload(
        mode=options.mode,
        batch_size=options.batch_size,
        sequence_length=options.seq_len,
        decode_length=options.decode_len,
        dtype=options.dtype,
        kv_dtype=options.kv_dtype,
        attention=options.attention,
        attention_flops=options.attention_flops,
        logits=options.logits,
        flash_decode=not options.no_flash_decode,
        flash_block_size=options.flash_block_size,
        flash_decode_block_size=options.flash_decode_block_size,
        expert_capacity_factor=options.expert_capacity_factor,
        routing=options.routing,
        share_experts_across_layers=options.share_experts,
        gradient_dtype=options.gradient_dtype,
    )


def sources(options: argparse.Namespace) -> list[str]:
    """What was named, in the order: MODEL, --hf-model, --config.

    Raises:
        SourceError: nothing was named.
    """
    # "./name" is a path to load_model even where "name" is also a bundled model.
    paths = [p if os.path.isabs(p) or p.startswith("~") else f"./{p}" for p in options.config]
    found = [*options.models, *options.hf_model, *paths]
    if not found:
        hint = f" ({options.explain!r} was taken for an operation to explain)" if options.explain else ""
        raise SourceError(f"No model was named{hint}; give one, for instance Qwen/Qwen2.5-7B, or see --list-models.")
    return found


def load_all(named: Sequence[str], revision: str | None, token: str | None) -> list[Model]:
    """The models, with a line of progress while it may take a while.

    Raises:
        CalculatorError: one of them cannot be read; of several, the message says which.
    """
    models = []
    for place, source in enumerate(named, 1):
        line = f"Reading {source}" + (f" ({place} of {len(named)})" if len(named) > 1 else "")
        progress(_hide(line, token))
        try:
            models.append(load_model(source, revision, token))
        except CalculatorError as error:
            if len(named) == 1 or source in str(error):
                raise
            raise type(error)(f"{source}: {error}") from error
        finally:
            progress("")
    return models


def progress(line: str) -> None:
    """Show the line, or clear it, where a person is watching standard error."""
    if sys.stderr is not None and sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{_one_line(line)[:100]}")
        sys.stderr.flush()


# From estimates to output


def report(estimates: Sequence[Estimate], table: str, form: str) -> str:
    """The tables in that format."""
    if form == "json":
        return _json([e.to_dict() for e in estimates])
    if form == "csv":
        return _csv([row for e in estimates for row in csv_rows(e, table)])
    render = text.aligned if form == "text" else text.markdown
    return render(text.blocks(estimates, TABLES if table == "all" else (table,)))


def csv_rows(estimate: Estimate, table: str) -> list[Row]:
    """Rows of raw numbers; --table all is long: a row per number."""
    base = _base(estimate)
    if table != "all":
        return [{**base, **row} for row in estimate.rows(table)]
    long = [{**base, "table": "summary", "component": "", "field": f, "value": v} for f, v in summary(estimate).items()]
    for kind in TABLES:
        for row in estimate.rows(kind):
            fields = {f: v for f, v in row.items() if not isinstance(v, str)}
            place = {**base, "table": kind, "component": row["component"]}
            long += [{**place, "field": f, "value": v} for f, v in fields.items()]
    return long


def _base(estimate: Estimate) -> Row:
    w, length = estimate.workload, estimate.sequence_length
    return {"model": estimate.model.name, "mode": w.mode, "batch_size": w.batch_size, "sequence_length": length}


def summary(estimate: Estimate) -> dict[str, Any]:
    """The totals by name."""
    parameters, memory, traffic = estimate.model.parameters, estimate.memory, estimate.traffic
    found = {"parameters": parameters.total, "active_parameters": parameters.active}
    found |= {kind: getattr(memory, kind) for kind in MEMORY_KINDS} | {"memory": memory.total}
    found |= {"flops": estimate.flops.total, "matmul_flops": estimate.flops.matmul}
    found |= {"bytes_moved": traffic.total, "intensity": estimate.intensity}
    if (g := estimate.generation) is not None:
        found |= {"generated_tokens": g.tokens, "generation_flops": g.flops.total}
        found |= {"generation_bytes_moved": g.traffic.total, "generation_kv_cache": g.kv_cache}
    return found


def explanation(estimates: Sequence[Estimate], wanted: str, form: str) -> str:
    """The formulas of the operations whose name contains `wanted`.

    Raises:
        WorkloadError: no operation has such a name.
    """
    found = [(e, _chosen(e, wanted)) for e in estimates]
    if form == "json":
        return _json([{**e.to_dict(), "formulas": _formula_rows(chosen)} for e, chosen in found])
    if form == "csv":
        return _csv([{**_base(e), **row} for e, chosen in found for row in _formula_rows(chosen)])
    blocks: list[text.Block] = []
    for e, chosen in found:
        blocks += [text.header(e), *(text.formula_facts(x) for x in chosen)]
    return (text.aligned if form == "text" else text.markdown)(blocks)


def _chosen(estimate: Estimate, wanted: str) -> list[Explained]:
    listed = explain(estimate.model, estimate.workload)
    chosen = [x for x in listed if wanted in x.operation.name]
    if not chosen:
        names = ", ".join(dict.fromkeys(x.operation.name for x in listed))
        raise WorkloadError(f"{estimate.model.name} has no operation {wanted!r}; choose one of {names}.")
    return chosen


def _formula_rows(chosen: Sequence[Explained]) -> list[Row]:
    return [
        {"operation": x.operation.name, "layers": x.operation.layers, "count": x.operation.count, "quantity": quantity,
         "formula": f.symbols, "numbers": f.values, "value": text.plain(f.value)}
        for x in chosen
        for quantity, f in x.formulas.items()
    ]  # fmt: skip


def model_rows() -> list[Row]:
    """The bundled models, popular ones first."""
    entries = catalogue.entries()
    return [{"id": e.id, "name": e.name, "type": e.config.get("model_type"), "date": e.date} for e in entries]


def type_rows() -> list[Row]:
    """The model types that a family reads, each with a bundled example where there is one."""
    from calculator.families import FAMILIES

    examples: dict[Any, str] = {}
    for entry in catalogue.entries():
        examples.setdefault(entry.config.get("model_type"), entry.id)
    return [{"type": kind, "example": examples.get(kind, "")} for kind in sorted(FAMILIES)]


def listing(title: str, rows: Sequence[Row], form: str) -> str:
    """Rows of words in that format."""
    if form in ("json", "csv"):
        return json.dumps(rows, indent=2) + "\n" if form == "json" else _csv(rows)
    cells = [[str(value) for value in row.values()] for row in rows]
    grid = text.Grid(f"{title}: {len(rows)}", [name.capitalize() for name in rows[0]], cells, left=len(rows[0]))
    return text.aligned([grid]) if form == "text" else text.markdown([grid])


def _json(found: list[dict[str, Any]]) -> str:
    return json.dumps(found[0] if len(found) == 1 else found, indent=2, allow_nan=False) + "\n"


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def version() -> str:
    """The installed version; in a checkout that is not installed, the one pyproject.toml names."""
    from importlib import metadata

    try:
        return metadata.version("transformer-calculator")
    except metadata.PackageNotFoundError:
        project = Path(__file__).parents[1] / "pyproject.toml"
        stated = project.read_text(encoding="utf-8") if project.is_file() else ""
        found = re.search(r'^version = "(.+)"$', stated, re.M)
        return found[1] if found else "unknown"


# Writing


def target_of(name: str) -> tuple[Path, bool]:
    """Where --output writes, links followed, and whether that is (or will be) a regular file.

    Raises:
        WorkloadError: a folder, a file in a folder that does not exist, or permission is missing.
    """
    special = os.path.exists(name) and not os.path.isfile(name)  # a pipe or a device
    path = Path(name) if special else Path(os.path.realpath(name))
    if not name or path.is_dir():
        raise WorkloadError(f"--output {name!r} does not name a file; give the name of one.")
    if not path.parent.is_dir():
        raise WorkloadError(f"--output {name!r} lies in no existing folder; make {str(path.parent)!r} first.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise WorkloadError(f"--output {name!r} may not be written; choose another file or change its permissions.")
    return path, not special


def write_file(name: str, content: str) -> None:
    """Write the file in one step: readers see the old content or the new, never a part.

    Raises:
        WorkloadError: the file cannot be written.
    """
    path, regular = target_of(name)
    try:
        if regular:
            _replace(path, content)
        else:
            path.write_text(content, encoding="utf-8", errors="replace", newline="")
    except OSError as error:
        raise WorkloadError(f"--output {name!r} could not be written: {error.strerror}.") from error


def _replace(path: Path, content: str) -> None:
    beside = path.with_name(f".calculator-{os.getpid()}.part")
    try:
        beside.write_text(content, encoding="utf-8", errors="replace", newline="")
        if path.exists():
            beside.chmod(stat.S_IMODE(path.stat().st_mode))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _print(content: str) -> None:
    if sys.stdout is None:
        raise WorkloadError("Standard output is closed; open it, or give --output FILE.")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no Greek still gets the numbers
    try:
        sys.stdout.write(content)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WorkloadError(f"Standard output could not be written: {error.strerror}.") from error


def _complain(sentence: str, kind: str = "error") -> None:
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(f"{kind}: {_one_line(sentence)}", file=sys.stderr)


def _one_line(words: str) -> str:
    """The words without line breaks, control characters or anything that looks like an access token."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(words.split()))
    return re.sub(r"hf_[A-Za-z0-9]{20,}", "hf_…", line)


def _hide(words: str, token: str | None) -> str:
    return words.replace(token, "…") if token and len(token) >= 8 else words


def _without_token(words: str, given: Sequence[str]) -> str:
    """The words without the value of --token, also where the arguments could not be parsed."""
    for option, value in zip(("", *given), given, strict=False):
        words = _hide(words, value if option == "--token" else None)
        words = _hide(words, value.removeprefix("--token=") if value.startswith("--token=") else None)
    return words
