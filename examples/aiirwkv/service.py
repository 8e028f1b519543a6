"""Starts the services of ragq.yml: python3 service.py"""

import sys

from kvasir.frontends.cli.start import main

sys.argv[1:] = ["services", "start", *sys.argv[1:]]
main()
