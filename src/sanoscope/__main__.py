"""``python -m sanoscope``: the command line, such as torchrun starts it."""

from sanoscope.cli import main

main()
