"""``python -m kvasir`` is the command line."""

from kvasir.frontends.cli.main import main

main()
