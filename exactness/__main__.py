"""``python -m exactness``: the command line."""

from .cli import main

main()
