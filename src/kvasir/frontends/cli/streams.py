"""Standard streams that are closed, and locales that cannot encode all characters."""

import codecs
import os
import sys

_ESCAPING = "kvasir-escape"
"""Error handler that writes an escape of JSON."""


def prepare_streams() -> None:
    """Open each closed standard stream on the null device; escape what output cannot encode.

    A file that is opened later would otherwise get the number of a closed stream, and with it what
    libraries print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115 - stays open
            setattr(sys, name, stream)
    codecs.register_error(_ESCAPING, _escaped)
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    is_utf8 = codecs.lookup(sys.stdout.encoding or "utf-8").name == "utf-8"
    if reconfigure is not None and (not is_utf8 or sys.stdout.errors == "strict"):
        reconfigure(errors=_ESCAPING)


def restart_with_utf8() -> None:
    """Restart the process in UTF-8 mode if its locale knows ASCII only.

    In such a locale, other characters of arguments and file names are bytes without a meaning.
    Python itself uses UTF-8 there, unless the environment forbids it.
    """
    if os.name == "posix" and sys.executable and sys.getfilesystemencoding() == "ascii":
        os.environ["PYTHONUTF8"] = "1"  # For processes that this one starts.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Return the escapes of JSON for characters that cannot be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return "".join(f"\\u{pair}" for pair in pairs), error.end
