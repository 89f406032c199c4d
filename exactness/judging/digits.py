"""Whether the numbers of a sample have enough digits to hold the noise that is judged.

A sampler rounds every state. In units of the noise, rounding moves a draw by about |x| u / sigma, where u is the unit roundoff of
the numbers. Suppose that it moves the noise of all draws together by a vector of length D. Then no test of any kind tells the
moved noise from the claimed noise better than it tells N(D, 1) from N(0, 1): an event of probability p under the law has at most
the probability Phi(Phi^-1(p) + D) after the rounding. This holds for moves that depend on the past, whatever they are (Dong, Roth
and Su, Gaussian differential privacy, 2022, for the trade-off of two normals and its composition; Smith and Thakurta 2022 for moves
that the past decides). A refutation stands only if it survives this correction. D is estimated from some of the draws, and the
rounding of a draw's own last digits depends on the draw itself; its effect is of second order. The factor ``_ROUNDINGS`` is there
for both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from ..arrays import Array, kind_of, normal_scores, to_numpy
from ..certificate import TOLERATED, Finding
from ..evidence.nulls import Distinct, Equality, Neighbours, OwnRepeats, null_of
from ..laws.base import Law, Projected, Scaled, Transformed
from ..laws.rosenblatt import uniforms_of
from ..plan import Plan

# A step rounds its coefficients, two products, their sum and the new state: this many units at most, for a step of a few terms.
_ROUNDINGS = 4.0
# Two states of a step may have been rounded to decimals, each by half a unit.
_OF_DECIMALS = 1.0
# Numbers are taken for decimals of at most so many places, if their format is so many times finer and they agree to its last digit.
_PLACES, _FINER = 7, 64.0
# Sizes are averages over this many draws of a block.
_LOOKED_AT = 256
# So many numbers do not all end in zeros by chance.
_ENOUGH_NUMBERS = 8
# Normal scores of smaller p-values do not exist in double precision.
_SMALLEST_P = 1e-300
# The largest density of a standard normal.
_PEAK = 1.0 / math.sqrt(2.0 * math.pi)
# Repeats are sought among numbers of this many bits together. Fewer of them are random if the noise is small.
_BITS_COMPARED = 128
# With this many bits more than the pairs of draws need, a repeat by chance has a probability below 1e-9.
_SPARE_BITS = 30.0
# What draws that rounding made equal are counted by: the argument above is about moves that do not depend on the draw.
_OF_EQUAL_DRAWS = (Distinct.name, Neighbours.name, OwnRepeats.name)
# A network of several layers in half precision is off by several units of its last digit.
_LAYERS = 16.0

_UNITS = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
# The smallest positive numbers. What is smaller becomes 0.
_SMALLEST = {"float64": 2.0**-1074, "float32": 2.0**-149, "float16": 2.0**-24, "bfloat16": 2.0**-133}


@dataclass(frozen=True)
class Digits:
    """The effect that rounding may have had on some draws.

    Attributes:
        squared: D^2, the squared length of the move of all their noise, in standard deviations.
        numbers: how many numbers they hold.
        held: the coarsest format whose digits they need: ``float32`` for float64 numbers that were once rounded to float32.
        dtype: their dtype.
        places: the number of decimals to which they were rounded, or None.
    """

    squared: float = 0.0
    numbers: int = 0
    held: str = "float64"
    dtype: str = "float64"
    places: int | None = None

    def __add__(self, other: Digits) -> Digits:
        """Of two sets of draws together."""
        if not self.numbers:
            return other
        held = max(self.held, other.held, key=_UNITS.__getitem__)
        places = None if self.places is None or other.places is None else max(self.places, other.places)
        return Digits(self.squared + other.squared, self.numbers + other.numbers, held, other.dtype, places)

    @property
    def unit(self) -> float:
        """Half the distance of neighbouring numbers of size 1."""
        return _UNITS[self.held] if self.places is None else 0.5 * 10.0**-self.places

    @property
    def move(self) -> float:
        """D, the length of the move of all noise together, in standard deviations."""
        return math.sqrt(self.squared)

    @property
    def typical(self) -> float:
        """The root mean square move of one number, in standard deviations of its noise."""
        return math.sqrt(self.squared / self.numbers) if self.numbers else 0.0


NOTHING_KNOWN = Digits()
"""The digits of no draws, or of draws of a law without a scale."""


def digits_of(law: Law, sample: Array) -> Digits:
    """The digits of a sample that the law has accepted. Nothing is known if the law has neither a scale nor uniforms.

    >>> import exactness as ex
    >>> law = ex.GaussianMixture([1.0], [[1e8]], [1.0])
    >>> found = digits_of(law, law.sample(1_000, seed=0).astype(np.float32))
    >>> found.held, 10.0 < found.typical < 50.0
    ('float32', True)
    """
    if not isinstance(law, (Scaled, Transformed, Projected)):
        return NOTHING_KNOWN
    count = int(sample.shape[0])
    step = max(1, count // _LOOKED_AT)
    # JAX would compile the slice anew for every shape.
    rows = to_numpy(sample)[::step] if kind_of(sample) == "jax" else to_numpy(sample[::step])
    if rows.dtype.name not in _UNITS:
        return NOTHING_KNOWN
    held = _held(rows)
    wide = rows.astype(np.float64)
    places = _places(wide, _UNITS[held]) if law.atomless else None
    moves = _moves(law, wide, held, places)
    return Digits(float(moves.mean()) * count, count * math.prod(rows.shape[1:]), held, rows.dtype.name, places)


def _moves(law: Law, rows: np.ndarray, held: str, places: int | None) -> np.ndarray:
    """The squared length of the move of each draw's noise, if each number moves by a few roundings: (n, ...) -> (n,)."""
    share = _ROUNDINGS * _UNITS[held]
    with np.errstate(over="ignore"):
        sizes = share * np.abs(rows) if places is None else np.full_like(rows, _OF_DECIMALS * 10.0**-places)
        if isinstance(law, Scaled):
            return np.asarray(law.magnitudes(rows, sizes))
        uniforms = uniforms_of(law)
        moved = np.random.default_rng(0).choice([-1.0, 1.0], size=rows.shape)
        moved *= np.maximum(sizes, _ROUNDINGS * _SMALLEST[held])
        here, there = (normal_scores(np.asarray(uniforms(x))) for x in (rows, rows + moved))
        return np.square(there - here).reshape(len(rows), -1).sum(axis=1)


