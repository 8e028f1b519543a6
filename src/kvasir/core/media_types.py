"""Detects media types: binary formats by content, text formats also by name.

A binary format is recognised by its magic bytes and, in a ZIP archive, by its members, never by its
extension alone. Source of the names: the IANA registry of media
types; of the signatures: the format specifications (ISO 32000, OPC, OCF, ODF, MS-CFB).
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from kvasir.core import compound_file

UNKNOWN = "application/octet-stream"

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
XLSB = "application/vnd.ms-excel.sheet.binary.macroenabled.12"
XLSM = "application/vnd.ms-excel.sheet.macroenabled.12"
EPUB = "application/epub+zip"
DOC = "application/msword"
PPT = "application/vnd.ms-powerpoint"
XLS = "application/vnd.ms-excel"
MSG = "application/vnd.ms-outlook"
OLE = "application/x-ole-storage"
ZIP = "application/zip"
ENCRYPTED_OFFICE = "application/x-encrypted-office"

RTF = "application/rtf"
MBOX = "application/mbox"
MAIL = "message/rfc822"
NOTEBOOK = "application/x-ipynb+json"
SOURCE_CODE = "text/x-source"

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"BM", "image/bmp"),
    (b"{\\rtf1", RTF),
    (b"\x1f\x8b", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
)

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
"""Of HEIF files (ISO/IEC 23008-12); AV1 pictures have others."""

_MADE_OF_LETTERS = (b"GIF8", b"BM")
"""Signatures with which a text may begin as well."""

_CODE_EXTENSIONS = """
    py pyi pyw c h cc cpp cxx hh hpp hxx cs java js jsx mjs cjs ts tsx mts cts go rs rb php sh bash
    zsh kt kts swift scala lua pl pm r jl hs ex exs erl clj dart sql ps1 vb f90 asm proto css scss
    cmake groovy gradle m mm el lisp ml fs nix tf zig toml ini cfg conf properties
""".split()  # noqa: SIM905 - a list of a hundred lines is harder to read

_TEXT_EXTENSIONS = dict.fromkeys(_CODE_EXTENSIONS, SOURCE_CODE) | {
    "md": "text/markdown",
    "markdown": "text/markdown",
    "html": "text/html",
    "htm": "text/html",
    "xhtml": "application/xhtml+xml",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "eml": MAIL,
    "mht": MAIL,
    "mhtml": MAIL,
    "json": "application/json",
    "jsonl": "application/jsonl",
    "ndjson": "application/jsonl",
    "ipynb": NOTEBOOK,
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "xml": "application/xml",
    "rst": "text/x-rst",
    "adoc": "text/asciidoc",
    "asciidoc": "text/asciidoc",
    "org": "text/org",
    "tex": "text/x-tex",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "mbox": MBOX,
    "log": "text/plain",
    "txt": "text/plain",
}

EXTENSIONS = _TEXT_EXTENSIONS | {
    "pdf": PDF,
    "docx": DOCX,
    "docm": DOCX,
    "dotx": DOCX,
    "dotm": DOCX,
    "pptx": PPTX,
    "pptm": PPTX,
    "ppsx": PPTX,
    "ppsm": PPTX,
    "potx": PPTX,
    "potm": PPTX,
    "xlsx": XLSX,
    "xlsm": XLSM,
    "xltx": XLSX,
    "xltm": XLSX,
    "epub": EPUB,
    "odt": "application/vnd.oasis.opendocument.text",
    "ott": "application/vnd.oasis.opendocument.text",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "otp": "application/vnd.oasis.opendocument.presentation",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "ots": "application/vnd.oasis.opendocument.spreadsheet",
    "msg": MSG,
    "rtf": RTF,
}
"""Media type by extension, lower case, without the dot."""

_EVERY_EXTENSION = EXTENSIONS | {
    "doc": DOC,
    "ppt": PPT,
    "xls": XLS,
    "xlsb": XLSB,
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heic",
}
_SHORT_NAMES = {kind: ending for ending, kind in reversed(_EVERY_EXTENSION.items())}
"""The first extension of each media type."""

KINDS_READ = (
    "text of any kind, Markdown, HTML, PDF, Word, PowerPoint, Excel, OpenDocument, RTF, CSV, "
    "EPUB, mail, docling JSON and, with the extra ocr, images"
)
"""The formats that the built-in extractors read, for error messages."""

_OLE_STREAMS = (
    ("EncryptedPackage", ENCRYPTED_OFFICE),
    ("__properties_version1.0", MSG),
    ("WordDocument", DOC),
    ("PowerPoint Document", PPT),
    ("Workbook", XLS),
    ("Book", XLS),
)
"""Names in the root of a compound file by the format that has them."""
_NAMED_IN_ARCHIVES = ("application/vnd.oasis.opendocument.", EPUB)
"""Media types that an archive may say it is; any other would be believed without a reason."""
_OOXML_MAIN = (
    (b"word/document", DOCX),
    (b"ppt/presentation", PPTX),
    (b"xl/workbook.bin", XLSB),
    (b"xl/workbook", XLSX),
)

_MAIL_HEADER = re.compile(
    rb"^(?:from|to|subject|date|received|return-path|message-id|mime-version|delivered-to|"
    rb"reply-to|cc|x-[a-z-]+|dkim-signature|content-type):",
    re.IGNORECASE | re.MULTILINE,
)
_MIME_START = re.compile(rb"[!-9;-~]+:")
_MULTIPART = re.compile(rb"^content-type:\s*multipart/", re.IGNORECASE | re.MULTILINE)
_MBOX_START = re.compile(rb"From \S+[^\n]*\d{4}\r?\n[\w-]+:")
_HTML = re.compile(rb"<(?:!doctype\s+html|html[\s>]|head[\s>]|body[\s>])", re.IGNORECASE)
_CONTROL = bytes(set(range(32)) - {9, 10, 12, 13, 27}) + b"\x7f"


def detect(name: str, data: bytes) -> str:
    """Return the media type of all bytes of a file, whose path or URL is ``name``.

    It is ``application/octet-stream`` if they are of no known format.
    """
    binary = _binary_type(data)
    if binary:
        return XLSM if binary == XLSX and extension(name) == "xlsm" else binary
    return _text_type(name, data) if looks_like_text(data) else UNKNOWN


def of_head(head: bytes) -> str:
    """Return the media type that the first bytes of a file show; empty if more are needed.

    It is ``application/octet-stream`` if they are neither text nor of a known format.
    """
    if b"%PDF-" in head or head.startswith((b"PK", compound_file.SIGNATURE)) or not head:
        return ""
    return _binary_type(head) or ("" if looks_like_text(head) else UNKNOWN)


def settle(declared: str, detected: str) -> str:
    """Return the type to use if a server or an upload declares one.

    The detected type is used, except that a declared text type replaces ``text/plain``.
    """
    is_textual = declared.startswith("text/") or declared in _TEXT_EXTENSIONS.values()
    return declared if detected == "text/plain" and is_textual else detected


def by_name(name: str) -> str:
    """Return the media type of a name's extension."""
    return EXTENSIONS.get(extension(name), UNKNOWN)


