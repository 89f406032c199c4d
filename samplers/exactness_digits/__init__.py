"""The weights of three small networks of handwritten digits and of two models of characters, one safetensors file each.

They are a distribution of their own, `exactness-digits`, because they are many times the size of the code.
`exactness_samplers.weights` reads them.

>>> from exactness_digits import FOLDER
>>> sorted(file.stem for file in FOLDER.glob("*.safetensors"))
['characters', 'characters_draft', 'digits', 'digits_ahead', 'digits_distilled']
"""

from pathlib import Path

FOLDER = Path(__file__).parent
