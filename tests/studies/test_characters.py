"""The training of the character models, with the least effort."""

from __future__ import annotations

import numpy as np
import torch
from exactness_samplers import weights
from exactness_samplers.characters import Shape
from exactness_samplers.torch.characters import Characters

from studies.characters.measure import bits, windows
from studies.characters.train import Recipe, text, train


def test_training_learns_and_repeats(tmp_path):
    """A few updates of tiny models: better than guessing, and the same numbers again."""
    recipe = Recipe(Shape(1, 32, 16), steps=30, batch=8, rate=1e-2)
    for folder in ("one", "other"):
        train(tmp_path / folder, (recipe, Recipe(Shape(1, 16, 8), steps=2, batch=2)))
    one, other = (weights.load(tmp_path / folder / "characters.safetensors").arrays for folder in ("one", "other"))
    assert all(np.array_equal(one[name], other[name]) for name in one)
    rows = windows(text()[1])[:8]
    assert bits(Characters(one), rows) < 6.2 < np.log2(96)
    assert rows.shape[1] == 65
    assert torch.equal(rows, windows(text()[1])[:8])
