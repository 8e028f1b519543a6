"""Makes PDF files from content streams, for what a library for reports does not write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_MAP = (
    "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def "
    "1 begincodespacerange <00> <FF> endcodespacerange {} beginbfchar {} endbfchar endcmap end end"
)


@dataclass(frozen=True)
class Page:
    """A page: its content stream, entries of its dictionary and of its resources, annotations."""

    content: str
    entries: str = ""
    annotations: Sequence[str] = ()
    box: str = "0 0 612 792"
    resources: str = ""


@dataclass(frozen=True)
class RawPdf:
    """A file of pages; ``unicode`` gives the text of each character code of the font ``/F2``."""

    pages: Sequence[Page]
    font: str = "Helvetica"
    unicode: Mapping[int, str] = field(default_factory=dict)
    catalog: str = ""
    info: str = ""
    objects: Mapping[int, str] = field(default_factory=dict)
    """Further objects, by numbers from 900."""

    def data(self) -> bytes:
        """Return the file."""
        objects: dict[int, bytes] = {
            3: f"<< /Type /Font /Subtype /Type1 /BaseFont /{self.font} >>".encode(),
            4: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 5 0 R >>",
            5: _stream(_MAP.format(len(self.unicode), self._characters())),
            6: f"<< {self.info} >>".encode("latin-1"),
        }
        kids = []
        number = 10
        for page in self.pages:
            marks = []
            for mark in page.annotations:
                number += 1
                marks.append(f"{number} 0 R")
                objects[number] = f"<< /Type /Annot {mark} >>".encode("latin-1")
            objects[number + 1] = _stream(page.content)
            objects[number + 2] = (
                f"<< /Type /Page /Parent 2 0 R /MediaBox [{page.box}] {page.entries} "
                f"/Resources << /Font << /F1 3 0 R /F2 4 0 R >> {page.resources} >> "
                f"/Contents {number + 1} 0 R /Annots [{' '.join(marks)}] >>"
            ).encode("latin-1")
            kids.append(f"{number + 2} 0 R")
            number += 2
        objects[1] = f"<< /Type /Catalog /Pages 2 0 R {self.catalog} >>".encode()
        objects[2] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
        objects |= {key: value.encode("latin-1") for key, value in self.objects.items()}
        return _file(objects)

    def _characters(self) -> str:
        return " ".join(
            f"<{code:02X}> <{text.encode('utf-16-be').hex().upper()}>"
            for code, text in self.unicode.items()
        )


def _stream(content: str) -> bytes:
    body = content.encode("latin-1")
    return b"<< /Length %d >>\nstream\n%s\nendstream" % (len(body), body)


def _file(objects: Mapping[int, bytes]) -> bytes:
    data, offsets = b"%PDF-1.7\n", {}
    for number in sorted(objects):
        offsets[number] = len(data)
        data += b"%d 0 obj\n%s\nendobj\n" % (number, objects[number])
    start = len(data)
    data += b"xref\n0 1\n0000000000 65535 f \n"
    for number, offset in sorted(offsets.items()):
        data += b"%d 1\n%010d 00000 n \n" % (number, offset)
    size = max(objects) + 1
    data += b"trailer << /Size %d /Root 1 0 R /Info 6 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        size,
        start,
    )
    return data
