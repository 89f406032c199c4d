"""Adapters for other libraries: each makes a law or a sampler in at most ten lines of its user's code.

A library is imported only when its adapter is called.
"""

from .blackjax_kernels import blackjax_kernel
from .denoisers import from_denoiser
from .diffusers_schedulers import from_scheduler, sample_loop, sample_pipeline, sample_scheduler
from .exact_laws import ExactLaw, exact_law
from .forced_coins import ForcedCheck, forced_coins
from .numpyro_distributions import from_numpyro, sample_numpyro
from .numpyro_kernels import numpyro_kernel
from .numpyro_models import from_numpyro_model
from .pymc_kernels import pymc_kernel
from .sbc import from_sbc_ranks
from .scipy_distributions import from_scipy, sample_scipy
from .token_verifiers import from_token_verifier
from .torch_distributions import from_torch, sample_torch
from .transformers_models import from_transformers
from .verifiers import from_coupling, from_verifier

__all__ = [
    "from_scipy", "sample_scipy", "from_torch", "sample_torch", "from_numpyro", "sample_numpyro",
    "from_numpyro_model", "numpyro_kernel",
    "from_scheduler", "sample_scheduler", "sample_pipeline", "sample_loop",
    "from_denoiser", "from_verifier", "from_coupling", "from_token_verifier", "from_transformers",
    "blackjax_kernel", "pymc_kernel", "from_sbc_ranks",
    "exact_law", "ExactLaw", "forced_coins", "ForcedCheck",
]  # fmt: skip
