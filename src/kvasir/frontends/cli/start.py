"""The entry point of the command ``kvasir``, which Ctrl-C ends from its first moment on.

Most of a short command's time goes into importing modules.
"""

from kvasir.frontends.cli.interrupts import exit_on_interrupt


def main() -> None:
    """Import and run the command line."""
    with exit_on_interrupt():
        from kvasir.frontends.cli.main import main as run
    run()
