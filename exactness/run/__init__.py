"""Many claims in one run: what to judge, in which processes, and whether it repeats."""