def extension(name: str) -> str:
    """Return a path's or URL's extension, lower case, without the dot."""
    path = urlsplit(name).path if name.startswith(("http://", "https://")) else name
    return PurePosixPath(path.replace("\\", "/")).suffix.lower().removeprefix(".")


def text_type_of(name: str) -> str | None:
    """Return the media type of a text file by its name; None if the name is of no text file."""
    return _TEXT_EXTENSIONS.get(extension(name))


def short_name(media_type: str, name: str) -> str:
    """Return a short name of a file's type, such as ``pdf``: usually its extension.

    Files of one format have one name, however they are called; source code and plain text are named
    by their extension.
    """
    own = extension(name)
    if media_type in (SOURCE_CODE, "text/plain"):
        return own or "txt"
    return _SHORT_NAMES.get(media_type) or own or media_type.rpartition("/")[2]


def short_name_of(typed: str) -> str:
    """Return the short name of a type that a user typed: an extension or a media type."""
    typed = typed.lower().removeprefix(".")
    known = typed if "/" in typed else _EVERY_EXTENSION.get(typed, "")
    if known in (SOURCE_CODE, "text/plain") and "/" not in typed:
        return typed
    return _SHORT_NAMES.get(known, typed)


def looks_like_text(data: bytes) -> bool:
    """Return True if bytes are text in some encoding, judged by their control characters."""
    head = data[:65536]
    if head.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) or utf16_without_mark(head):
        return True
    if b"\x00" in head:
        return False
    controls = len(head) - len(head.translate(None, _CONTROL))
    return controls * 100 <= len(head)


def utf16_without_mark(data: bytes) -> str | None:
    """Return the UTF-16 codec of mostly Latin text without a byte order mark, or None."""
    head = data[: 4096 - len(data) % 2]
    if len(head) < 8 or len(data) % 2:
        return None
    zero_even, zero_odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if zero_odd > half * 0.6 and zero_even == 0:
        return "utf-16-le"
    return "utf-16-be" if zero_even > half * 0.6 and zero_odd == 0 else None


def _binary_type(data: bytes) -> str | None:
    if b"%PDF-" in data[:1024] and (
        data.lstrip().startswith(b"%PDF-") or not looks_like_text(data)
    ):
        return PDF
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_type(data)
    if data.startswith(compound_file.SIGNATURE):
        return _ole_type(data)
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        return "image/heic"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    for signature, media_type in _SIGNATURES:
        is_certain = signature not in _MADE_OF_LETTERS or not looks_like_text(data)
        if data.startswith(signature) and is_certain:
            return media_type
    return None


def _zip_type(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = set(archive.namelist())
            if "mimetype" in members and archive.getinfo("mimetype").file_size < 200:
                named = archive.read("mimetype").decode("ascii", "replace").strip()
                if named.startswith(_NAMED_IN_ARCHIVES):
                    return named.removesuffix("-template")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError):
        # A damaged archive still shows its members' names in the local headers.
        return next((kind for marker, kind in _OOXML_MAIN if marker in data), ZIP)
    if "[Content_Types].xml" in members:
        for marker, media_type in _OOXML_MAIN:
            if any(name.startswith(marker.decode()) for name in members):
                return media_type
    return ZIP


def _ole_type(data: bytes) -> str:
    names = compound_file.root_names(data)
    if names is None:
        # A damaged file still shows the names somewhere.
        names = [name for name, _ in _OLE_STREAMS if name.encode("utf-16-le") in data]
    return next((kind for name, kind in _OLE_STREAMS if name in names), OLE)


def _text_type(name: str, data: bytes) -> str:
    named = _TEXT_EXTENSIONS.get(extension(name))
    if named:
        return named
    head = data[:2048].removeprefix(b"\xef\xbb\xbf").lstrip()
    headers = head.partition(b"\n\n")[0].partition(b"\r\n\r\n")[0]
    if _MIME_START.match(head) and _MULTIPART.search(headers):
        return MAIL  # Also a page that is saved as one file.
    if _HTML.search(head):
        return "text/html"
    if head.startswith(b"{") and (b'"DoclingDocument"' in data or b'"main-text"' in data):
        return "application/json"
    if _MBOX_START.match(data):
        return MBOX
    if len(set(_MAIL_HEADER.findall(headers))) >= 3:
        return MAIL
    return "text/plain"
