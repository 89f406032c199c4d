"""Mills' ratio Phi(-x)/phi(x) and its slope, without subtractions. They are needed because JAX has no erfcx.

Both functions are entire and decay like powers, so (x + 4) M(x) and (x + 4)^2 (1 - x M(x)) are smooth functions of
t = (x - 3)/(x + 4), which maps x >= -1/2 onto [-1, 1). Their Chebyshev coefficients, computed with 40 digits, fall below 1e-8
of the first after 13 terms and below 1e-16 after 27 terms. float32 sums the short series, and float64 the long one.

Source of the map: Shepherd and Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < infinity",
Mathematics of Computation 36, 1981.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

_SHORT = 14
# fmt: off
_RATIO = (
    3.0047067757691406, -2.7250324617742434, 0.903164424219114, -0.21162455854258483, 0.029857938560031612,
    -0.0004572330040269095, -0.0007146385284088801, 8.740528941001696e-05, 1.6615382298668063e-05, -3.92533248647907e-06,
    -5.213004221815135e-07, 1.6291480408472794e-07, 2.412085538212735e-08, -6.665915237879613e-09, -1.4318985882144276e-09,
    2.4395348188079475e-10, 9.099767619346844e-11, -5.13974847329435e-12, -5.492004839665005e-12, -3.111638325711763e-13,
    2.8215083620877454e-13, 5.559149828050436e-14, -9.475125576804668e-15, -4.922379742647655e-15, -1.7645914227987602e-16,
    2.9400736388850356e-16, 6.38464999846323e-17, -8.331629847540691e-18, -6.06289096381117e-18,
)
_SLOPE = (
    8.28792161251305, -10.56642967348782, 4.213200325720218, -1.080457935977707, 0.14438588612727277,
    0.006732738688992934, -0.0059029440711099905, 0.0003760426357877278, 0.0002068920034017314, -2.5950902821886248e-05,
    -8.610718243270827e-06, 1.2472655584268984e-06, 4.4238268138643613e-07, -4.882057856422523e-08, -2.588755311930179e-08,
    9.937255497542534e-10, 1.5445650174364357e-09, 8.463145342523732e-11, -8.378284367023054e-11, -1.496429929712338e-11,
    3.3801567577331356e-12, 1.4331808370410426e-12, -1.119023775704875e-14, -9.84452961712102e-14, -1.5633257379896378e-14,
    4.165602089575393e-15, 1.8824268719098913e-15, 5.805100371123868e-17, -1.2763858341947645e-16,
)
# fmt: on


def mills(x: jax.Array) -> jax.Array:
    """M(x) = Phi(-x)/phi(x) for x >= -1/2, to a few units of the last place. x is not clamped: below -1/2 the result is wrong."""
    return _series(_RATIO, (x - 3.0) / (x + 4.0)) / (x + 4.0)


def mills_slope(x: jax.Array) -> jax.Array:
    """-M'(x) = 1 - x M(x) > 0 for x >= -1/2, without subtraction: it decays like 1/x^2, while x M(x) tends to 1."""
    return _series(_SLOPE, (x - 3.0) / (x + 4.0)) / ((x + 4.0) * (x + 4.0))


def _series(coefficients: tuple[float, ...], t: jax.Array) -> jax.Array:
    """The sum of coefficients[n] T_n(t), by Clenshaw's recurrence."""
    if t.dtype != jnp.float64:
        coefficients = coefficients[:_SHORT]
    ahead = further = jnp.zeros_like(t)
    for c in reversed(coefficients[1:]):
        ahead, further = c + 2.0 * t * ahead - further, ahead
    return coefficients[0] + t * ahead - further
