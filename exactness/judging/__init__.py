"""From draws to a verdict: drawing, testing and deciding."""
