"""Text of pages that are pictures: recognized once, with the place of every line."""

from __future__ import annotations

import ctypes
import io
import sys
from contextvars import copy_context
from email.message import EmailMessage

import pypdfium2 as pdfium
import pytest
from pdf_files import make_pdf
from PIL import Image

from kvasir.answering.citations import CitationChecker
from kvasir.components.extractors import ocr
from kvasir.components.extractors.image import ImageExtractor
from kvasir.components.extractors.mail import EmlExtractor
from kvasir.components.extractors.pdf import PdfExtractor
from kvasir.core.errors import ExtractionError
from kvasir.core.ledger import DocumentVersion
from kvasir.core.media_types import detect
from kvasir.core.ocr import set_ocr
from kvasir.core.types import Chunk, Document, Hit, PageBox, RecognizedSpan, Source
from kvasir.testing import scans

TEXT = "The harbour master enters every vessel in a register. Fees are due within 30 days."
KINDS = ("PNG", "JPEG", "TIFF", "WEBP")
MOST_ERRORS = 0.03


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return scans.print_page([TEXT], size=(430, 400), margin=20)


def read(data: bytes, name: str = "scan") -> Document:
    source = Source(f"/{name}", detect(name, data))
    extractor = PdfExtractor() if source.media_type == "application/pdf" else ImageExtractor()
    return extractor.extract(source, data)


def error_rate(document: Document, text: str = TEXT) -> float:
    return scans.character_errors(text, document.text) / len(text.replace(" ", ""))


@pytest.mark.parametrize(("kind", "turn"), list(zip(KINDS, (0, 90, 180, 270), strict=True)))
def test_a_picture_is_read_however_it_is_turned(picture, kind, turn):
    document = read(scans.encoded(picture.rotate(turn, expand=True), kind))
    assert error_rate(document) < MOST_ERRORS
    first = document.recognized[0]
    assert document.text[first.start : first.end].startswith("The harbour master")
    box = first.box
    assert 0 <= box.left < box.right <= 1
    assert 0 <= box.top < box.bottom <= 1
    # The side of the picture at which the first line stands.
    sides = {0: 1 - box.bottom, 90: 1 - box.right, 180: box.top, 270: box.left}
    assert max(sides, key=sides.__getitem__) == turn
    assert box.confidence > 0.9


def test_a_scanned_pdf_keeps_page_box_and_properties(picture):
    blank = Image.new("L", picture.size, 255)
    pages: list[tuple[int, int]] = []

    def extract() -> Document:
        set_ocr(lambda page, count: pages.append((page, count)))
        return read(scans.scanned_pdf([blank, scans.degrade(picture)]), "scan.pdf")

    document = copy_context().run(extract)
    assert error_rate(document) < MOST_ERRORS
    assert pages == [(1, 2), (2, 2)]
    assert {span.box.page for span in document.recognized} == {2}
    assert {block.page for block in document.blocks} == {2}
    assert document.metadata["pages_without_text"] == (1,)


def test_each_frame_of_a_tiff_is_a_page(picture):
    data = scans.encoded(picture, "TIFF", save_all=True, append_images=[picture])
    document = read(data)
    assert {span.box.page for span in document.recognized} == {1, 2}
    assert document.metadata["pages"] == 2
    assert error_rate(document, TEXT * 2) < MOST_ERRORS


def test_a_picture_in_a_mail_is_read_and_a_logo_is_left_out_of_the_report(picture):
    mail = EmailMessage()
    mail.set_content("See below.")
    for name, image in (("scan.png", picture), ("logo.png", Image.new("L", (40, 40), 255))):
        data = scans.encoded(image, "PNG")
        mail.add_attachment(data, maintype="image", subtype="png", filename=name)
    document = EmlExtractor().extract(Source("/a.eml", "message/rfc822"), mail.as_bytes())
    assert "Fees are due within 30 days." in document.text
    assert document.metadata["unread_attachments"] == "logo.png (image/png)"
    assert document.warnings == ()


@pytest.mark.parametrize("mode", ["1", "RGBA", "I;16", "P", "CMYK"])
def test_every_mode_of_pixels_is_read_as_black_on_white(picture, mode, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "kvasir.components.extractors.ocr_pages.recognize",
        lambda pixels: seen.append(pixels) or ocr.ReadPage((), 1, 1),
    )
    image = picture
    if mode == "RGBA":
        image = Image.new("RGBA", picture.size, (0, 0, 0, 0))
        image.putalpha(picture.point(lambda value: 255 - value))
    elif mode == "I;16":
        image = picture.convert("I").point(lambda value: value * 257).convert("I;16")
    else:
        image = picture.convert(mode)
    with pytest.raises(ExtractionError, match="no text was recognized"):
        read(scans.encoded(image, "TIFF"))
    (pixels,) = seen
    assert pixels.shape == (picture.height, picture.width, 3)
    assert (pixels[0, 0] == 255).all()
    assert pixels.min() < 60


def test_a_page_with_text_is_not_recognized(monkeypatch):
    monkeypatch.setattr("kvasir.components.extractors.ocr_pages.recognize", pytest.fail)
    document = read(make_pdf([[(72, 700, 12, "Green tea is brewed at 75 degrees.")]]), "a.pdf")
    assert document.recognized == ()
    assert "pages_recognized" not in document.metadata


