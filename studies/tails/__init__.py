"""How far out is the chi-square limit right? This measures the one asymptotic null as far as simulation reaches.

    python -m studies.tails

The Mahalanobis test of characteristic functions sees exact draws of mixtures in 2, 3 and 8 dimensions, and of one with a rare and
far component, each at the smallest number of draws at which it gives a p-value.
"""
