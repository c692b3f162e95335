"""Numbers as people write them."""

from __future__ import annotations

import pytest

from calculator import CalculatorError
from calculator.numbers.reading import whole


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("4096", 4096),
        (" 32k ", 32_768),
        ("32K", 32_768),
        ("128K", 131_072),
        ("1M", 1_048_576),
        ("1.5k", 1536),
        ("1e6", 1_000_000),
        ("1e+6", 1_000_000),
        ("32,768", 32_768),
        ("32_768", 32_768),
        ("1 048 576", 1_048_576),
    ],
)
def test_what_is_read(said: str, number: int) -> None:
    assert whole(said) == number


@pytest.mark.parametrize(
    "said", ["", "1.5", "abc", "-1", "0", "1e99", "١٢", "0x10", "k", "1kk", "inf", "nan", "9" * 400]
)
def test_what_is_refused(said: str) -> None:
    with pytest.raises(CalculatorError, match="Length"):
        whole(said, "Length")


def test_the_sentence_says_what_is_allowed() -> None:
    with pytest.raises(CalculatorError) as refused:
        whole("many", "Length")
    assert str(refused.value) == (
        "Length cannot be 'many'; write a whole number such as 4096, 32,768, 32_768, 32k (32,768) or 1e6."
    )
