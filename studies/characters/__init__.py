"""The character models of `samplers/exactness_digits`: their training on the documentation of Python, and their measurement.

python -m studies.characters             # trains both models, then writes the page
python -m studies.characters --page      # writes the page only, from the weights that are there
"""
