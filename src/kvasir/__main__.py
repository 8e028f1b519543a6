"""``python -m kvasir`` is the command line."""

from kvasir.frontends.cli.start import main

main()
