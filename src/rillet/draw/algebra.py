"""Just enough algebra to write derivatives as people do: sums of products of powers, collected and ordered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from rillet.draw.numbers import MINUS, number

_RAISED = str.maketrans("0123456789−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_LARGEST_EXACT = 10_000

# A product: each factor with its exponent, in the order in which the factors came.
Product = tuple[tuple[str, Fraction], ...]


@dataclass(frozen=True)
class Expression:
    """A sum of products, each with a coefficient. `terms` of nothing is 0."""

    terms: tuple[tuple[Product, float | Fraction], ...]

    def __add__(self, other: Expression) -> Expression:
        return _collect((*self.terms, *other.terms))

    def __neg__(self) -> Expression:
        return Expression(tuple((product, -coefficient) for product, coefficient in self.terms))

    def __sub__(self, other: Expression) -> Expression:
        return self + -other

    def __mul__(self, other: Expression) -> Expression:
        if min(len(self.terms), len(other.terms)) > 1:  # a product of sums stays one
            return _atom_of(self) * _atom_of(other)
        if len(other.terms) > 1 and other.terms:
            return other * self
        if len(self.terms) > 1 and other.terms and other.terms[0][0]:
            return _atom_of(self) * other
        return _collect(
            (_times(first, second), left * right) for first, left in self.terms for second, right in other.terms
        )

    def __truediv__(self, other: Expression) -> Expression:
        return self * other.power(Fraction(-1))

    def power(self, exponent: Fraction) -> Expression:
        if not self.terms and exponent > 0:
            return self
        if len(self.terms) != 1:
            return Expression(((((self.text(), exponent),), Fraction(1)),)) if self.terms else symbol("∞")
        product, coefficient = self.terms[0]
        if coefficient != 1 and not product and exponent.denominator == 1:
            return constant(Fraction(coefficient) ** int(exponent) if coefficient else 0)
        if coefficient != 1 and exponent.denominator != 1:
            return Expression(((((f"({self.text()})", exponent),), Fraction(1)),))
        raised = tuple((factor, power * exponent) for factor, power in product)
        return Expression(((raised, coefficient ** int(exponent) if coefficient != 1 else coefficient),))

    @property
    def as_number(self) -> float | Fraction | None:
        """The number that this is; None where it has factors."""
        if not self.terms:
            return Fraction(0)
        product, coefficient = self.terms[0]
        return coefficient if len(self.terms) == 1 and not product else None

    def text(self) -> str:
        if not self.terms:
            return "0"
        parts = [_term(product, coefficient) for product, coefficient in self.terms]
        result = parts[0]
        for part in parts[1:]:
            result += f" {MINUS} {part[1:]}" if part.startswith(MINUS) else f" + {part}"
        return result


def symbol(name: str) -> Expression:
    """A name, or anything that is written as a factor: "sin(x)"."""
    return Expression(((((name, Fraction(1)),), Fraction(1)),))


def constant(value: float | Fraction) -> Expression:
    if not isinstance(value, Fraction):
        exact = Fraction(value).limit_denominator(_LARGEST_EXACT) if value == value and abs(value) < 1e15 else None
        value = exact if exact is not None and abs(float(exact) - value) <= 1e-7 * abs(value) else value
    return Expression((((), value),)) if value else Expression(())


def _atom_of(expression: Expression) -> Expression:
    return expression if len(expression.terms) == 1 else symbol(expression.text())


def _times(first: Product, second: Product) -> Product:
    powers = dict(first)
    for factor, power in second:
        powers[factor] = powers.get(factor, Fraction(0)) + power
    return tuple((factor, power) for factor, power in powers.items() if power)


def _collect(terms: Iterable[tuple[Product, float | Fraction]]) -> Expression:
    found: dict[frozenset[tuple[str, Fraction]], tuple[Product, float | Fraction]] = {}
    for product, coefficient in terms:
        key = frozenset(product)
        known = found.get(key)
        found[key] = (product, coefficient) if known is None else (known[0], known[1] + coefficient)
    return Expression(tuple(term for term in found.values() if term[1]))


def _term(product: Product, coefficient: float | Fraction) -> str:
    if len(product) == 1 and coefficient == 1 and product[0][1] == 1:
        return product[0][0]
    product = tuple(sorted(product, key=lambda pair: _is_compound(pair[0])))  # (stable) names before sums
    above = [_factor(factor, power) for factor, power in product if power > 0]
    below = [_factor(factor, -power) for factor, power in product if power < 0]
    size = abs(coefficient)
    if isinstance(size, Fraction):
        if size.denominator != 1:
            below.insert(0, str(size.denominator))
        if size.numerator != 1 or not above:
            above.insert(0, str(size.numerator))
    elif size != 1 or not above:
        above.insert(0, number(size))
    text = "·".join(above)
    if below:
        text += "/" + (below[0] if len(below) == 1 else "(" + "·".join(below) + ")")
    return MINUS + text if coefficient < 0 else text


def _factor(factor: str, power: Fraction) -> str:
    text = f"({factor})" if _is_compound(factor) else factor
    if power == 1:
        return text
    if power == Fraction(1, 2):
        return f"√{text}"
    if power.denominator == 1:
        return text + str(power.numerator).translate(_RAISED)
    return f"{text}^({power})"


def _is_compound(factor: str) -> bool:
    """Whether a sign of addition or a space stands outside all brackets."""
    depth = 0
    for letter in factor:
        depth += (letter in "([") - (letter in ")]")
        if depth == 0 and letter in "+− ":
            return True
    return False
