"""Measurements, one folder per study.

`measure.py` takes the numbers, `page.py` writes the page from them, and `python -m studies.NAME` does both.
"""
