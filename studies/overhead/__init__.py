"""What does speculation cost in addition to its target? Verification and coupling, drafting and bookkeeping, as shares of it.

    python -m studies.overhead

The digits network runs in batches of 64 chains with window 8 on one thread: in eager torch (and its residual compiled by
`torch.compile`), and in JAX, whose whole run is one compiled program. Shares are of times taken in one run, interleaved.
"""
