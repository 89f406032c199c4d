"""``exactness`` and ``python -m exactness``: the command line."""

import sys

from .run.executors import prepare

if sys.argv[1:2] == ["certify"]:
    prepare()  # The workers load their libraries while this process loads the command line.

from .cli import main

if __name__ == "__main__":
    main()
