"""One name for one thing: titles say what the glossary says, and nothing that it rules out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "GLOSSARY.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| Word", "|---"))
]
WORDS = [row[0] for row in ROWS]
RULED_OUT = {word.strip().removesuffix(" as a title") for row in ROWS for word in row[2].split(",") if word.strip()}
RULED_OUT -= {"for what is run"}
TITLE = re.compile(r"""(?:card|folded|Figure|number)\(\s*f?["']([^"'{]+)""")
# The checkpoint's own words, and the name of the number itself.
ALLOWED = {"FLOP per byte", "Context"}


def titles():
    """Titles of cards, figures and columns of the pages."""
    for file in sorted((ROOT / "pages").rglob("*.py")):
        yield from ((file.name, title) for title in TITLE.findall(file.read_text(encoding="utf-8")))


def test_the_glossary_is_sorted_and_says_each_word_once():
    assert [w.lower() for w in WORDS] == sorted({w.lower() for w in WORDS})


@pytest.mark.parametrize("word", sorted(RULED_OUT))
def test_no_title_says_what_the_glossary_rules_out(word):
    found = list(titles())
    assert len(found) > 60
    pattern = re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE)
    assert [(file, title) for file, title in found if pattern.search(title) and title not in ALLOWED] == []


@pytest.mark.parametrize("word", ["Memory", "Compute", "Intensity", "Next token", "First token", "KV cache", "Weights"])
def test_the_words_are_those_of_titles(word):
    assert word in WORDS
    from calculator.record.vocabulary import TITLES

    assert any(title.startswith(word) for _, title in titles()) or word in TITLES.values()


@pytest.mark.parametrize(
    "page",
    ["overview", "fit", "speed", "serving", "training", "compare", "scaling", "experts", "checkpoint", "methods"],
)
def test_no_heading_of_a_page_says_what_the_glossary_rules_out(open_page, page):
    at = open_page(page, model="Qwen/Qwen3-30B-A3B", breakdown="true", engines="true", formulas="true", sweep="true")
    said = [e.value for kind in (at.title, at.header, at.subheader) for e in kind]
    said += [e.label for kind in (at.metric, at.expander) for e in kind]
    assert len(said) >= 5
    for word in RULED_OUT:
        pattern = re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE)
        assert [title for title in said if pattern.search(title) and title not in ALLOWED] == []
