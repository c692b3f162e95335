"""Numbers as people write them."""

from __future__ import annotations

import pytest

from calculator import CalculatorError
from calculator.errors import WorkloadError
from calculator.numbers.reading import amount, whole


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


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("300M", 300_000_000),
        ("1.4T", 1_400_000_000_000),
        ("15 t", 15 * 10**12),
        ("1e12", 10**12),
        ("20,000,000", 20_000_000),
        ("1b tokens", 10**9),
    ],
)
def test_an_amount_of_data_is_decimal(text: str, meant: int) -> None:
    assert amount(text) == meant


@pytest.mark.parametrize("text", ["", "many", "0", "0.5", "-1", "1e17", "1.2345", "1Q"])
def test_what_is_no_amount_of_data_is_refused(text: str) -> None:
    with pytest.raises(WorkloadError, match="write an amount such as 300M"):
        amount(text)
