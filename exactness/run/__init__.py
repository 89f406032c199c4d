"""Runs of many claims: this package finds them, judges them in one or more processes, and checks that they repeat."""
