"""The power of exactness compared with the tests in use today, on the same samples.

    python -m studies.power

Writes `power.json` and `power.md`. The other tests' packages (hyppo, pqm, goodpoints) are optional: where one is missing, its row
says so. There are four parts:

A. a mixture in d = 8 under four small departures: the n that each test needs for 99% power at alpha = 1e-3;
B. paths of the five controls of the ring;
C. two samples of 5,000 at alpha = 0.05, the setting for which others have reported PQMass;
D. the likelihood-ratio test, which no test beats, compared with the battery that a whole certificate runs.
"""
