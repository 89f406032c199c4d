"""Are the error rates what they are said to be? Thousands of certificates of exact samplers answer.

    python -m studies.calibrate
    python -m studies.calibrate --of chain

For every test of every battery: how often its p-value is at most 0.05, 0.01 and 0.001, with a binomial interval; for exact tests,
whether the p-values are uniform; how many certificates are refuted at a level at which refutations can be counted, and at 1e-6; and
the cost of looking in stages. After a change of one law's batteries, `--of` counts that law anew and keeps the others.
"""
