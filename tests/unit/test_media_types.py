import io
import zipfile

import pytest
from compound_files import compound_file

from kvasir.core import media_types
from kvasir.core.media_types import DOCX, ENCRYPTED_OFFICE, EPUB, MSG, UNKNOWN, XLSB, XLSM, detect

_OPEN_TEXT = "application/vnd.oasis.opendocument.text"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)


def _zip(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.txt", b"%PDF-1.7 rest", "application/pdf"),
        ("a.pdf", b"only words", "text/plain"),
        ("a.bin", bytes(range(256)), UNKNOWN),
        ("a.md", b"# Title", "text/markdown"),
        ("https://example.org/x/page.md?raw=1", b"# Title", "text/markdown"),
        ("noname", b"<!DOCTYPE html><html></html>", "text/html"),
        (
            "p.doc",
            b"MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=b\r\n\r\n--b\r\n"
            b"Content-Type: text/html\r\n\r\n<html>x</html>\r\n--b--",
            "message/rfc822",
        ),
        ("page.mht", b"anything", "message/rfc822"),
        ("page", b"<p>Content-Type: multipart/related</p><html>", "text/html"),
        ("noname", b"From: a@b\nTo: c@d\nSubject: e\n\nwords", "message/rfc822"),
        ("noname", b"Note: from here on\nnothing", "text/plain"),
        ("noname", b'{"schema_name": "DoclingDocument"}', "application/json"),
        ("noname", "grüße".encode("utf-16"), "text/plain"),
        ("noname", "plain words, no mark".encode("utf-16-le"), "text/plain"),
        ("a.csv", b"a;b\n1;2\n", "text/csv"),
        ("a.zip", _zip(mimetype=EPUB), EPUB),
        ("a.odt", _zip(mimetype="text/html"), "application/zip"),
        ("a.odt", _zip(mimetype="application/pdf"), "application/zip"),
        ("a.ott", _zip(mimetype=f"{_OPEN_TEXT}-template"), _OPEN_TEXT),
        ("a.bin", _zip(**{"[Content_Types].xml": "", "word__document.xml": ""}), DOCX),
        ("a.xlsm", _zip(**{"[Content_Types].xml": "", "xl__workbook.xml": ""}), XLSM),
        ("a.bin", _zip(**{"[Content_Types].xml": "", "xl__workbook.bin": ""}), XLSB),
        ("a.docx", _zip(**{"readme.txt": "x"}), "application/zip"),
        ("a.docx", _OLE + "EncryptedPackage".encode("utf-16-le"), ENCRYPTED_OFFICE),
        ("a.bin", _OLE + "__properties_version1.0".encode("utf-16-le"), MSG),
        ("a.doc", _OLE + "WordDocument".encode("utf-16-le"), "application/msword"),
        ("bm.txt", b"BMW builds cars and says so in plain text.", "text/plain"),
    ],
)
def test_content_decides_before_the_name(name: str, data: bytes, expected: str) -> None:
    assert detect(name, data) == expected


_EMPTY = b"\0"


@pytest.mark.parametrize(
    ("streams", "expected"),
    [
        (("EncryptionInfo", "EncryptedPackage"), ENCRYPTED_OFFICE),
        (("__properties_version1.0", "__attach/__data/EncryptedPackage"), MSG),
        (("Workbook", "MBD0001/WordDocument"), media_types.XLS),
        (("Book",), media_types.XLS),
        (("WordDocument", "ObjectPool/_1/Workbook"), media_types.DOC),
        (("CONTENTS", "inside/PowerPoint Document"), media_types.OLE),
        ((*(f"name {number}" for number in range(20)), "Workbook"), media_types.XLS),
    ],
)
def test_a_compound_file_is_what_its_root_holds(streams: tuple[str, ...], expected: str) -> None:
    assert detect("noname", compound_file(dict.fromkeys(streams, _EMPTY))) == expected


def test_every_damage_of_a_compound_file_gives_some_type() -> None:
    whole = compound_file({"Workbook": _EMPTY, "MBD0001/WordDocument": _EMPTY})
    for place in range(8, len(whole), 7):
        detect("noname", whole[:place])
        detect("noname", whole[:place] + b"\xff\x7f" + whole[place + 2 :])


@pytest.mark.parametrize(
    ("media_type", "name", "short"),
    [
        ("application/pdf", "report", "pdf"),
        (media_types.DOCX, "a.docm", "docx"),
        ("text/html", "https://example.org/a.php?x=1", "html"),
        ("text/markdown", "a.markdown", "md"),
        ("text/x-source", "a.PY", "py"),
        ("text/plain", "a.log", "log"),
        ("text/plain", "README", "txt"),
        ("image/jpeg", "a.jpeg", "jpg"),
        ("application/x-own", "a.own", "own"),
        ("application/x-own", "a", "x-own"),
    ],
)
def test_a_file_type_has_one_short_name(media_type, name, short):
    assert media_types.short_name(media_type, name) == short


@pytest.mark.parametrize(
    ("typed", "short"),
    [("PDF", "pdf"), (".docm", "docx"), ("text/html", "html"), ("htm", "html"), ("py", "py"),
     ("log", "log"), ("jpeg", "jpg"), ("image/tiff", "tif"), ("unheard", "unheard")],
)  # fmt: skip
def test_a_typed_extension_or_media_type_means_the_short_name(typed, short):
    assert media_types.short_name_of(typed) == short
