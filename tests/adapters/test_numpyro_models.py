"""A numpyro model is no distribution, and whoever passes one is told which function takes it."""

from __future__ import annotations

import pytest

import exactness as ex
from exactness.adapters import from_numpyro
from tests.conftest import module_or_skip


def test_a_model_is_told_where_it_belongs():
    module_or_skip("numpyro")

    def eight_schools(y):
        return y

    with pytest.raises(ex.BadInput, match=r"eight_schools is a function.*from_numpyro_model\(model"):
        from_numpyro(eight_schools)


def test_a_class_is_told_to_be_made():
    dist = module_or_skip("numpyro.distributions")
    with pytest.raises(ex.BadInput, match=r"give a distribution, not its class: Normal\(\.\.\.\)"):
        from_numpyro(dist.Normal)
