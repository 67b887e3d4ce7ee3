"""``python -m poisonscan`` in a folder that is to be scanned must not load modules from it.

Python puts the current folder first on the path then. This has to happen before anything else is
imported, so the package imports it first.
"""

import itertools
import os
import sys

_ORDER = list(getattr(sys, "orig_argv", ()))
_PACKAGE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120

if any(pair == ("-m", "poisonscan") for pair in itertools.pairwise(_ORDER)):
    here = os.path.realpath(".")
    if here != _PACKAGE:  # else this package itself is run from there
        sys.path[:] = [path for path in sys.path if os.path.realpath(path) != here]
