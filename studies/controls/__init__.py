"""Would the judge notice? Every wrong sampler of both backends, test by test, with the draws that each test took.

    python -m studies.controls [--backends torch,jax] [--jobs 2] [--folder FOLDER]

Tests are looked at one by one for torch's samplers. JAX's samplers are judged until all tests together refute them, with 128,000
paths at most, since most of their time is compilation. A run that was killed continues if it is given the same folder. The tests of
this project judge each wrong sampler at the draws that are written here (`reports/controls.json`).
"""
