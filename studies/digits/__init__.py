"""The networks of `samplers/exactness_digits`: their training on handwritten digits, and their measurement.

    python -m studies.digits             # trains the three networks, then writes the page
    python -m studies.digits --page      # writes the page only, from the weights that are there

The target predicts the clean picture from a noisy one, at any noise level. Then two drafters learn from the target alone. A
distilled network imitates the target at the states where it will be asked. A network that looks ahead carries the target's
prediction at one state of its own chains to the states that follow.
"""
