"""Numbers that remember how they were made.

The parts of a model compute with whatever they are given: plain integers for one estimate, or `Expression`s. An
Expression is a sum of products of named atoms (B, S, d_ff, min(S, 128) ...). Two uses, one arithmetic:

- atoms that hold NumPy arrays make a sweep of a million points a handful of array products, however many operations a
  model has, because sums over operations are sums of coefficients;
- atoms that stand for one number each print a result as a formula, in symbols and with the values filled in.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import reduce
from typing import Any

Number = Any  # int | float | Fraction | Expression: mypy cannot express "the same kind in, the same kind out"

INT64_SAFE = 2**62
SUPERSCRIPTS = {2: "²", 3: "³"}


class Atom:
    """A named factor with a value: a number, or an array that broadcasts against the other atoms' arrays."""

    __slots__ = ("inner", "name", "rank", "value")
    made = 0

    def __init__(self, name: str, value: Any, inner: tuple[Atom, ...] = ()) -> None:
        Atom.made += 1
        self.name, self.value, self.rank = name, value, Atom.made
        self.inner = inner  # the symbols a minimum or a ceiling is made of

    def __lt__(self, other: Atom) -> bool:
        return self.rank < other.rank


Monomial = tuple[Atom, ...]


class Expression:
    """An immutable sum {product of atoms: coefficient}. Supports + - * with numbers and Expressions."""

    __slots__ = ("memo", "terms")
    __array_ufunc__ = None  # a NumPy scalar on the left hands over to __rmul__ instead of taking the object apart

    def __init__(self, terms: dict[Monomial, Any], memo: dict[Any, Expression]) -> None:
        self.terms = terms
        self.memo = (
            memo  # functions of expressions already made in this family of expressions: equal ones share an atom
        )

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __add__(self, other: Number) -> Expression:
        if not isinstance(other, Expression):
            if not other:
                return self
            other = Expression({(): other}, self.memo)
        terms = dict(self.terms)
        for monomial, coefficient in other.terms.items():
            total = terms.get(monomial, 0) + coefficient
            if total:
                terms[monomial] = total
            else:
                del terms[monomial]
        return Expression(terms, self.memo)

    __radd__ = __add__

    def __neg__(self) -> Expression:
        return self.__mul__(-1)

    def __sub__(self, other: Number) -> Expression:
        return self.__add__(other * -1)

    def __rsub__(self, other: Number) -> Expression:
        return self.__neg__().__add__(other)

    def __mul__(self, other: Number) -> Expression:
        if not isinstance(other, Expression):
            return Expression({m: c * other for m, c in self.terms.items()} if other else {}, self.memo)
        terms: dict[Monomial, Any] = {}
        for left, a in self.terms.items():
            for right, b in other.terms.items():
                monomial = tuple(sorted(left + right))
                terms[monomial] = terms.get(monomial, 0) + a * b
        return Expression(terms, self.memo)

    __rmul__ = __mul__

    def __floordiv__(self, divisor: Number) -> Expression:
        """Rounded down, as of integers. Where nothing is left over (two halves, an even byte count, one of E equal
        experts) each product is divided, so that sums still add up by coefficients."""
        if not isinstance(divisor, Expression):
            parts = {m: _divided(c, divisor) for m, c in self.terms.items()}
            whole = all(isinstance(c, int) for c in parts.values()) or _divides(self.value(), divisor)
            return Expression(parts, self.memo) if whole else _function("floor", self, divisor)
        if len(divisor.terms) != 1 or any(_short(m, f) for m in self.terms for f in divisor.terms):
            return _function("floor", self, divisor)
        ((factors, coefficient),) = divisor.terms.items()
        return Expression({_without(m, factors): _divided(c, coefficient) for m, c in self.terms.items()}, self.memo)

    def value(self) -> Any:
        """The number or array: integers stay exact; an array that could leave int64 is returned as float64."""
        if not any(hasattr(atom.value, "shape") for monomial in self.terms for atom in monomial):
            total = sum((c * _product(a.value for a in m) for m, c in self.terms.items()), 0)
            return int(total) if isinstance(total, Fraction) and total.denominator == 1 else total
        import numpy as np

        # Halves and eighths that add up to whole numbers are summed in whole numbers first.
        fractions = (c.denominator for c in self.terms.values() if isinstance(c, Fraction))
        unit = math.lcm(*fractions)
        scaled = Expression({m: c * unit for m, c in self.terms.items()}, self.memo) if unit > 1 else self
        dtype = np.int64 if scaled._fits_int64() else np.float64
        total = np.zeros((), dtype)
        for monomial, coefficient in scaled.terms.items():
            coefficient = float(coefficient) if dtype is np.float64 else int(coefficient)
            arrays = [np.asarray(atom.value).astype(dtype, copy=False) for atom in monomial]
            # Small factors first: a row times a column stays a row and a column until the last product.
            product = reduce(operator.mul, sorted(arrays, key=lambda a: a.size), np.asarray(coefficient, dtype))
            total = total + product
        if unit == 1:
            return total
        return total // unit if dtype is np.int64 and _divides(total, unit) else total / unit

    def _fits_int64(self) -> bool:
        bound = 0
        for monomial, coefficient in self.terms.items():
            if isinstance(coefficient, float) or Fraction(coefficient).denominator != 1:
                return False
            size = abs(int(coefficient))
            for atom in monomial:
                value = atom.value
                if getattr(getattr(value, "dtype", None), "kind", "i") == "f" or isinstance(value, float):
                    return False
                size *= max(1, abs(int(value.max() if hasattr(value, "max") else value)))
            bound += size
        return bound < INT64_SAFE

    def symbols(self) -> tuple[Atom, ...]:
        """The symbols it is made of; of a minimum or a ceiling, those inside it."""
        atoms = (atom for monomial in self.terms for atom in monomial)
        return tuple(dict.fromkeys(a for atom in atoms for a in (atom.inner or (atom,))))

    def covers(self, other: Expression) -> bool:
        """True if this is at least `other` whatever the atoms are (they are never negative)."""
        difference = (self - other).terms.values()
        return all(coefficient >= 0 for coefficient in difference)

    def text(self) -> str:
        """The formula in symbols, for instance "2·B·S·d·d_ff"."""
        return self._written(lambda atom: atom.name)

    def substituted(self) -> str:
        """The formula with the values in place of the symbols, for instance "2·1·4096·3584·18944"."""
        return self._written(lambda atom: _plain(atom.value))

    def _written(self, word: Callable[[Atom], str]) -> str:
        if not self.terms:
            return "0"
        parts = []
        for monomial, coefficient in self.terms.items():
            factors = [word(atom) + SUPERSCRIPTS.get(monomial.count(atom), "") for atom in dict.fromkeys(monomial)]
            if coefficient != 1 or not factors:
                factors.insert(0, _plain(coefficient))
            parts.append("·".join(factors))
        return " + ".join(parts).replace("+ -1·", "− ").replace("+ -", "− ")


