"""``python -m poisonscan``."""

from poisonscan.cli import main

main()
