"""Claims about a single function of a speculative sampler: the coupling of a step, or the verification of a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np

from ..arrays import Array, is_array, to_numpy
from ..claim import Claim
from ..errors import BadInput, InvalidSample
from ..laws import GaussianCoupling, VerifiedWindow
from ..laws.couplings import Kind
from ..laws.windows import Mode
from .emissions import coordinate_transforms, token_transforms
from .libraries import needs

Arrays = Literal["numpy", "torch", "jax"]
Drafts = Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]
"""``drafts(n, generator)`` -> log-ratios (n, L), and what the masses of residuals follow from (n, ...), both numpy."""

Emits = Literal["coordinates", "tokens"]

# The distances of the windows that are drafted here: from nearly right to nearly always rejected.
_NEAR, _FAR = 0.05, 3.0
# The number of windows that show whether a verifier uses its uniforms. Some of them are rejected by chance, whatever the drafts.
_ASKED = 1_000


def from_verifier(
    verify: Callable[..., Any],
    *,
    length: int = 6,
    mode: Mode = "token",
    drafts: Drafts | None = None,
    emits: Emits | None = None,
    arrays: Arrays = "numpy",
    name: str = "verifier",
) -> Claim:
    """Claim that a verification function keeps the right number of drafts, and emits the right thing after them.

    The windows are drafted here, and the function verifies them.

    Args:
        verify: ``verify(log_ratios, deltas, uniforms)``, three arrays (n, L). It returns tau (n,), the number of drafts kept, or
            a tuple whose first entry is tau. ``log_ratios`` are log p/q at each draft, and ``deltas`` are the distances of the
            means in units of sigma, from which the masses of Gaussian residuals follow. Verification token by token does not
            need them.
        length, mode: the length L of a window and the kind of verification; see :class:`exactness.laws.VerifiedWindow`.
        drafts: another source of windows, a function ``drafts(n, generator)``. It returns two arrays with one row per window: the
            log-ratios (n, L), and what ``verify`` takes for ``deltas``. For tokens these are the laws of target and draft at each
            position, from which the masses are sums. They must not depend on later drafts.
        emits: what else ``verify`` returns, if it does: a tuple of tau (n,) and what it emits after the kept drafts, (n,). It then
            takes a fourth argument, n fresh uniforms for that. Without ``emits``, only the number of kept drafts is judged, and the
            certificate says so.

            * ``"coordinates"``: the coordinate s of the state emitted at step tau + 1, along the line from the target's mean to the
              draft's, counted from the target's mean in units of sigma (log p/q = delta^2/2 - delta s). What is emitted after a
              full window is not judged.
            * ``"tokens"``: the number of the token, an integer. ``drafts`` then returns the laws as an array (n, L, 2, V), the
              target's before the draft's; with an (L + 1)-th position, the token after a full window is judged too.
        arrays: the kind of array that ``verify`` takes, in double precision wherever the backend has it.
        name: the name of the claim.

    The uniforms alone must decide. If other uniforms never change tau, or the same uniforms give two answers, the sampler raises
    ``BadInput`` and its certificate is ``INVALID``.

    >>> import exactness as ex
    >>> def verify(log_ratios, deltas, uniforms):
    ...     return np.cumprod(uniforms < np.exp(log_ratios), axis=1).sum(1)
    >>> claim = from_verifier(verify, length=4, mode="token")
    >>> ex.certify(claim.sample, claim.law, plan=ex.Plan(tolerance=0.1)).verdict.value
    'certified'
    """
    if not callable(verify):
        raise BadInput(f"verify must be a function (log_ratios, deltas, uniforms) -> tau; got {type(verify).__name__}")
    if emits not in (None, *get_args(Emits)):
        raise BadInput(f"emits must be {', '.join(get_args(Emits))} or None, not {emits!r}")
    if emits == "tokens" and drafts is None:
        raise BadInput("tokens need drafts of their own: pass drafts(n, generator) -> log-ratios (n, L) and laws (n, L, 2, V)")
    law = VerifiedWindow(length, mode, emits is not None)
    source, convert, listens = drafts or _windows(length), _converter(arrays), False

    def kept(ratios: np.ndarray, deltas: np.ndarray, uniforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """tau and what is emitted, if it is."""
        fresh = (uniforms[:, length],) if emits else ()
        result = verify(*(convert(values) for values in (ratios, deltas, uniforms[:, :length], *fresh)))
        if emits and not (isinstance(result, tuple) and len(result) == 2):
            raise InvalidSample(f"verify must return tau and the emitted {emits}, two arrays; it returned {type(result).__name__}")
        parts = result if isinstance(result, tuple) else (result,)
        tau, emitted = (np.asarray(_host(part), dtype=np.float64) for part in (parts[0], parts[1 if emits else 0]))
        for label, part in (("tau", tau), (f"emitted {emits}", emitted)):
            if part.shape != (len(ratios),):
                raise InvalidSample(
                    f"verify gave {label} of shape {part.shape}; it must be ({len(ratios)},), one number per window"
                )
        return tau, emitted

    def check(generator: np.random.Generator) -> None:
        """Check that tau is a function of the arguments, and that it depends on the uniforms. Raises ``BadInput``."""
        ratios, deltas = source(_ASKED, generator)
        first, other = generator.random((2, _ASKED, length + law.emits))
        both = kept(ratios, deltas, first)
        if not np.array_equal(both, kept(ratios, deltas, first), equal_nan=True):
            raise BadInput("verify gave two answers to the same uniforms: it must not draw noise of its own")
        # Where drafts are certainly kept or certainly rejected, uniforms need not matter.
        chancy = int(((ratios[:, 0] > -3.0) & (ratios[:, 0] < -0.1)).sum())
        if chancy > _ASKED // 5 and np.array_equal(both[0], kept(ratios, deltas, other)[0]):
            raise BadInput(
                "verify gave the same answers to other uniforms: it ignores the uniforms that it is given, but these must decide"
            )

    def sample(n: int, seed: int) -> np.ndarray:
        nonlocal listens
        if not listens:
            check(np.random.default_rng([seed, 1]))
            listens = True
        generator = np.random.default_rng(seed)
        ratios, deltas = source(n, generator)
        tau, emitted = kept(ratios, deltas, generator.random((n, length + law.emits)))
        # The ratios are judged as they were verified, in the precision of the arrays.
        judged = _host(convert(ratios)).astype(np.float64)
        columns = [judged, tau[:, None]]
        if emits:
            # Numbers that the law refuses are left for it to refuse.
            inside = np.isin(tau, np.arange(length + 1))
            at, log_weight = np.where(inside, tau, 0).astype(int), np.zeros(n)
            if mode == "block":
                with np.errstate(divide="ignore"):
                    log_weight[at > 0] = np.log(law.promised(judged))[at > 0, at[at > 0] - 1]
            transform = token_transforms if emits == "tokens" else coordinate_transforms
            columns.append(transform(emitted, at, log_weight, np.asarray(deltas, dtype=np.float64), length, generator)[:, None])
        return np.concatenate(columns, axis=1)

    about: dict[str, object] = {"judged": "verification alone", "arrays": arrays}
    if not emits:
        about["not judged"] = (
            "what is emitted after the kept drafts, on rejection or after a full window (pass emits='coordinates' or 'tokens', or "
            "judge it with from_coupling)"
        )
    elif emits == "coordinates":
        about["not judged"] = "the state emitted after a full window, and states orthogonally to the line of the means"
    return Claim(name, sample, law, about=about)


def from_coupling(
    couple: Callable[..., Any],
    *,
    dim: int = 3,
    delta: float = 1.0,
    sigma: float = 1.0,
    kind: Kind = "maximal",
    weight: float = 1.0,
    arrays: Arrays = "numpy",
    name: str = "coupling",
) -> Claim:
    """Claim that a function draws a maximal coupling of two Gaussians. Their means are chosen here.

    Args:
        couple: ``couple(mean_p, mean_q, sigma, generator)`` with means (n, d). It returns X (n, d), the emitted points, and
            Y (n, d), the drafts, which are equal bit by bit where the draft was kept. The generator is one of numpy or torch, or a
            JAX key. A function that takes its noise or a weight as arguments can be wrapped in one line.
        dim, delta, sigma: the dimension, the distance of the means in units of sigma, and sigma.
        kind, weight: the kind of coupling; see :class:`exactness.laws.GaussianCoupling`.
        arrays: the kind of array that ``couple`` takes.
        name: the name of the claim.

    >>> import exactness as ex
    >>> def couple(p, q, sigma, generator):  # reflection
    ...     z, u = generator.standard_normal(p.shape), generator.random(len(p))
    ...     e = (q - p) / np.linalg.norm(q - p, axis=1, keepdims=True)
    ...     y = q + sigma * z
    ...     log_ratio = (((y - q) ** 2).sum(1) - ((y - p) ** 2).sum(1)) / (2 * sigma**2)
    ...     mirrored = p + sigma * (z - 2 * (z * e).sum(1, keepdims=True) * e)
    ...     return np.where((np.log(u) < log_ratio)[:, None], y, mirrored), y
    >>> claim = from_coupling(couple, kind="reflection")
    >>> ex.certify(claim.sample, claim.law, plan=ex.Plan(tolerance=0.05)).verdict.value
    'certified'
    """
    if not callable(couple):
        raise BadInput(f"couple must be a function (mean_p, mean_q, sigma, generator) -> X, Y; got {type(couple).__name__}")
    convert = _converter(arrays)
    # Any two means at this distance serve; their difference lies along no axis.
    chosen = np.random.default_rng(0).standard_normal((2, dim))
    target = chosen[0]
    draft = target + delta * sigma * chosen[1] / np.linalg.norm(chosen[1])

    def sample(n: int, seed: int) -> np.ndarray:
        ends = couple(*(convert(np.tile(mean, (n, 1))) for mean in (target, draft)), sigma, _generator(arrays, seed))
        if not isinstance(ends, tuple) or len(ends) != 2:
            raise InvalidSample(f"couple must return two arrays, X and Y; it returned {type(ends).__name__}")
        x, y = (_host(end) for end in ends)
        if x.shape != (n, dim) or y.shape != (n, dim):
            raise InvalidSample(f"couple gave X of shape {x.shape} and Y of {y.shape}; both must be ({n}, {dim})")
        return np.stack([x, y], axis=1)

    law = GaussianCoupling(target, draft, sigma, kind, weight)
    return Claim(name, sample, law, about={"judged": "coupling alone", "arrays": arrays})


def _windows(length: int) -> Drafts:
    """Gaussian drafts with distances of all sizes: log p/q = delta^2/2 - delta s, where s ~ N(delta, 1) under the draft."""

    def draft(n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        deltas = np.exp(generator.uniform(np.log(_NEAR), np.log(_FAR), size=(n, length)))
        return -0.5 * deltas**2 - deltas * generator.standard_normal((n, length)), deltas

    return draft


def _converter(arrays: Arrays) -> Callable[[np.ndarray], Array]:
    if arrays == "torch":
        with needs("torch"):
            import torch

        return torch.as_tensor
    if arrays == "jax":
        with needs("jax"):
            import jax.numpy as jnp

        return jnp.asarray
    if arrays != "numpy":
        raise BadInput(f"arrays must be numpy, torch or jax, not {arrays!r}")
    return np.asarray


def _generator(arrays: Arrays, seed: int) -> Any:
    if arrays == "torch":
        import torch

        return torch.Generator().manual_seed(seed)
    if arrays == "jax":
        import jax

        return jax.random.key(seed)
    return np.random.default_rng(seed)


def _host(values: Any) -> np.ndarray:
    if not is_array(values):
        raise InvalidSample(f"the function returned {type(values).__name__}; return arrays")
    return to_numpy(values)
