"""What strangers send to the app and the command line: uploads, links, texts that others read, and the unforeseen."""

from __future__ import annotations

import base64
import csv
import gc
import io
import json
import os
import re
import subprocess
import sys
import weakref
import zlib
from pathlib import Path
from typing import Any

import pytest

from calculator import cli
from calculator.errors import LONGEST_MESSAGE, CalculatorError, SourceError, WorkloadError, shown
from calculator.limits import SERVER, applied, building, times
from calculator.record.workload import Workload
from calculator.report import charts, clean, output
from calculator.sources.load import model_from_config
from calculator.sources.paths import parse_config
from pages.shared import guard, show
from pages.shared.model import packed, unpacked

ROOT = Path(__file__).parents[1]
LLAMA = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 100}
LLAMA |= {"intermediate_size": 96, "num_key_value_heads": 2}


def upload(open_page: Any, content: bytes, name: str = "config.json") -> Any:
    at = open_page(source="upload")
    return at.file_uploader(key="config_file").upload(name, content, "application/json").run()


# Uploads and links


def test_a_valid_config_too_large_for_a_link_is_read(open_page: Any) -> None:
    labels = {str(i): f"a label of some length, number {i * 7919}" for i in range(25_000)}
    content = json.dumps(LLAMA | {"id2label": labels}).encode()
    assert 1_300_000 < len(content) < SERVER.upload_bytes
    at = upload(open_page, content)
    assert not at.error
    assert at.metric
    assert "config" not in at.query_params
    assert any("too large to be part of the link" in c.value for c in at.caption)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" + b"{}," * 1_000_000 + b"{}]", "some 2,000,00"),
        (b" " * 6_000_000, "larger than 5 MB"),
        (b"\xff\xfe\x00", "is not text"),
        (b"[" * 100_000, "nests objects and lists more than 100 deep"),
        (b'{"model_type": "llama", "hidden_size": ' + b"9" * 5000 + b"}", "not valid JSON"),
    ],
)
def test_an_upload_is_held_against_the_limits_before_it_is_read(open_page: Any, content: bytes, said: str) -> None:
    at = upload(open_page, content)
    assert len(at.error) == 1
    assert said in at.error[0].value


def test_the_name_of_a_file_may_be_long(open_page: Any) -> None:
    at = upload(open_page, b"no", "n" * 5000 + ".json")
    assert len(at.error) == 1
    assert len(at.error[0].value) < 500


@pytest.mark.parametrize(
    "text",
    [
        "A" * 100_000,
        base64.urlsafe_b64encode(zlib.compress(b" " * 5_000_000, 9)).decode(),
        packed(LLAMA)[:-9],
        "é",
        "eJw",
    ],
)
def test_a_link_that_is_damaged_or_a_bomb_gets_a_sentence(text: str) -> None:
    with applied(SERVER), pytest.raises(SourceError):
        unpacked(text)


@pytest.mark.parametrize("link", ["inf", "-inf", "nan", "1e400", "0", "-1", "9" * 400, "x", "1.5"])
@pytest.mark.parametrize("field", ["batch", "length", "generate", "tile"])
def test_a_number_in_the_link_may_be_anything(open_page: Any, field: str, link: str) -> None:
    mode = "decode" if field == "generate" else "prefill"
    at = open_page(mode=mode, **{field: link})
    assert not at.exception
    assert len(at.error) + len(at.metric) >= 1


# Text


HOSTILE = "![x](http://evil.example/x.png) [y](javascript:1) <img src=x> https://evil.example/z "
HOSTILE += "www.evil.example \x1b[2J"


def drawn(at: Any) -> str:
    kinds = (at.title, at.markdown, at.caption, at.metric, at.info, at.success, at.warning, at.error, at.subheader)
    words = "\n".join(str(element.value) + str(getattr(element, "label", "")) for kind in kinds for element in kind)
    tables = "\n".join(str(table.value.to_csv()) for table in at.table)
    return words + tables


def test_text_of_a_config_is_shown_as_text(open_page: Any) -> None:
    for config in (LLAMA | {"dtype": HOSTILE}, LLAMA | {"model_type": HOSTILE}, LLAMA | {"layer_types": [HOSTILE] * 2}):
        shown_words = drawn(upload(open_page, json.dumps(config | {"_name_or_path": HOSTILE}).encode()))
        assert "evil" not in shown_words or "!\\[x" in shown_words
        assert not re.search(r"(?<!\\)\]\(", shown_words.replace("](https://huggingface.co", ""))
        assert "://evil" not in shown_words
        assert "www.evil" not in shown_words
        assert "\x1b" not in shown_words


def test_markdown_is_escaped_and_the_hub_s_pages_stay_links() -> None:
    assert clean.markdown("a_b [x](y) <z> `c` $d$ *e*") == "a_b \\[x\\](y) \\<z\\> \\`c\\` \\$d\\$ \\*e\\*"
    assert clean.markdown("At https://huggingface.co/org/na-me, then") == "At https://huggingface.co/org/na-me, then"
    assert "://evil" not in clean.markdown("https://evil.example/huggingface.co/")
    assert "://huggingface.co@" not in clean.markdown("https://huggingface.co@evil.example/")
    assert "://huggingface.co.evil" not in clean.markdown("https://huggingface.co.evil.example/")
    assert clean.markdown("a\n# b\x1b[2J\u202ex") == "a # b?\\[2J?x"


def test_the_terminal_gets_no_escapes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(LLAMA | {"dtype": "\x1b]0;owned\x07\x1b[2J", "_name_or_path": "\x1b[31m"}))
    for form in ("text", "markdown", "csv", "json"):
        assert cli.main(["--config", str(file), "--format", form]) == 0
        captured = capsys.readouterr()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", captured.out + captured.err)


