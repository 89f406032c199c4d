"""How the vectors of a sequence depend on those before them, at every lag."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import fft

from ..nulls import SerialCorrelation
from ..nulls.serial import ROUNDING
from .base import Summary, Test

MOST_LAGS = 4096
# Shorter sequences are multiplied directly.
_SHORT = 12


class Serial(Summary):
    """Sums of inner products of vectors that are 1, 2, ... places apart in the same sequence, and of mirrored places.

    A batch consists of sequences, which are the calls of the sampler unless ``begin`` is told others. Each row holds vectors of
    independent N(0, 1), and may be added to in several parts. Rows may depend on each other. All lags are summed together by the
    fast Fourier transform. The last lag stands for the vectors at equal distances from the two ends of a sequence.

    Args:
        rows: the name of each row, which is put behind the lag.
        dims: the number of entries of a vector in each row.
        most: the largest lag.
        unit: what one place is, in words.
    """

    distribution = "independent N(0, 1)"
    constant = ("rows", "dims", "unit")

    def __init__(self, rows: Sequence[str], dims: Sequence[int], most: int = MOST_LAGS, unit: str = "lag {}") -> None:
        self.rows, self.dims, self.unit = tuple(rows), tuple(dims), unit
        self.calls: tuple[int, ...] | None = None
        self.products, self.norms = np.zeros((len(self.rows), most + 1)), np.zeros((len(self.rows), most + 1))
        # The number of pairs at each lag, and how much larger a common mean makes each product.
        self.pairs, self.shift = np.zeros(most + 1), np.zeros(most + 1)
        # The sum of all vectors of each row, times their weights, and the sum of the squared weights.
        self.totals, self.weight = np.zeros(sum(self.dims)), 0.0
        self._batch: _Sequences | None = None

    def open(self, calls: tuple[int, ...]) -> None:
        self.calls = calls

    def begin(self, lengths: Sequence[int] | None = None, weights: np.ndarray | None = None) -> None:
        """Begin a batch of sequences of these lengths. ``weights`` are proportional to the mean that a wrong sampler may have."""
        lengths = self.calls if lengths is None else lengths
        assert lengths is not None, "open a batch before it begins"
        self._batch = _Sequences(lengths, self.products.shape[1] - 1, len(self.rows))
        pairs, shift = self._batch.of_weights(weights)
        self.pairs += pairs
        self.shift += shift
        self.weight += float(self._batch.n if weights is None else weights @ weights)

    def add(self, row: int, vectors: np.ndarray, first: int = 0, weights: np.ndarray | None = None) -> None:
        """Add the entries from ``first`` on of all vectors of the batch, (n, m), to a row."""
        assert self._batch is not None, "begin a batch before adding to it"
        own = np.einsum("id->d", vectors) if weights is None else weights @ vectors
        start = sum(self.dims[:row]) + first
        self.totals[start : start + vectors.shape[1]] += own
        self._batch.add(row, vectors)

    def end(self) -> None:
        """Add the sums of the batch."""
        assert self._batch is not None, "begin a batch before ending it"
        for row in range(len(self.rows)):
            products, norms = self._batch.sums(row)
            self.products[row] += products
            self.norms[row] += norms
        self._batch = None

    def merge(self, other: Serial) -> None:
        self.products += other.products
        self.norms += other.norms
        self.pairs += other.pairs
        self.shift += other.shift
        self.totals += other.totals
        self.weight += other.weight

    def tests(self) -> list[Test]:
        """The most extreme lag of all rows.

        A mean that is not 0 makes all products larger. What it explains is taken off, so that a wrong mean is not called
        dependence. This moves the statistic towards 0 only, so the p-value stays valid.
        """
        if not self.pairs.any():
            return []
        best: tuple[float, int, int, float] | None = None
        seen = np.flatnonzero(self.pairs)
        totals = np.split(self.totals, np.cumsum(self.dims)[:-1])
        for row, dim in enumerate(self.dims):
            mean = max(0.0, float(totals[row] @ totals[row]) / self.weight**2 - dim / self.weight)
            products, norms = self.products[row, seen], self.norms[row, seen]
            products = np.where(products > 0.0, np.maximum(0.0, products - mean * self.shift[seen]), products)
            # Rounding of the transform may leave a little where all vectors are 0.
            r = np.clip(products / np.where(norms > 0.0, norms, np.inf), ROUNDING - 1.0, 1.0 - ROUNDING)
            log_p = 0.5 * self.pairs[seen] * dim * np.log1p(-r * r)
            i = int(log_p.argmin())
            if best is None or log_p[i] < best[0]:
                best = float(log_p[i]), row, int(seen[i]), float(r[i])
        assert best is not None
        _, row, lag, r = best
        where = "mirrored places" if lag == 0 else self.unit.format(lag)
        where += f", {self.rows[row]}" if self.rows[row] else ""
        n = round(self.pairs[lag] * self.dims[row])
        return [Test(SerialCorrelation(), where, r, n, len(seen) * len(self.rows), bounded=False)]


class _Sequences:
    """The sums over one batch, whose sequences are grouped by their length. Place 0 of the lags holds the mirrored places."""

    def __init__(self, lengths: Sequence[int], most: int, rows: int) -> None:
        self.most, self.n = most, int(sum(lengths))
        sizes, starts = np.asarray(lengths, dtype=np.int64), np.concatenate([[0], np.cumsum(lengths)])[:-1].astype(np.int64)
        self.groups = {int(m): starts[sizes == m] for m in np.unique(sizes) if m > 1}
        # Of each row and length: sums of products that are known already, power spectra, and sums of squares by place.
        self._direct = {(row, m): np.zeros(most + 1) for row in range(rows) for m in self.groups}
        self._power: dict[tuple[int, int], np.ndarray] = {}
        self._squares = {(row, m): np.zeros(m) for row in range(rows) for m in self.groups}

    def _of(self, m: int, vectors: np.ndarray) -> np.ndarray:
        """All sequences of length m, (count, m, d)."""
        starts = self.groups[m]
        if len(starts) == 1:
            return vectors[starts[0] : starts[0] + m][None]
        return vectors[(starts[:, None] + np.arange(m)).ravel()].reshape(len(starts), m, -1)

    def add(self, row: int, vectors: np.ndarray) -> None:
        for m in self.groups:
            v = self._of(m, vectors)
            known, lags = self._direct[row, m], min(m - 1, self.most)
            half = m // 2
            known[0] += float(np.einsum("cid,cid->", v[:, :half], v[:, : m - half - 1 : -1]))
            self._squares[row, m] += np.einsum("cid,cid->i", v, v)
            if m <= _SHORT:
                for lag in range(1, lags + 1):
                    known[lag] += float(np.einsum("cid,cid->", v[:, lag:], v[:, :-lag]))
                continue
            spectrum = fft.rfft(v, fft.next_fast_len(m + lags, real=True), axis=1)
            parts = spectrum.view(spectrum.real.dtype)
            self._power[row, m] = self._power.get((row, m), 0.0) + np.einsum("cid,cid->i", parts, parts).astype(np.float64)

    def sums(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """The sums of products, and half the sums of the squares of both factors, at each lag."""
        products, norms = np.zeros(self.most + 1), np.zeros(self.most + 1)
        for m in self.groups:
            products += self._direct[row, m]
            lags = min(m - 1, self.most)
            if (row, m) in self._power:
                length = fft.next_fast_len(m + lags, real=True)
                products[1 : lags + 1] += fft.irfft(self._power[row, m], length)[1 : lags + 1]
            norms += _both_ends(self._squares[row, m], self.most)
        return products, norms

    def of_weights(self, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """The number of pairs at each lag, and the sum of the products of their weights."""
        pairs, shift = np.zeros(self.most + 1), np.zeros(self.most + 1)
        for m, starts in self.groups.items():
            lags = min(m - 1, self.most)
            here = np.zeros(self.most + 1)
            here[0], here[1 : lags + 1] = m // 2, m - np.arange(1, lags + 1)
            pairs += len(starts) * here
            if weights is None:
                shift += len(starts) * here
            else:
                w = self._of(m, weights[:, None])[:, :, 0]
                shift[0] += float((w[:, : m // 2] * w[:, ::-1][:, : m // 2]).sum())
                for lag in range(1, lags + 1):
                    shift[lag] += float((w[:, lag:] * w[:, :-lag]).sum())
        return pairs, shift


def _both_ends(squares: np.ndarray, most: int) -> np.ndarray:
    """Half the sum of the squares of both members of every pair at each lag, from the squares at each place, (m,)."""
    m = len(squares)
    lags, found = min(m - 1, most), np.zeros(most + 1)
    first = np.cumsum(squares)
    total = first[-1]
    places = np.arange(1, lags + 1)
    found[1 : lags + 1] = 0.5 * (first[m - 1 - places] + total - first[places - 1])
    found[0] = 0.5 * (total - (squares[m // 2] if m % 2 else 0.0))
    return found
