"""Multivariate families with known conditional distribution functions. Draws are flattened: a (p, p) matrix has p^2 entries.

Each follows from the standard construction of its family, named in its docstring, read backwards.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from ..errors import BadInput
from .quadrature import Quadrature
from .rosenblatt import RosenblattLaw

# Sums and norms of draws in single precision are off by a few units in the last place.
_ROUNDING = 1e-5


def dirichlet(concentration: np.ndarray, name: str = "Dirichlet") -> RosenblattLaw:
    """Positive numbers (k,) whose sum is 1. Breaking a stick: x_i / (x_i + ... + x_k) is beta distributed, independently.

    >>> dirichlet(np.ones(3)).rosenblatt(np.array([[1/3, 1/3, 1/3]])).round(3)
    array([[0.556, 0.5  ]])
    """
    a = np.asarray(concentration, dtype=np.float64)
    later = np.cumsum(a[::-1])[::-1]

    def rosenblatt(x: np.ndarray) -> np.ndarray:
        left = np.cumsum(x[:, ::-1], axis=1)[:, ::-1]
        share = np.where(left > 0.0, x / np.where(left > 0.0, left, 1.0), 0.0)
        return special.betainc(a[:-1], later[1:], np.clip(share[:, :-1], 0.0, 1.0))

    def inside(x: np.ndarray) -> np.ndarray:
        return (x >= 0.0).all(axis=1) & (np.abs(x.sum(axis=1) - 1.0) < _ROUNDING)

    facts: dict[str, object] = {"concentration": a.tolist()}
    return RosenblattLaw(rosenblatt, shape=len(a), dim=len(a) - 1, inside=inside, varying=range(len(a)), name=name, facts=facts)


def concrete(logits: np.ndarray, temperature: float, name: str = "RelaxedOneHotCategorical") -> RosenblattLaw:
    """softmax((logits + Gumbel noise) / temperature): exp(logits) x^-temperature, scaled to the sum 1, is uniform on the simplex.

    Source: Maddison, Mnih and Teh, The concrete distribution, 2017.
    """
    flat = dirichlet(np.ones(len(logits)))

    def rosenblatt(x: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return flat.rosenblatt(special.softmax(logits - temperature * np.log(x), axis=1))

    facts: dict[str, object] = {"logits": np.asarray(logits).tolist(), "temperature": float(temperature)}
    inside: Callable = lambda x: (x > 0.0).all(axis=1) & (np.abs(x.sum(axis=1) - 1.0) < _ROUNDING)  # noqa: E731
    return RosenblattLaw(
        rosenblatt, shape=len(logits), dim=len(logits) - 1, inside=inside, varying=range(len(logits)), name=name, facts=facts
    )


def student(df: float, loc: np.ndarray, scale_tril: np.ndarray, name: str = "multivariate t") -> RosenblattLaw:
    """loc + L z, with z spherical: given z_1..z_i, z_{i+1} is a t with df + i degrees of freedom, scaled.

    Source: Ding, On the conditional distribution of the multivariate t distribution, 2016.
    """
    freedom = df + np.arange(len(loc))

    def rosenblatt(x: np.ndarray) -> np.ndarray:
        z = np.linalg.solve(scale_tril, (x - loc).T).T
        before = np.cumsum(z * z, axis=1) - z * z
        return special.stdtr(freedom, z * np.sqrt(freedom / (df + before)))

    facts: dict[str, object] = {"df": float(df), "loc": loc.tolist(), "scale_tril": scale_tril.tolist()}
    return RosenblattLaw(rosenblatt, shape=len(loc), name=name, facts=facts)


def wishart(df: float, scale: np.ndarray, *, inverse: bool = False, root: bool = False, name: str = "Wishart") -> RosenblattLaw:
    """Positive definite matrices (p, p). With C the Cholesky factor of the draw and L that of the scale, L^-1 C has independent
    normal entries below the diagonal, and chi-distributed ones on it.

    Args:
        inverse: whether the draws are inverse Wishart matrices with this scale: their inverses have the inverse scale.
        root: whether the draws are the Cholesky factors of the matrices.

    Source: Bartlett, On the theory of statistical regression, 1933.
    """
    p = len(scale)
    lower = np.linalg.cholesky(np.linalg.inv(scale) if inverse else scale)
    rows, columns = np.tril_indices(p, -1)
    degrees = df - np.arange(p)

    def factors(x: np.ndarray) -> np.ndarray:
        x = x.reshape(-1, p, p)
        if inverse:
            x = np.linalg.inv(x @ x.swapaxes(1, 2) if root else x)
        return x if root and not inverse else np.linalg.cholesky(0.5 * (x + x.swapaxes(1, 2)))

    def rosenblatt(x: np.ndarray) -> np.ndarray:
        a = np.linalg.solve(lower, factors(x))
        diagonal = np.diagonal(a, axis1=1, axis2=2)
        return np.concatenate([special.gammainc(0.5 * degrees, 0.5 * diagonal**2), special.ndtr(a[:, rows, columns])], axis=1)

    inside = _lower_triangular(p) if root else _positive_definite(p)
    facts: dict[str, object] = {"df": float(df), "scale": np.asarray(scale).tolist(), "inverse": inverse, "root": root}
    return RosenblattLaw(rosenblatt, shape=p * p, dim=p * (p + 1) // 2, inside=inside, varying=_below(p, 0), name=name, facts=facts)


def lkj(dim: int, concentration: float, *, root: bool = False, name: str = "LKJ") -> RosenblattLaw:
    """Correlation matrices (p, p) with density proportional to det^(concentration - 1), or their Cholesky factors. The partial
    correlations of the factor's rows are independent beta variables on (-1, 1).

    Source: Lewandowski, Kurowicka and Joe, Generating random correlation matrices, 2009, the C-vine.
    """
    rows, columns = np.tril_indices(dim, -1)
    shape = concentration + 0.5 * (dim - 2 - columns)

    def rosenblatt(x: np.ndarray) -> np.ndarray:
        x = x.reshape(-1, dim, dim)
        factor = x if root else np.linalg.cholesky(0.5 * (x + x.swapaxes(1, 2)))
        # What is left of a row's unit length; summed from the end, for its digits.
        tail = np.cumsum((factor**2)[:, :, ::-1], axis=2)[:, :, ::-1]
        partial = factor[:, rows, columns] / np.sqrt(tail[:, rows, columns])
        return special.betainc(shape, shape, np.clip(0.5 * (1.0 + partial), 0.0, 1.0))

    definite = _lower_triangular(dim) if root else _positive_definite(dim)

    def inside(x: np.ndarray) -> np.ndarray:
        m = x.reshape(-1, dim, dim)
        lengths = (m * m).sum(axis=2) if root else np.diagonal(m, axis1=1, axis2=2)
        return definite(x) & (np.abs(lengths - 1.0) < _ROUNDING).all(axis=1)

    facts: dict[str, object] = {"dim": dim, "concentration": float(concentration), "root": root}
    return RosenblattLaw(rosenblatt, shape=dim * dim, dim=len(rows), inside=inside, varying=_below(dim, -1), name=name, facts=facts)


def gaussian_copula(marginals: list[Callable[[np.ndarray], np.ndarray]], root: np.ndarray, name: str, facts: dict) -> RosenblattLaw:
    """Coordinates with given distribution functions whose normal scores are N(0, root root^T), (d,)."""

    def rosenblatt(x: np.ndarray) -> np.ndarray:
        u = np.stack([cdf(x[:, i]) for i, cdf in enumerate(marginals)], axis=1)
        scores = special.ndtri(np.clip(u, 1e-16, 1.0 - 1e-16))
        return special.ndtr(np.linalg.solve(root, scores.T).T)

    return RosenblattLaw(rosenblatt, shape=len(marginals), name=name, facts={"root": root.tolist(), **facts})


def singular_normal(basis: np.ndarray, scale: float, name: str) -> RosenblattLaw:
    """Normal draws (d,) with variance scale^2 on the space that the orthonormal columns of ``basis`` (d, m) span."""

    def inside(x: np.ndarray) -> np.ndarray:
        off = x - x @ basis @ basis.T
        return np.abs(off).max(axis=1) < _ROUNDING * (scale + np.abs(x).max(axis=1)) * len(basis)

    facts: dict[str, object] = {"scale": float(scale), "rank": basis.shape[1]}
    return RosenblattLaw(
        lambda x: special.ndtr(x @ basis / scale),
        shape=len(basis),
        dim=basis.shape[1],
        inside=inside,
        varying=range(len(basis)),
        name=name,
        facts=facts,
    )


def rotational(axis: np.ndarray, log_density: Callable[[np.ndarray], np.ndarray] | None, name: str, facts: dict) -> RosenblattLaw:
    """Unit vectors (d,) whose law is symmetric under rotations about an axis.

    Args:
        axis: the axis (d,); its length does not matter.
        log_density: the log-density with respect to the uniform law, as a function of the cosine with the axis, (n,) -> (n,). None
            for the uniform law itself.

    The cosine t has the density exp(log_density(t)) (1 - t^2)^((d - 3)/2). The rest of the vector, scaled to unit length, is
    uniform on a sphere of one dimension less, whose coordinates are beta distributed. Source: Mardia and Jupp, Directional
    Statistics, 2000, section 9.3.
    """
    d = len(axis)
    frame = _frame(axis)
    cosine = None
    if log_density is not None:
        # In the angle, the density has no poles.
        quadrature = Quadrature(lambda a: log_density(np.cos(a)) + (d - 2) * np.log(np.sin(a)), (0.0, np.pi), (), name)
        if quadrature.error > 1e-9:
            raise BadInput(f"the law of the angle of {name} is known only to {quadrature.error:.2g}")
        cosine = quadrature.cdf

    def rosenblatt(x: np.ndarray) -> np.ndarray:
        y = x @ frame
        u = sphere_uniforms(y)
        if cosine is not None:
            rest = np.linalg.norm(y[:, 1:], axis=1)
            u[:, 0] = 1.0 - cosine(np.arctan2(rest, y[:, 0]))
        return u

    inside: Callable = lambda x: np.abs(np.linalg.norm(x, axis=1) - 1.0) < _ROUNDING  # noqa: E731
    return RosenblattLaw(
        rosenblatt, shape=d, dim=d - 1, inside=inside, varying=range(d), name=name, facts={"axis": axis.tolist(), **facts}
    )


def projected_normal(concentration: np.ndarray, name: str = "ProjectedNormal") -> RosenblattLaw:
    """The direction of a normal vector (d,) with this mean and unit variances.

    The length r is integrated out: of r^(d-1) exp(-r^2/2 + |mean| t r), a parabolic cylinder function of the cosine t.
    """
    size, d = float(np.linalg.norm(concentration)), len(concentration)

    def log_density(t: np.ndarray) -> np.ndarray:
        return 0.25 * (size * t) ** 2 + np.log(special.pbdv(-float(d), -size * t)[0])

    axis = concentration if size else np.eye(d)[0]
    return rotational(axis, log_density if size else None, name, {"concentration": np.asarray(concentration).tolist()})


def orthogonal(dim: int, *, proper: bool = False, name: str = "orthogonal") -> RosenblattLaw:
    """Orthogonal matrices (p, p) with the invariant law. Each column is uniform on what is orthogonal to the earlier ones.

    Args:
        proper: whether the determinant is 1; the last column then follows from the others.

    Source: Stewart, The efficient generation of random orthogonal matrices, 1980.
    """

    def rosenblatt(x: np.ndarray) -> np.ndarray:
        m, parts = x.reshape(-1, dim, dim), []
        for _ in range(dim - 1):
            column = m[:, :, 0]
            parts.append(sphere_uniforms(column))
            # A reflection that takes the column to the first axis; what remains of the others is orthogonal of one dimension less.
            v = column.copy()
            sign = np.where(v[:, 0] >= 0.0, 1.0, -1.0)
            v[:, 0] += sign
            v /= np.linalg.norm(v, axis=1, keepdims=True)
            m = m - 2.0 * v[:, :, None] * (v[:, None, :] @ m)
            m = m[:, 1:, 1:]
        if not proper:
            # The last entry is a fair sign. An even number of uniforms cannot show it; the first uniform hides it.
            parts[0] = parts[0].copy()
            parts[0][:, 0] = 0.5 * (parts[0][:, 0] + (m[:, 0, 0] > 0.0))
        return np.concatenate(parts, axis=1)

    def inside(x: np.ndarray) -> np.ndarray:
        m = x.reshape(-1, dim, dim)
        good = np.abs(m.swapaxes(1, 2) @ m - np.eye(dim)).max(axis=(1, 2)) < _ROUNDING
        return good & (np.linalg.det(m) > 0.0) if proper else good

    return RosenblattLaw(
        rosenblatt,
        shape=dim * dim,
        dim=dim * (dim - 1) // 2,
        inside=inside,
        varying=range(dim * dim),
        name=name,
        facts={"dim": dim},
    )


def sphere_uniforms(x: np.ndarray) -> np.ndarray:
    """The d - 1 uniforms of unit vectors (n, d) that are uniform on the sphere. The last one is the angle of the last two entries.

    Given the earlier coordinates, x_i divided by what they leave of the unit length has a beta law on (-1, 1).
    """
    d = x.shape[1]
    left = np.sqrt(np.cumsum((x * x)[:, ::-1], axis=1)[:, ::-1])
    shares = np.clip(x[:, : d - 2] / np.where(left > 0.0, left, 1.0)[:, : d - 2], -1.0, 1.0)
    shape = 0.5 * (d - 1 - np.arange(d - 2))
    angle = np.arctan2(x[:, -1], x[:, -2]) / (2.0 * np.pi) % 1.0
    return np.concatenate([special.betainc(shape, shape, 0.5 * (1.0 + shares)), angle[:, None]], axis=1)


def pair_of_angles(
    first: Callable[[np.ndarray], np.ndarray], direction: Callable, concentration: Callable, name: str, facts: dict
) -> RosenblattLaw:
    """Angles (2,) in (-pi, pi): the first with a log-density, the second von Mises given the first.

    Args:
        first: the log-density of the first angle, up to a constant.
        direction, concentration: the mean direction and the concentration of the second angle, as functions of the first.
    """
    from scipy import stats

    quadrature = Quadrature(first, (-np.pi, np.pi), (), name)

    def rosenblatt(x: np.ndarray) -> np.ndarray:
        loc, kappa = direction(x[:, 0]), concentration(x[:, 0])
        second = stats.vonmises.cdf(x[:, 1] - loc, kappa) - stats.vonmises.cdf(-np.pi - loc, kappa)
        return np.stack([quadrature.cdf(x[:, 0]), second], axis=1)

    inside: Callable = lambda x: (np.abs(x) <= np.pi + _ROUNDING).all(axis=1)  # noqa: E731
    return RosenblattLaw(rosenblatt, shape=2, inside=inside, name=name, facts=facts)


def _frame(axis: np.ndarray) -> np.ndarray:
    """An orthogonal matrix whose first column is the direction of an axis."""
    unit = axis / np.linalg.norm(axis)
    q, r = np.linalg.qr(np.column_stack([unit, np.eye(len(axis))[:, : len(axis)]]))
    return q * np.where(np.arange(len(axis)) == 0, np.sign(r[0, 0]), 1.0)


def _below(p: int, offset: int) -> np.ndarray:
    """The places of a flattened (p, p) matrix on and below a diagonal."""
    rows, columns = np.tril_indices(p, offset)
    return rows * p + columns


def _positive_definite(p: int) -> Callable[[np.ndarray], np.ndarray]:
    def inside(x: np.ndarray) -> np.ndarray:
        m = x.reshape(-1, p, p)
        size = np.abs(m).max(axis=(1, 2))
        symmetric = np.abs(m - m.swapaxes(1, 2)).max(axis=(1, 2)) <= _ROUNDING * size
        return symmetric & (np.linalg.eigvalsh(m)[:, 0] > 0.0)

    return inside


def _lower_triangular(p: int) -> Callable[[np.ndarray], np.ndarray]:
    above = np.triu_indices(p, 1)

    def inside(x: np.ndarray) -> np.ndarray:
        m = x.reshape(-1, p, p)
        empty = np.abs(m[:, above[0], above[1]]).max(axis=1, initial=0.0) <= _ROUNDING * np.abs(m).max(axis=(1, 2))
        return empty & (np.diagonal(m, axis1=1, axis2=2) > 0.0).all(axis=1)

    return inside
