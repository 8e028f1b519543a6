"""The entry point of the command ``kvasir``, which Ctrl-C ends from its first moment on.

Most of a short command's time goes into importing modules.
"""

import gc
import os

from kvasir.frontends.cli.interrupts import exit_on_interrupt
from kvasir.frontends.cli.streams import prepare_streams, restart_with_utf8

# Pydantic looks for plug-ins in the files of every installed package, and Kvasir uses none.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
# What is imported stays: the default of 700 objects looks at it all again and again, for a
# twentieth of a short command's time.
_MOST_NEW_OBJECTS = 10_000


def main() -> None:
    """Import and run the command line."""
    restart_with_utf8()
    prepare_streams()
    gc.set_threshold(_MOST_NEW_OBJECTS)
    with exit_on_interrupt():
        from kvasir.frontends.cli.main import main as run
    run()