def test_cells_that_begin_a_formula_are_text() -> None:
    rows = [{"name": "=HYPERLINK(1)", "other": "+1", "n": -5, "x": "-1+2", "y": "-", "z": "@a", "t": "\tq"}, {"m": 1.5}]
    found = list(csv.DictReader(io.StringIO(clean.as_csv(rows))))
    assert [found[0][k] for k in ("name", "other", "n", "x", "y", "z")] == [
        "'=HYPERLINK(1)",
        "'+1",
        "-5",
        "'-1+2",
        "-",
        "'@a",
    ]
    assert found[1] == {"name": "", "other": "", "n": "", "x": "", "y": "", "z": "", "t": "", "m": "1.5"}


def test_no_sentence_repeats_all_that_it_was_given() -> None:
    assert len(str(CalculatorError("x" * 200_000))) < LONGEST_MESSAGE + 10
    assert shown(10**5000) == "a number of some 5,001 digits"
    assert len(shown("a" * 200_000)) < 100
    with pytest.raises(WorkloadError) as caught:
        Workload(batch_size=10**5000)
    assert len(str(caught.value)) < 300


# What nobody foresaw


def test_a_page_s_own_fault_is_a_sentence(open_page: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    from pages import overview

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a path of the server")

    monkeypatch.setattr(overview, "figures", broken)
    assert len(open_page().exception) == 1  # the tests see it
    monkeypatch.delenv("CALCULATOR_RAISE")
    at = open_page()
    assert not at.exception
    assert len(at.error) == 1
    assert "a path of the server" not in at.error[0].value
    assert "Reload the page" in at.error[0].value
    assert "ZeroDivisionError" in caplog.text


def test_a_command_s_own_fault_is_a_sentence(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> str:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(output, "report", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["openai-community/gpt2"])
    monkeypatch.delenv("CALCULATOR_RAISE")
    assert cli.main(["openai-community/gpt2"]) == 2
    assert re.fullmatch(r"error: The calculator met a fault of its own .*\n", capsys.readouterr().err)


def test_streamlit_shows_no_details_and_takes_no_large_files() -> None:
    import tomllib

    config = tomllib.loads((ROOT / ".streamlit/config.toml").read_text(encoding="utf-8"))
    assert config["client"]["showErrorDetails"] == "none"
    assert config["server"]["maxUploadSize"] * 10**6 == SERVER.upload_bytes


def test_an_interrupt_while_the_package_is_read_is_silent() -> None:
    code = (
        "import sys, calculator.__main__ as m\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'calculator.cli': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "sys.exit(m.main())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "")


def test_a_part_file_s_name_cannot_be_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    fill = output._fill

    def watch(path: Path, content: str) -> None:
        seen.append(path.name)
        fill(path, content)

    monkeypatch.setattr(output, "_fill", watch)
    for _ in range(2):
        output.write_file(str(tmp_path / "out.csv"), "a\n")
    assert len(set(seen)) == 2
    assert not any(str(os.getpid()) in name for name in seen)
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


# Budgets


def test_loops_over_numbers_of_a_config_have_one_budget() -> None:
    assert times(3) == 3
    assert times(-1) == 0
    for wrong in (1.0, True, "3", None, [1]):
        with pytest.raises(CalculatorError):
            times(wrong)
    with pytest.raises(CalculatorError):
        times(10**9)
    with applied(SERVER), building():
        for _ in range(10):
            times(2000)
        with pytest.raises(CalculatorError):
            times(2000)


def test_a_server_builds_less_than_a_machine_of_one_s_own() -> None:
    deep = LLAMA | {"num_hidden_layers": 9000}
    assert model_from_config(deep).layers == 9000
    with applied(SERVER), pytest.raises(CalculatorError, match="num_hidden_layers"):
        model_from_config(deep)


def test_no_chart_is_kept() -> None:
    modules = (charts, charts.bars, charts.base, charts.planes)
    assert [f for m in modules for f in vars(m).values() if hasattr(f, "cache_info")] == []


def test_a_session_keeps_no_list_of_operations(open_page: Any, downloads: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its downloads live as long as it does, which is minutes after the visitor has gone."""
    made: list[Any] = []
    estimate = show.estimate

    def watched(*args: Any) -> Any:
        found = estimate(*args)
        made.append(weakref.ref(found))
        return found

    monkeypatch.setattr(show, "estimate", watched)
    at = open_page()
    assert not at.error
    gc.collect()
    assert made
    assert [each for each in made if each() is not None] == []
    assert "self_attn.q_proj" in downloads["operations.csv"]()  # made again


def test_the_collector_is_left_to_look_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        monkeypatch.setattr(guard, "_settled", [0.0, 0.0])
        guard.settle()
        assert gc.get_freeze_count() > 1000
        when = list(guard._settled)
        guard.settle()
        assert guard._settled == when
        guard._settled[1] -= guard.SET_ASIDE_SECONDS  # what has come since is set aside, too
        guard.settle()
        assert guard._settled[0] == when[0]
        assert guard._settled[1] >= when[1]
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("text", ['{"a":' * 101 + "1" + "}" * 101, '{"a":' + "[" * 100 + "]" * 100 + "}"])
def test_how_deep_a_config_may_nest_is_the_same_on_every_python(text: str) -> None:
    with pytest.raises(SourceError, match="nests objects and lists more than 100 deep"):
        parse_config(text, "x.json")
    strings = {"model_type": "[{" * 200, "a": 'quoted "[[[" and \\'}
    assert parse_config(json.dumps(strings)) == strings