def stamped(data: bytes, stamps: list[str], y: float = 5.0, mode: int = 0) -> bytes:
    """Return a PDF with a line of text at the foot of each page, in a rendering mode."""
    pdf = pdfium.PdfDocument(data)
    for page, stamp in zip(pdf, stamps, strict=True):
        text = pdfium.raw.FPDFPageObj_NewTextObj(pdf.raw, b"Helvetica", 4.5)
        pdfium.raw.FPDFText_SetText(text, ctypes.cast(_utf16(stamp), pdfium.raw.FPDF_WIDESTRING))
        pdfium.raw.FPDFPageObj_Transform(text, 1, 0, 0, 1, 5, y)
        pdfium.raw.FPDFTextObj_SetTextRenderMode(text, mode)
        pdfium.raw.FPDFPage_InsertObject(page.raw, text)
        page.gen_content()
    stream = io.BytesIO()
    pdf.save(stream)
    return stream.getvalue()


def _utf16(text: str) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(text.encode("utf-16-le") + b"\0\0")


@pytest.mark.parametrize("y", [5.0, 60.0])
def test_a_scan_with_a_stamp_is_recognized_and_keeps_its_stamp(picture, y):
    data = stamped(scans.scanned_pdf([picture, picture]), ["ABC000041", "ABC000042"], y)
    document = read(data, "scan.pdf")
    assert error_rate(document, f"{TEXT}ABC000041{TEXT}ABC000042") < MOST_ERRORS
    assert document.metadata["pages_recognized"] == (1, 2)
    assert "pages_without_text" not in document.metadata


@pytest.mark.usefixtures("without_extra")
def test_a_scan_with_a_stamp_is_reported_if_it_is_not_recognized(picture):
    document = read(stamped(scans.scanned_pdf([picture]), ["ABC000041"]), "scan.pdf")
    assert document.text.strip() == "ABC000041"
    assert document.metadata["pages_without_text"] == (1,)
    assert "pages that are pictures were not read (1)" in document.warnings[0]


@pytest.mark.parametrize(
    ("words", "mode"),
    [("A caption over a photograph that says what is to be seen there.", 0), ("Recognized", 3)],
)
def test_a_picture_under_text_is_not_recognized_again(picture, words, mode, monkeypatch):
    monkeypatch.setattr("kvasir.components.extractors.ocr_pages.recognize", pytest.fail)
    document = read(stamped(scans.scanned_pdf([picture]), [words], 60.0, mode), "scan.pdf")
    assert document.text.strip() == words
    assert "pages_recognized" not in document.metadata


def test_a_reduced_picture_keeps_the_last_lines_of_its_table():
    page = scans.print_page(["Item A", "3", "45"], size=(300, 900), margin=20)
    numbers = scans.print_page(["Depot 3 holds 45 crates"], size=(500, 60), margin=5)
    tall = Image.new("L", (500, 5200), 255)
    tall.paste(page, (0, 0))
    tall.paste(numbers, (0, 600))
    text = read(scans.encoded(tall, "PNG")).text
    assert "45" in text
    assert "Depot 3 holds 45 crates" in text


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)


@pytest.mark.usefixtures("without_extra")
@pytest.mark.parametrize("make", [scans.scanned_pdf, lambda pages: scans.encoded(pages[0], "PNG")])
def test_without_the_extra_the_message_names_it(picture, make):
    with pytest.raises(ExtractionError, match=r"the extra 'ocr'.* is not installed") as caught:
        read(make([picture]))
    assert caught.value.reason == "image_only"


@pytest.mark.parametrize("make", [scans.scanned_pdf, lambda pages: scans.encoded(pages[0], "PNG")])
def test_ocr_can_be_turned_off(picture, make):
    def extract() -> Document:
        set_ocr(None)
        return read(make([picture]))

    with pytest.raises(ExtractionError, match=r"rag\.ingest\.ocr is off") as caught:
        copy_context().run(extract)
    assert caught.value.reason == "ocr_off"


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_picture_is_one_sentence(picture, kind):
    data = scans.encoded(picture, kind)
    with pytest.raises(ExtractionError) as caught:
        read(data[: len(data) // 3])
    assert caught.value.reason == "malformed"
    assert "\n" not in str(caught.value)


def test_a_picture_of_too_many_pixels_is_not_decoded():
    data = scans.encoded(Image.new("1", (12_000, 12_000)), "PNG")
    with pytest.raises(ExtractionError, match="more than 89 million pixels") as caught:
        read(data)
    assert caught.value.reason == "too_large"


def test_a_citation_names_the_box_around_its_quote():
    text = "First line of it. Second line\nof it here. Third."
    spans = tuple(
        RecognizedSpan(start, end, PageBox(page, left, top, 0.9, top + 0.05, sure))
        for start, end, page, left, top, sure in (
            (0, 29, 3, 0.1, 0.2, 0.99),
            (30, 41, 3, 0.05, 0.3, 0.95),
            (42, 48, 4, 0.1, 0.1, 0.5),
        )
    )
    chunk = Chunk("c", "d", text, 0, len(text), 2, (), {"source_uri": "/s.pdf"})
    version = DocumentVersion(text, "hash", spans)
    checker = CitationChecker("Q?", [Hit(chunk, 1.0)], find_version=lambda _: version)
    checker.feed("Second line of it here [1].")
    (citation,) = checker.citations
    assert citation.page == 3
    assert citation.box == PageBox(3, 0.05, 0.2, 0.9, pytest.approx(0.35), 0.95)


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_a_heif_file_is_known_by_its_content(brand):
    data = b"\x00\x00\x00\x18ftyp" + brand + bytes(12)
    assert detect("photo", data) == "image/heic"
    with pytest.raises(ExtractionError) as caught:
        read(data, "photo")
    assert caught.value.reason == "malformed"
