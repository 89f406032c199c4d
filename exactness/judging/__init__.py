"""From draws to a verdict: this package draws, tests and decides."""