def too_few(findings: Sequence[Finding], plan: Plan, digits: Digits) -> str | None:
    """Why a refutation by these findings may be due to rounding alone. None if it is not."""
    if not digits.squared and digits.held == digits.dtype:
        return None
    refuting = [f for f in findings if f.adjusted_p <= plan.alpha]
    if not refuting or any(_stands(f, len(findings), plan, digits) for f in refuting):
        return None
    leading = refuting[0]
    return _said(digits, f"what the tests see ({leading.name}, {leading.where}: effect {leading.effect:+.3g} {leading.unit})")


def why_equal(law: Law, sample: Array, seen: str) -> str | None:
    """Why rounding alone may have made draws equal that should differ, as ``seen``. None if there are digits enough."""
    digits = digits_of(law, sample)
    return _said(digits, seen) if digits.typical > 1.0 else None


def _said(digits: Digits, seen: str) -> str:
    numbers = digits.dtype if digits.held == digits.dtype else f"{digits.dtype} numbers that have only the digits of {digits.held}"
    if digits.places is not None:
        numbers = f"{digits.dtype} numbers that were rounded to {digits.places} decimal{'s' if digits.places > 1 else ''}"
    remedy = {
        "float64": "shift or scale the law so that its states are not so large compared with its noise",
        "float32": "return float64, computed in float64",
    }.get(digits.held, "keep the states in float32 or float64, even if the network computes in half precision")
    if digits.places is not None:
        remedy = "return or save the draws with all the digits with which they were computed"
    return (
        f"too few digits to hold the noise: the draws are {numbers}, and rounding may move each number by about "
        f"{digits.typical:.2g} standard deviations of its noise, which alone could explain {seen}: {remedy}"
    )


