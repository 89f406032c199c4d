"""The canonical form of JSON (RFC 8785), over which digests are computed. It is the same text in every language.

Signers decode a certificate and write it again, with keys in another order and numbers in another form. Its digest must survive.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from typing import Any


def canonical(value: Any) -> bytes:
    """A JSON value in canonical form: without white space, keys sorted, each number written as ECMAScript writes the double.

    An integer beyond 2^53 counts as the nearest double, as for every reader that follows the RFC. Raises ``ValueError`` or
    ``TypeError`` for what is not JSON, infinite numbers included.
    Source: A. Rundgren, B. Jordan and S. Erdtman, JSON Canonicalization Scheme, RFC 8785, 2020.

    >>> canonical({"b": 1e-7, "a": [1, 1.0, None, "\\u00e4"]}).decode()
    '{"a":[1,1,null,"ä"],"b":1e-7}'
    """
    return "".join(_pieces(value)).encode()


def digest(value: Any) -> str:
    """The SHA-256 of the canonical form, in hexadecimal digits.

    >>> digest([1.0, {"b": 2, "a": 3}]) == digest([1, {"a": 3, "b": 2}])
    True
    """
    return hashlib.sha256(canonical(value)).hexdigest()


def _pieces(value: Any) -> Iterator[str]:
    if value is None or isinstance(value, (bool, str)):
        yield json.dumps(value, ensure_ascii=False)
    elif isinstance(value, (int, float)):
        yield _number(float(value))
    elif isinstance(value, list):
        before = "["
        for one in value:
            yield before
            yield from _pieces(one)
            before = ","
        yield "]" if value else "[]"
    elif isinstance(value, dict):
        before = "{"
        # Keys are sorted by their UTF-16 code units.
        for key in sorted(value, key=lambda key: key.encode("utf-16-be")):
            yield f"{before}{json.dumps(key, ensure_ascii=False)}:"
            yield from _pieces(value[key])
            before = ","
        yield "}" if value else "{}"
    else:
        raise TypeError(f"{type(value).__name__} is not of JSON")


def _number(x: float) -> str:
    """A double as ECMAScript writes it (Number::toString): the fewest digits that give it back, which Python's ``repr`` finds."""
    if not math.isfinite(x):
        raise ValueError("JSON has no infinite numbers")
    if x == 0.0:
        return "0"
    mantissa, _, exponent = repr(abs(x)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    # x = 0.digits * 10^point
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    sign, count = "-" if x < 0.0 else "", len(digits)
    if count <= point <= 21:
        return f"{sign}{digits}{'0' * (point - count)}"
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if count > 1 else ""
    return f"{sign}{digits[0]}{rest}e{'+' if point > 0 else '-'}{abs(point - 1)}"
