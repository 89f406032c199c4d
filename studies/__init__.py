"""Measurements that take longer than a test: each module writes one page of ``reports/`` and says the command that did."""
