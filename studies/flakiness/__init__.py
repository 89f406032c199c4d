"""Does any statistical test fail by chance? The statistical tests run many times, each time with a new seed.

    python -m studies.flakiness --runs 20
    python -m studies.flakiness --of tests/samplers --runs 50

Runs add up over calls, folder by folder, as long as the code is the same (comments and docstrings may change). Other code starts
another count, and no count is ever removed. The seeds come from the operating system's entropy. Every test below a folder that
takes the `seed` fixture is run, except the slow tier; failures are listed with the seed that repeats them.
"""