def symbol(name: str, value: Any, memo: dict[Any, Expression] | None = None) -> Expression:
    """The atom `name` as an Expression. Expressions that meet in one formula must share their `memo`."""
    return Expression({(Atom(name, value),): 1}, {} if memo is None else memo)


def minimum(a: Number, b: Number) -> Number:
    """The smaller of the two, element by element on arrays."""
    if isinstance(a, Expression) or isinstance(b, Expression):
        return _function("min", a, b)
    return a if a <= b else b


def maximum(a: Number, b: Number) -> Number:
    """The larger of the two, element by element on arrays."""
    if isinstance(a, Expression) or isinstance(b, Expression):
        return _function("max", a, b)
    return a if a >= b else b


def half(a: Number) -> Number:
    """a / 2 rounded up, of an int, an array or a formula alike."""
    if isinstance(a, Expression) and all(not isinstance(c, float) and c % 2 == 0 for c in a.terms.values()):
        return a // 2
    return ceil_div(a, 2)


def ceil_div(a: Number, b: Number) -> Number:
    """a / b rounded up."""
    if not isinstance(b, Expression) and b == 1:
        return a
    if isinstance(a, Expression) or isinstance(b, Expression):
        return _function("ceil", a, b)
    return -(-a // b)


def distinct_drawn(slots: Number, draws: Number, size: Number) -> Number:
    """Expected number of the `slots` that `draws` independent draws of `size` distinct slots each touch:
    slots·(1 − (1 − size/slots)^draws)."""
    if any(isinstance(n, Expression) for n in (slots, draws, size)):
        return _function("distinct", slots, draws, size)
    return slots * (1 - (1 - size / slots) ** draws)


def numeric(quantity: Number, shape: tuple[int, ...] | None = None) -> Any:
    """The plain number or array behind a quantity, whatever kind it is; with a shape, an array of that shape."""
    value = quantity.value() if isinstance(quantity, Expression) else quantity
    if shape is None:
        return value
    import numpy as np

    return np.broadcast_to(value, shape)


def _function(kind: str, *arguments: Number) -> Expression:
    memo = next(a.memo for a in arguments if isinstance(a, Expression))
    key = (kind, *(tuple(sorted(a.terms.items())) if isinstance(a, Expression) else a for a in arguments))
    if key not in memo:
        values = [numeric(a) for a in arguments]
        words = [_bracketed(kind, a) if isinstance(a, Expression) else _plain(a) for a in arguments]
        inner = tuple(dict.fromkeys(s for a in arguments if isinstance(a, Expression) for s in a.symbols()))
        memo[key] = Expression({(Atom(WORDS[kind].format(*words), _computed(kind, values), inner),): 1}, memo)
    return memo[key]


def _bracketed(kind: str, argument: Expression) -> str:
    """An argument's text, in brackets where a slash would divide only a part of it."""
    text = argument.text()
    return f"({text})" if kind in ("ceil", "floor") and any(ch in text for ch in "+·−") else text


WORDS = {
    "min": "min({}, {})",
    "max": "max({}, {})",
    "ceil": "⌈{}/{}⌉",
    "floor": "⌊{}/{}⌋",
    "distinct": "{0}·(1−(1−{2}/{0})^({1}))",
}


def _computed(kind: str, values: list[Any]) -> Any:
    if not any(hasattr(v, "shape") for v in values):
        plain: dict[str, Callable[..., Any]] = {
            "min": minimum,
            "max": maximum,
            "ceil": ceil_div,
            "floor": operator.floordiv,
            "distinct": distinct_drawn,
        }
        return plain[kind](*values)
    import numpy as np

    if kind == "distinct":
        slots, draws, size = values
        return slots * (1 - (1 - size / slots) ** np.asarray(draws, float))
    if kind in ("ceil", "floor"):
        return -(-values[0] // values[1]) if kind == "ceil" else values[0] // values[1]
    return (np.minimum if kind == "min" else np.maximum)(*values)


def _divided(coefficient: Any, divisor: int) -> Any:
    quotient = Fraction(coefficient, divisor)
    return int(quotient) if quotient.denominator == 1 else quotient


def _divides(value: Any, divisor: int) -> bool:
    """Whether nothing is left over, in no element of an array."""
    rest = value % divisor
    return not (rest.any() if hasattr(rest, "any") else rest)


def _short(monomial: Monomial, factors: Monomial) -> bool:
    """Whether the factors are not all in the monomial."""
    return any(monomial.count(factor) < factors.count(factor) for factor in factors)


def _without(monomial: Monomial, factors: Monomial) -> Monomial:
    rest = list(monomial)
    for factor in factors:
        rest.remove(factor)
    return tuple(rest)


def _product(factors: Iterable[Any]) -> Any:
    return reduce(operator.mul, factors, 1)


def _plain(value: Any) -> str:
    if isinstance(value, Fraction) and value.denominator != 1:
        return f"{float(value):.10g}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