def remark(findings: Sequence[Finding], plan: Plan) -> str | None:
    """A hint for a refutation that rounding may explain, of a deterministic step or by repeated draws. None otherwise."""
    leading = findings[0] if findings else None
    if any(f.test == Distinct.name and f.adjusted_p <= plan.alpha for f in findings):
        return (
            "draws that equal others bit by bit are copies, or were rounded to a few digits: draw each anew, and keep all the "
            "digits with which it was computed"
        )
    if leading is None or leading.adjusted_p > plan.alpha or leading.test != Equality.name:
        return None
    fitting = [name for name in ("float16", "bfloat16") if leading.statistic <= _LAYERS * _UNITS[name]]
    if not fitting:
        return None
    return (
        f"a deterministic step is off by {leading.statistic:.2g} of its size, as rounding in {' or '.join(fitting)} would do. If "
        "the network of the sampler computes in half precision, the law must be that of the same network: let predict(k, x) of the "
        "law call it in the same way and return its output in half precision, as it is (the judge then allows for its last digit). "
        "Otherwise the step is wrong"
    )


def _held(rows: np.ndarray) -> str:
    """The coarsest format that holds all of these numbers, bit by bit."""
    name = rows.dtype.name
    if rows.size < _ENOUGH_NUMBERS:
        return name
    with np.errstate(over="ignore"):
        single = rows.astype(np.float32)
        if not np.array_equal(single, rows):
            return name
        if not (np.ascontiguousarray(single).view(np.uint32) & 0xFFFF).any():
            return "bfloat16"
        return "float16" if np.array_equal(single.astype(np.float16), single) else "float32"


def _places(rows: np.ndarray, unit: float) -> int | None:
    """The least number of decimals that tells these numbers, of a format of this unit roundoff. None if it takes more than a few.

    Whole numbers are not taken for rounded ones.

    >>> _places(np.random.default_rng(0).normal(size=100).round(3), 2.0**-53), _places(np.arange(100.0), 2.0**-53)
    (3, None)
    """
    numbers = rows.ravel()
    if numbers.size < _ENOUGH_NUMBERS:
        return None
    largest = float(np.abs(numbers).max())
    for places in range(_PLACES + 1):
        # Most samples end here, at their first few numbers.
        for some in (numbers[:_ENOUGH_NUMBERS], numbers):
            fits = np.abs(some - some.round(places)) <= unit * np.abs(some)
            if not fits.all():
                break
        else:
            return places if places and unit * largest * _FINER < 10.0**-places else None
    return None


def _stands(finding: Finding, tests: int, plan: Plan, digits: Digits) -> bool:
    """Whether a refuting finding remains one, whatever rounding did."""
    if finding.test == Equality.name:
        # Its tolerance allows for rounding in the dtype of the draws.
        return finding.statistic > finding.parameters["tolerance"] * digits.unit / _UNITS[digits.dtype]
    if finding.test in _OF_EQUAL_DRAWS:
        return not _may_repeat(finding.n, digits)
    moved = float(ndtr(ndtri(max(finding.adjusted_p, _SMALLEST_P)) + digits.move))
    if moved <= plan.alpha:
        return True
    if finding.unit != TOLERATED or finding.effect != finding.statistic:
        return False
    # A move by m changes no probability by more than m times the peak of the density, and the values' mean move is at most the
    # root of the mean square.
    left = finding.statistic - _PEAK * digits.move / math.sqrt(finding.n)
    null = null_of(finding.test, finding.parameters)
    return left > 0.0 and null.p_over_rows(left, finding.n, finding.rows) <= plan.level(tests)


def _may_repeat(draws: int, digits: Digits) -> bool:
    """Whether rounding may make two of the draws equal: the random bits of the compared numbers do not tell all pairs apart."""
    if not digits.typical:
        return False
    # The spacing of the numbers is twice a unit roundoff of them.
    random = math.log2(max(1.0, _ROUNDINGS / (2.0 * digits.typical))) / -math.log2(2.0 * _UNITS[digits.dtype])
    return _BITS_COMPARED * random < 2.0 * math.log2(draws) + _SPARE_BITS
