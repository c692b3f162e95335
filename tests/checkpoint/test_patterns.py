"""Patterns of strangers: the same answers as Python's `re`, in time linear in the name, or a sentence."""

from __future__ import annotations

import random
import re

import pytest

from calculator.errors import ConfigError
from calculator.formats import automaton
from calculator.formats.automaton import Automaton, Pattern

NAMES = [
    *(f"model.layers.{i}.mlp.experts.{e}.{p}_proj" for i in (0, 3, 12) for e in (0, 7, 64) for p in ("gate", "down")),
    "model.layers.11.self_attn.q_proj",
    "model.embed_tokens",
    "lm_head",
    "model.Visual.blocks.1.attn.qkv",
    "aab",
    "foo bar",
    "",
]
PUBLISHED = [
    r".*mlp\.experts\.\d+\.(gate|up|down)_proj$",
    r".*self_attn\.(q|k|v|o)_proj$",
    r".*mlp\.(gate|up|gate_up|down)_proj.*",
    r"^(?!.*visual).*",
    r"(?i).*visual.*",
    r"(?!.*experts\.(?:0|64)\.).*mlp",
    r"model\.layers\.([0-9]|1[0-2])\..*",
    r".*layers\.(?!0\.)\d+\.mlp",
    r"(?:(?!mlp).)*$",
    r"[^.]+$",
    r".*experts\.[1-9]{1,2}\.",
    r".*\d{2,}",
    r"lm_head|model\.embed_tokens",
    r".*\bhead\b",
    r"a{2}b?",
    r"(?P<part>lm)_head",
    r"[\w.]+?_proj",
    r"model.layers.1",
    r"((a*)*)*b$",
    r"(\b|a){2,}b",
]


@pytest.mark.parametrize("pattern", PUBLISHED)
@pytest.mark.parametrize("way", ["start", "anywhere", "whole"])
def test_answers_are_those_of_re(pattern: str, way: str) -> None:
    asked = Automaton([(0, Pattern(pattern, anywhere=way == "anywhere", whole=way == "whole"))])
    own = {"start": re.match, "anywhere": re.search, "whole": re.fullmatch}[way]
    assert [bool(asked.matches(name)) for name in NAMES] == [bool(own(pattern, name)) for name in NAMES]


def written(rng: random.Random, depth: int) -> str:
    """A random pattern."""
    kind = rng.random()
    if depth == 0 or kind < 0.3:
        return rng.choice(["a", "b", ".", "[ab]", "[^a]", r"\w", r"\b", "^", "$", "c"])
    inner = written(rng, depth - 1)
    if kind < 0.5:
        return inner + written(rng, depth - 1)
    if kind < 0.65:
        return f"(?:{inner}|{written(rng, depth - 1)})"
    if kind < 0.85:
        return f"(?:{inner}){rng.choice(['*', '+', '?', '{2}', '{1,3}', '{0,2}', '*?', '{2,}'])}"
    return f"(?{'!' if kind < 0.93 else '='}{inner})"


def test_answers_are_those_of_re_for_any_pattern() -> None:
    rng, compared = random.Random(7), 0
    while compared < 1500:
        pattern = written(rng, 4)
        try:
            asked = Automaton([(0, Pattern(pattern))])
        except ConfigError:
            continue  # a lookahead that is repeated and reads nothing
        compared += 1
        for name in ("", "a", "ba", "aab", "abc", "bbb", "acacb", "a.b"):
            assert bool(asked.matches(name)) == bool(re.match(pattern, name)), (pattern, name)


def test_many_patterns_are_asked_at_once() -> None:
    asked = Automaton(enumerate(map(Pattern, PUBLISHED)))
    for name in NAMES:
        assert asked.matches(name) == {i for i, pattern in enumerate(PUBLISHED) if re.match(pattern, name)}


BACKTRACKING = {
    "((.+))+Z": False,
    r"((.|\w))+": True,
    "(.?){30}": True,
    "(?:(?:.+))+": True,
    "(x+x+)+y": False,
    "(a|aa)+$": True,
    ".*" * 900 + "$": True,
    "(.*)*" * 300: True,
}


@pytest.mark.parametrize(("pattern", "matches"), BACKTRACKING.items())
def test_patterns_that_make_others_backtrack(pattern: str, matches: bool) -> None:
    """`re` takes longer for them than anyone waits; how long they take here: tests/benchmarks/test_waits.py."""
    assert Automaton([(0, Pattern(pattern))]).matches("a" * 335) == ({0} if matches else set())


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        (r"(a)\1", r"has \1, which is not run here"),
        ("(?<=a)b", "has (?<, which is not run here"),
        ("(?<!a)b", "has (?<, which is not run here"),
        ("(?>a)", "has (?>, which is not run here"),
        ("a(?i)b", "has flags that do not stand at its start"),
        ("a**", "repeats a repeat"),
        ("a*+", "repeats a repeat"),
        ("*a", "repeats nothing"),
        ("(a", "opens a group that it does not close"),
        ("a)", "closes a group that it does not open"),
        ("[a", "ends in the middle"),
        ("a\\", "ends in the middle"),
        ("[b-a]", "has a range that is none"),
        ("a{3,2}", "repeats from more to fewer times"),
        ("a{99999}", "repeats more than 9,999 times"),
        ("é", "outside of ASCII"),
        ("(?:(?!a))*", "repeats a lookahead that reads nothing"),
        ("a" * 2001, "has more than 2,000 characters"),
        ("(" * 60 + ")" * 60, "has more than 40 groups"),
        ("((((.?){9}){9}){9}){9}", "has more than 5,000 steps"),
        ("(a{0}){9999}" * 100, "has more than 5,000 steps"),
    ],
)
def test_what_is_not_run_is_said(pattern: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Automaton([(0, Pattern(pattern))])
    assert part in str(caught.value)
    assert len(str(caught.value)) < 400


def test_all_patterns_together_have_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automaton, "MOST_WORK", 20_000)
    asked = Automaton((i, Pattern(rf".*a.*b.*{i}.*e.{{1,30}}")) for i in range(500))
    with pytest.raises(ConfigError, match="take more steps"):
        asked.matches("ab123e" * 50)
    monkeypatch.setattr(automaton, "MOST_PATTERNS", 10)
    with pytest.raises(ConfigError, match="more than 10 patterns"):
        Automaton((i, Pattern("a")) for i in range(11))
