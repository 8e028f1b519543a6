"""The binary Office files of before 2007, through LibreOffice where it is installed.

LibreOffice converts the file to its present format in a folder of its own; macros do not run and
nothing that the document links to is loaded. It is a child of the process that extracts the file,
so that the limits of time and memory hold for it.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from kvasir.core import media_types, registry
from kvasir.core.environment import environment
from kvasir.core.errors import ExtractionError
from kvasir.core.types import Document, Source

_PROGRAMS = ("soffice", "libreoffice")
_NEW_FORMATS = {
    media_types.DOC: ("doc", "docx", media_types.DOCX),
    media_types.XLS: ("xls", "xlsx", media_types.XLSX),
    media_types.PPT: ("ppt", "pptx", media_types.PPTX),
}
"""Extensions of the old and the new format, and the new media type."""
_PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Office.Common/Security/Scripting">
<prop oor:name="DisableMacrosExecution" oor:op="fuse"><value>true</value></prop></item>
<item oor:path="/org.openoffice.Office.Common/Security/Scripting">
<prop oor:name="DisableActiveContent" oor:op="fuse"><value>true</value></prop></item>
<item oor:path="/org.openoffice.Office.Common/Security/Scripting">
<prop oor:name="BlockUntrustedRefererLinks" oor:op="fuse"><value>true</value></prop></item>
</oor:items>
"""


class OldOfficeExtractor:
    """Reads DOC, XLS and PPT files."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Convert the file and extract the result; see ``Extractor``.

        Raises:
            ExtractionError: LibreOffice is not installed, or cannot read the file.
        """
        old, new, media_type = _NEW_FORMATS[source.media_type]
        program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
        if program is None:
            raise ExtractionError(
                "unsupported",
                f"the old .{old} format is read through LibreOffice, which is not installed; "
                f"install it, or save the file as {new.upper()}",
            )
        with tempfile.TemporaryDirectory(prefix="kvasir-office-") as name:
            converted = _convert(program, Path(name), data, old, new)
        extractor = registry.build("extractors", media_type, {})
        document: Document = extractor.extract(Source(source.uri, media_type), converted)
        return document


def _convert(program: str, folder: Path, data: bytes, old: str, new: str) -> bytes:
    profile = folder / "profile"
    (profile / "user").mkdir(parents=True)
    (profile / "user" / "registrymodifications.xcu").write_text(_PROFILE, "utf-8")
    written = folder / f"document.{old}"
    written.write_bytes(data)
    command = [
        program, "--headless", "--norestore", "--nolockcheck", "--nodefault",
        f"-env:UserInstallation={profile.as_uri()}",
        "--convert-to", new, "--outdir", str(folder), str(written),
    ]  # fmt: skip
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment({"HOME": str(folder)}),
        cwd=folder,
        check=False,
    )
    result = written.with_suffix(f".{new}")
    if not result.is_file():
        raise ExtractionError(
            "malformed",
            f"LibreOffice could not read it (exit {done.returncode}); it may be damaged or have "
            f"a password: open it and save it as {new.upper()}",
        )
    return result.read_bytes()
