"""Watches a serving engine token by token, for its whole lifetime, in constant memory."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from .errors import BadInput

FORMAT = "exactness-monitor/1"

# What part of its wealth a bet risks on each token.
_RISKS = 0.5 ** np.arange(1, 8)
_BETS = ("the draft's law", "the residual without weights", "what draft and target have in common")
_FIELDS = ("log_p", "log_q", "supported", "overlap")


class Monitor:
    """Bets against the claim that an engine's tokens follow the target, and raises an alarm when the bets win too much.

    Tell it about every emitted token, or about a part of them that is chosen before they are drawn. Each token multiplies the
    wealth of a bet by a number whose mean is 1 if the token was drawn from the target. So the wealth reaches 1/alpha, at any time
    in the engine's life, with probability at most alpha (Ville 1939). A part 1/(t (t + 1)) of the wealth is kept in hand until
    token t and put on the table there. So an error that begins late is seen nearly as soon as one that was there from the start:
    it costs only log t more (Shin, Ramdas and Rinaldo, E-detectors, 2023, use the same idea).

    Args:
        alpha: the probability of a false alarm over the whole lifetime.
        slack: the relative error of the probabilities that the monitor is told. Every bet is made at odds that are worse by this,
            so that rounding, added up over a billion tokens, raises no alarm. Errors of the engine below it are not seen. 1e-5
            suits single precision; take 0.01 for half precision.

    Attributes:
        tokens: how many tokens it was told about.
        alarm: the number of the token at which the alarm was raised, counted from 1, or None. It stays raised.
        reason: the bet that raised the alarm, in words.

    >>> import numpy as np
    >>> monitor = Monitor(alpha=1e-6)
    >>> p, q = np.array([0.6, 0.3, 0.1]), np.array([0.3, 0.3, 0.4])
    >>> for token in np.random.default_rng(0).choice(3, p=q, size=1_000):  # The engine emits drafts without verifying them.
    ...     raised = monitor.add(np.log(p[token]), np.log(q[token]), overlap=np.minimum(p, q).sum())
    >>> monitor.alarm < 100, monitor.reason
    (True, "tokens come too often from the draft's law")
    """

    alarm: int | None
    reason: str

    def __init__(self, alpha: float = 1e-6, *, slack: float = 1e-5) -> None:
        if isinstance(alpha, bool) or not isinstance(alpha, Real) or not 1e-100 < alpha < 1.0:
            raise BadInput(f"alpha must lie strictly between 0 and 1, not {alpha!r}")
        if isinstance(slack, bool) or not isinstance(slack, Real) or not 0.0 <= slack < 1.0:
            raise BadInput(f"slack must be at least 0 and below 1, not {slack!r}")
        self.alpha: float = float(alpha)
        self.slack: float = float(slack)
        self.tokens: int = 0
        self.alarm, self.reason = None, ""
        # The logarithm of what each bet has on the table.
        self._table: np.ndarray = np.full((len(_BETS), len(_RISKS)), -np.inf)

    @property
    def log_wealth(self) -> float:
        """The logarithm of the wealth of all bets together, with what is still in hand. It starts at 0."""
        on_table = np.logaddexp.reduce(self._table.ravel()) - math.log(self._table.size)
        return float(np.logaddexp(on_table, -math.log(self.tokens + 1)))

    @property
    def log_wealths(self) -> dict[str, float]:
        """The logarithm of the wealth of each bet, with what is still in hand, by what it bets on."""
        on_table = np.logaddexp.reduce(self._table, axis=1) - math.log(len(_RISKS))
        return {name: float(np.logaddexp(value, -math.log(self.tokens + 1))) for name, value in zip(_BETS, on_table, strict=True)}

    @property
    def p_value(self) -> float:
        """The wealth as a p-value that is valid now. The alarm looks at every moment, and this does not have to."""
        return min(1.0, math.exp(-max(0.0, self.log_wealth)))

    def add(self, log_p: float, log_q: float | None = None, supported: bool = True, overlap: float | None = None) -> bool:
        """Tell the monitor about one emitted token, and return whether the alarm is raised.

        Args:
            log_p: the target's log-probability of the token, after all filters. -inf raises the alarm at once.
            log_q: the draft's, if there was a draft: the law that the draft was really drawn from. -inf is allowed.
            supported: whether the target's filters allow the token at all. False raises the alarm at once.
            overlap: sum_x min(p(x), q(x)), which a verifier has at hand. With it two more bets can be made: they see wrong
                residuals and wrong acceptance.

        Raises:
            BadInput: if a number is NaN or no log-probability. The token is then not counted.
        """
        if not isinstance(supported, (bool, np.bool_)):
            raise BadInput(f"supported must be True or False, not {supported!r:.40}")
        if not supported or (isinstance(log_p, Real) and log_p == -math.inf):
            self.tokens += 1
            self._raise("a token was emitted that the target never draws")
            return True
        for name, value in (("log_p", log_p), ("log_q", log_q)):
            if (value is not None or name == "log_p") and not _is_number(value, most=1e-6):
                raise BadInput(f"{name} must be a log-probability, a number of at most 0, not {value!r:.40}")
        if overlap is not None and not _is_number(overlap, 0.0, 1.0 + 1e-6):
            raise BadInput(f"overlap must lie between 0 and 1, not {overlap!r}")
        self.tokens += 1
        table = np.logaddexp(self._table, -math.log(self.tokens) - math.log1p(self.tokens))
        for bet, odds in enumerate(_odds(float(log_p), log_q, overlap)):
            if odds is not None:
                table[bet] += np.log1p(_RISKS * (odds * (1.0 - self.slack) - 1.0))
        self._table = table
        if self.log_wealth >= -math.log(self.alpha):
            self._raise(f"tokens come too often from {_BETS[int(table.max(axis=1).argmax())]}")
        return self.alarm is not None

    def add_all(self, records: Iterable[Mapping[str, Any]]) -> bool:
        """Tell the monitor about many tokens. Each record holds the arguments of :meth:`add`; other entries are ignored.

        Raises ``BadInput`` with the number of the record that cannot be used. The records before it are kept.
        """
        for number, record in enumerate(records, 1):
            try:
                if not isinstance(record, Mapping) or "log_p" not in record:
                    raise BadInput("it needs an entry log_p, the target's log-probability of the token")
                self.add(**{name: _number(record[name]) for name in _FIELDS if name in record})
            except BadInput as error:
                raise BadInput(f"record {number}: {error}") from None
        return self.alarm is not None

    def metrics(self) -> str:
        """The state in the text format that Prometheus scrapes.

        >>> print(Monitor().metrics().splitlines()[2])
        exactness_tokens_total 0
        """
        rows = (
            ("tokens_total", "counter", "Tokens that the monitor was told about.", str(self.tokens)),
            ("log_wealth", "gauge", "Logarithm of the wealth of the bets against the engine.", f"{self.log_wealth:.6g}"),
            ("log_wealth_limit", "gauge", "The alarm is raised at this log_wealth.", f"{-math.log(self.alpha):.6g}"),
            ("alarm", "gauge", "1 after the engine was found to depart from the target.", str(int(self.alarm is not None))),
        )
        lines = [
            (f"# HELP exactness_{n} {text}", f"# TYPE exactness_{n} {kind}", f"exactness_{n} {v}") for n, kind, text, v in rows
        ]
        return "\n".join(line for three in lines for line in three) + "\n"

    def state(self) -> dict[str, Any]:
        """What :meth:`of_state` makes the monitor from again, as JSON types."""
        return {
            "format": FORMAT, "alpha": self.alpha, "slack": self.slack, "tokens": self.tokens, "alarm": self.alarm,
            "reason": self.reason,
            "table": [[value if math.isfinite(value) else None for value in row] for row in self._table.tolist()],
        }  # fmt: skip

    @classmethod
    def of_state(cls, state: Any, name: str = "this") -> Monitor:
        """The monitor of a :meth:`state`. Other entries are ignored. Raises ``BadInput``, which begins with the name.

        >>> monitor = Monitor()
        >>> raised = monitor.add(-0.5)
        >>> Monitor.of_state(monitor.state()).tokens
        1
        """
        try:
            found = cls(state["alpha"], slack=state["slack"])
            table = np.array([[-np.inf if value is None else value for value in row] for row in state["table"]], dtype=float)
            if state["format"] != FORMAT or table.shape != found._table.shape or np.isnan(table).any():
                raise ValueError("it has another form")
            alarm = state["alarm"]
            found.tokens, found.alarm, found.reason, found._table = (
                int(state["tokens"]), None if alarm is None else int(alarm), str(state["reason"]), table,
            )  # fmt: skip
        except (BadInput, KeyError, TypeError, ValueError, OverflowError) as error:
            raise BadInput(f"{name} is not the state of a monitor: {error}") from None
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state, so that a restarted engine goes on where this one stopped. A kill leaves the old state."""
        write_whole(path, msgspec.json.encode(self.state()))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Monitor:
        """Read a state that ``save`` wrote. Raises ``BadInput`` if the file is missing or is no such state."""
        try:
            state = msgspec.json.decode(Path(path).read_bytes())
        except OSError as error:
            raise BadInput(f"cannot read {path}: {error.strerror}") from None
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise BadInput(f"{path} is not the state of a monitor: {error}") from None
        return cls.of_state(state, str(path))

    def _raise(self, reason: str) -> None:
        if self.alarm is None:
            self.alarm, self.reason = self.tokens, reason


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that a reader, or a kill, finds the old contents or the new ones and never a part."""
    target = Path(path)
    partial = target.with_name(target.name + ".part")
    partial.write_bytes(data)
    os.replace(partial, target)


def _odds(log_p: float, log_q: float | None, overlap: float | None) -> list[float | None]:
    """a(x)/p(x) for the law a of each bet. Its mean under p is at most 1. None if the bet cannot be made."""
    if log_q is None:
        return [None, None, None]
    ratio = math.exp(min(700.0, log_q - log_p))
    residual = max(0.0, 1.0 - ratio) / (1.0 - overlap) if overlap is not None and overlap < 1.0 - 1e-9 else None
    common = min(1.0, ratio) / overlap if overlap is not None and overlap > 1e-9 else None
    return [ratio, residual, common]


def _is_number(value: Any, least: float = -math.inf, most: float = math.inf) -> bool:
    """Whether a value is a number between these, and double precision can hold it."""
    number = isinstance(value, Real) and not isinstance(value, bool) and not (isinstance(value, int) and abs(value) >= 1 << 1023)
    return bool(number and least <= value <= most)


def _number(value: Any) -> Any:
    """A number from JSON, where minus infinity is written as text, or as Python does."""
    if value in ("-Infinity", "-inf"):
        return -math.inf
    return value
