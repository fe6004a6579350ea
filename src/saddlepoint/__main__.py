"""`python -m saddlepoint` is the command line."""

from saddlepoint.cli import main

main()
