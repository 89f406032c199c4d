"""Which kernels of libraries keep their targets? Each on a mixture, a funnel, eight schools, and a model with a discrete parameter.

    python -m studies.kernels

Every library has its cases in `rows_<library>.py`, and `--libraries` measures some of them again. Rows that are known to be wrong,
on purpose or from a public thread, stand next to the others.
"""
