import io
import struct
import zipfile
from email.message import EmailMessage

import docx
import openpyxl
import pptx
import pytest
from compound_files import compound_file
from docx.enum.style import WD_STYLE_TYPE
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from kvasir.components.extractors.docx import DocxExtractor
from kvasir.components.extractors.epub import EpubExtractor
from kvasir.components.extractors.mail import EmlExtractor, MsgExtractor
from kvasir.components.extractors.odf import OdfExtractor
from kvasir.components.extractors.pptx import PptxExtractor
from kvasir.components.extractors.xlsx import XlsxExtractor
from kvasir.core import media_types
from kvasir.core.errors import ExtractionError
from kvasir.core.types import Document, Source

_SOURCE = Source("/folder/file", "")


def _blocks(document: Document) -> list[tuple[str, str]]:
    return [(block.kind.value, document.text[block.start : block.end]) for block in document.blocks]


def test_word_gives_headings_lists_and_merged_cells() -> None:
    word = docx.Document()
    word.core_properties.author = "Ann"
    word.add_heading("Report", 0)
    word.add_heading("Part", 2)
    word.add_paragraph("Some words.")
    word.add_paragraph("one", style="List Bullet")
    word.add_paragraph("two", style="List Bullet")
    table = word.add_table(2, 2)
    for number, cell in enumerate(cell for row in table.rows for cell in row.cells):
        cell.text = f"c{number}"
    table.cell(1, 0).merge(table.cell(1, 1)).text = "both"
    buffer = io.BytesIO()
    word.save(buffer)
    document = DocxExtractor().extract(_SOURCE, buffer.getvalue())
    assert document.title == "Report"
    assert document.metadata["author"] == "Ann"
    assert [block.level for block in document.blocks] == [1, 2, None, None, None]
    assert _blocks(document) == [
        ("heading", "Report"),
        ("heading", "Part"),
        ("paragraph", "Some words."),
        ("list", "- one\n- two"),
        ("table", "| c0 | c1 |\n| - | - |\n| both | both |"),
    ]


def test_code_and_lists_in_word_stay_in_their_order() -> None:
    word = docx.Document()
    word.styles.add_style("Source Code", WD_STYLE_TYPE.PARAGRAPH)
    for style, text in (("Source Code", "x = 1"), ("Source Code", "  y"), ("List Bullet", "one")):
        word.add_paragraph(text, style=style)
    buffer = io.BytesIO()
    word.save(buffer)
    document = DocxExtractor().extract(_SOURCE, buffer.getvalue())
    assert _blocks(document) == [("code", "x = 1\n  y"), ("list", "- one")]


def test_slides_give_titles_charts_and_notes_with_page_numbers() -> None:
    deck = pptx.Presentation()
    for number in (1, 2):
        slide = deck.slides.add_slide(deck.slide_layouts[5])
        slide.shapes.title.text = f"Slide {number}"
    data = CategoryChartData()
    data.categories = ["2023", "2024"]
    data.add_series("Ducks", (1, 2.5))
    area = (Inches(1), Inches(2), Inches(4), Inches(3))
    deck.slides[1].shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, *area, data)
    deck.slides[1].notes_slide.notes_text_frame.text = "Say hello"
    buffer = io.BytesIO()
    deck.save(buffer)
    document = PptxExtractor().extract(_SOURCE, buffer.getvalue())
    assert _blocks(document) == [
        ("heading", "Slide 1"),
        ("heading", "Slide 2"),
        ("caption", "Bar chart"),
        ("table", "|  | Ducks |\n| - | - |\n| 2023 | 1 |\n| 2024 | 2.5 |"),
        ("paragraph", "Note: Say hello"),
    ]
    assert [block.page for block in document.blocks] == [1, 2, 2, 2, 2]


def test_sheets_give_one_table_for_each_island_of_cells() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Sales"
    for row in (["item", "price"], ["bolt", 0.1 + 0.2], [None, None], [None, None], ["note", 7.0]):
        sheet.append(row)
    book.create_sheet("Empty")
    sheet["XFD1048576"] = "corner"
    buffer = io.BytesIO()
    book.save(buffer)
    assert _blocks(XlsxExtractor().extract(_SOURCE, buffer.getvalue())) == [
        ("heading", "Sales"),
        ("table", "| item | price |\n| - | - |\n| bolt | 0.3 |"),
        ("table", "| note | 7 |\n| - | - |"),
        ("table", "| corner |\n| - |"),
    ]


def _open_document(kind: str, body: str, manifest: str = "") -> bytes:
    spaces = " ".join(
        f'xmlns:{short}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for short, name in (("office", "office"), ("text", "text"), ("table", "table"))
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", f"application/vnd.oasis.opendocument.{kind}")
        archive.writestr("META-INF/manifest.xml", f"<manifest>{manifest}</manifest>")
        content = f"<office:document-content {spaces}><office:body>{body}</office:body>"
        archive.writestr("content.xml", content + "</office:document-content>")
    return buffer.getvalue()


def test_open_document_sheets_keep_repeated_cells_within_reason() -> None:
    cells = "<table:table-cell{}><text:p>{}</text:p></table:table-cell>"
    first = cells.format("", "a") + '<table:table-cell table:number-columns-repeated="16000"/>'
    second = cells.format(' table:number-columns-repeated="2"', "b")
    body = (
        f'<office:spreadsheet><table:table table:name="One"><table:table-row>{first}'
        f"</table:table-row><table:table-row>{second}</table:table-row>"
        '<table:table-row table:number-rows-repeated="1000000"><table:table-cell/>'
        "</table:table-row></table:table></office:spreadsheet>"
    )
    document = OdfExtractor().extract(_SOURCE, _open_document("spreadsheet", body))
    assert _blocks(document) == [("heading", "One"), ("table", "| a |  |\n| - | - |\n| b | b |")]


def test_an_encrypted_open_document_asks_for_its_password() -> None:
    data = _open_document("text", "<office:text/>", "<encryption-data/>")
    with pytest.raises(ExtractionError, match="password") as caught:
        OdfExtractor().extract(_SOURCE, data)
    assert caught.value.reason == "encrypted"


def test_an_epub_is_read_in_the_order_of_its_spine() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr(
            "META-INF/container.xml",
            '<container><rootfiles><rootfile full-path="b/p.opf"/></rootfiles></container>',
        )
        archive.writestr(
            "b/p.opf",
            '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Book</dc:title>'
            '<manifest><item id="y" href="y.xhtml" media-type="application/xhtml+xml"/>'
            '<item id="x" href="x%20x.xhtml" media-type="application/xhtml+xml"/></manifest>'
            '<spine><itemref idref="x"/><itemref idref="y"/></spine></package>',
        )
        archive.writestr("b/y.xhtml", "<html><body><p>Second</p></body></html>")
        archive.writestr("b/x x.xhtml", "<html><body><h1>First</h1></body></html>")
    document = EpubExtractor().extract(_SOURCE, buffer.getvalue())
    assert document.title == "Book"
    assert _blocks(document) == [("heading", "First"), ("paragraph", "Second")]


def test_every_page_of_an_epub_is_read_or_reported() -> None:
    pages = [
        ("Text/A.xhtml", "text/a.xhtml", "application/xhtml+xml", "<html><body>One</body></html>"),
        ("b.xml", "b.xml", "text/xml", "<html><body>Two</body></html>"),
        ("c.svg", "c.svg", "image/svg+xml", "<svg><title>Map</title><text>The quay</text></svg>"),
        ("d.pdf", "d.pdf", "application/pdf", "%PDF-"),
        ("e.png", "e.png", "image/png", "PNG"),
        ("f.html", "f.html", "text/html", "<html><body>Five</body></html>"),
    ]
    items = "".join(
        f'<item id="{path[0]}" href="{href}" media-type="{kind}"'
        f"{' fallback=' + repr('f') if path == 'e.png' else ''}/>"
        for path, href, kind, _ in pages
    )
    spine = "".join(f'<itemref idref="{one}"/>' for one in "Tbcde")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(
            "META-INF/container.xml", '<c><rootfiles><rootfile full-path="p.opf"/></rootfiles></c>'
        )
        archive.writestr(
            "p.opf",
            '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:creator>Ann</dc:creator>'
            f"<dc:creator>Bob</dc:creator><manifest>{items}</manifest><spine>{spine}</spine>"
            "</package>",
        )
        for path, _, _, content in pages:
            archive.writestr(path, content)
    document = EpubExtractor().extract(_SOURCE, buffer.getvalue())
    assert document.text == "One\n\nTwo\n\nMap\n\nThe quay\n\nFive"
    assert document.metadata["author"] == "Ann, Bob"
    assert document.warnings == (
        "chapter d.pdf is not read: it is application/pdf, which is not read in a book",
    )


@pytest.mark.parametrize("chapter", ["", None, "<ul>" * 3000])
def test_a_chapter_that_cannot_be_read_leaves_the_others(chapter: str | None) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(
            "META-INF/container.xml", '<c><rootfiles><rootfile full-path="p.opf"/></rootfiles></c>'
        )
        archive.writestr(
            "p.opf",
            '<package><manifest><item id="a" href="a.html" media-type="text/html"/>'
            '<item id="b" href="b.html" media-type="text/html"/></manifest>'
            '<spine><itemref idref="a"/><itemref idref="b"/></spine></package>',
        )
        if chapter is not None:
            archive.writestr("a.html", chapter)
        archive.writestr("b.html", "<p>Second</p>")
    document = EpubExtractor().extract(_SOURCE, buffer.getvalue())
    assert _blocks(document) == [("paragraph", "Second")]
    assert document.warnings[0].startswith("chapter a.html is not read: ")


def test_mail_gives_headers_body_and_the_text_of_attachments() -> None:
    mail = EmailMessage()
    mail["From"], mail["To"] = "Ann <ann@example.org>", "ben@example.org"
    mail["Subject"], mail["Date"] = "Grüße", "Mon, 02 Mar 2026 10:00:00 +0100"
    mail.set_content("Hello Ben,\n\nsee below.")
    mail.add_attachment(b"# Plan\n\nStep one", maintype="text", subtype="x", filename="plan.md")
    mail.add_attachment(bytes(range(256)), maintype="a", subtype="b", filename="blob.bin")
    inner = EmailMessage()
    inner["Subject"] = "Inner"
    inner.set_content("Deep words")
    mail.add_attachment(inner, filename="inner.eml")
    document = EmlExtractor().extract(_SOURCE, mail.as_bytes())
    assert document.title == "Grüße"
    assert _blocks(document)[:3] == [
        ("heading", "Grüße"),
        (
            "paragraph",
            "From: Ann <ann@example.org>\nTo: ben@example.org\n"
            "Date: Mon, 02 Mar 2026 10:00:00 +0100",
        ),
        ("paragraph", "Hello Ben,"),
    ]
    assert ("heading", "plan.md") in _blocks(document)
    assert "Step one" in document.text
    assert "Deep words" in document.text
    assert document.metadata["date"] == "2026-03-02T10:00:00+01:00"
    assert document.metadata["unread_attachments"] == "blob.bin (application/octet-stream)"


_LIMIT = "<p>The daily limit is 1500 euros.</p>"


@pytest.mark.parametrize("plain", ["", " \r\n\t\r\n", "\u00a0\u200b\ufeff\n"])
@pytest.mark.parametrize("subtype", ["alternative", "mixed"])
def test_a_mail_whose_text_part_is_empty_is_read_from_its_html_part(
    plain: str, subtype: str
) -> None:
    mail = EmailMessage()
    mail["Subject"] = "Limit"
    getattr(mail, f"make_{subtype}")()
    for text, kind in ((plain, "plain"), (_LIMIT, "html")):
        part = EmailMessage()
        part.set_content(text, subtype=kind)
        mail.attach(part)
    document = EmlExtractor().extract(_SOURCE, mail.as_bytes())
    assert _blocks(document)[-1] == ("paragraph", "The daily limit is 1500 euros.")


@pytest.mark.parametrize("page", ["<!-- nothing -->", "<p>\u200b</p>"])
def test_a_mail_without_any_words_keeps_its_headers(page: str) -> None:
    mail = EmailMessage()
    mail["Subject"] = "Limit"
    mail.set_content("\n")
    mail.add_alternative(page, subtype="html")
    document = EmlExtractor().extract(_SOURCE, mail.as_bytes())
    assert _blocks(document)[0] == ("heading", "Limit")


@pytest.mark.parametrize("plain", ["", " \r\n", "\u00a0\u200b"])
def test_an_outlook_message_whose_text_is_empty_is_read_from_its_html(plain: str) -> None:
    streams = _outlook_mail({"0037": "Limit", "1000": plain})
    streams["__substg1.0_10130102"] = _LIMIT.encode()
    document = MsgExtractor().extract(_SOURCE, compound_file(streams))
    assert _blocks(document)[-1] == ("paragraph", "The daily limit is 1500 euros.")


def _mail_with(name: str, data: bytes) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = "Figures"
    mail.set_content("See the sheet.")
    mail.add_attachment(data, maintype="a", subtype="b", filename=name)
    mail.add_attachment(b"Step one", maintype="text", subtype="plain", filename="plan.txt")
    return mail


def _workbook_without_parts() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return buffer.getvalue()


def test_a_broken_attachment_is_named_with_the_reason_and_the_mail_is_read() -> None:
    mail = _mail_with("sheet.xlsx", _workbook_without_parts())
    document = EmlExtractor().extract(_SOURCE, mail.as_bytes())
    assert "See the sheet." in document.text
    assert "Step one" in document.text
    unread = str(document.metadata["unread_attachments"])
    assert unread.startswith("sheet.xlsx (it is damaged (OSError: File contains no valid workbook")


def test_what_an_attached_mail_could_not_read_is_named_in_the_outer_mail() -> None:
    outer = _mail_with("inner.eml", _mail_with("blob.bin", bytes(range(256))).as_bytes())
    document = EmlExtractor().extract(_SOURCE, outer.as_bytes())
    named = "in inner.eml: blob.bin (application/octet-stream)"
    assert document.metadata["unread_attachments"] == named


def test_an_attachment_that_needs_too_much_memory_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def exhaust(*_: object) -> Document:
        raise MemoryError

    monkeypatch.setattr(XlsxExtractor, "extract", exhaust)
    mail = _mail_with("sheet.xlsx", _workbook_without_parts())
    with pytest.raises(MemoryError):
        EmlExtractor().extract(_SOURCE, mail.as_bytes())


def _outlook_mail(texts: dict[str, str], *, folder: str = "", header: int = 32) -> dict[str, bytes]:
    """Returns the streams of a message; one inside another has a shorter header."""
    sent = struct.pack("<HHIQ", 0x40, 0x39, 6, 134_000_000_000_000_000)
    streams = {f"{folder}__properties_version1.0": bytes(header) + sent}
    for number, text in texts.items():
        streams[f"{folder}__substg1.0_{number}001F"] = text.encode("utf-16-le")
    return streams


def test_outlook_messages_give_headers_and_body() -> None:
    streams = _outlook_mail(
        {
            "0037": "Plan for spring",
            "1000": "Dear Ben,\r\n\r\nwe start on Monday.",
            "0C1A": "Ann",
            "5D01": "ann@example.org",
            "0E04": "Ben",
        }
    )
    document = MsgExtractor().extract(_SOURCE, compound_file(streams))
    assert document.title == "Plan for spring"
    assert _blocks(document) == [
        ("heading", "Plan for spring"),
        ("paragraph", "From: Ann <ann@example.org>\nTo: Ben\nDate: 2025-08-18T14:13:20+00:00"),
        ("paragraph", "Dear Ben,"),
        ("paragraph", "we start on Monday."),
    ]
    assert document.metadata["from"] == "Ann <ann@example.org>"


def test_an_outlook_message_in_another_is_read_with_its_attachments() -> None:
    attached = "__attach_version1.0_#00000000/"
    inside = f"{attached}__substg1.0_3701000D/"
    streams = _outlook_mail({"0037": "Outer", "1000": "See the mail."})
    streams |= {f"{attached}__substg1.0_3001001F": "Forwarded".encode("utf-16-le")}
    streams |= _outlook_mail({"0037": "Inner", "1000": "Deep words"}, folder=inside, header=24)
    streams |= {
        f"{inside}{attached}__substg1.0_3707001F": "plan.txt".encode("utf-16-le"),
        f"{inside}{attached}__substg1.0_37010102": b"Step one",
    }
    document = MsgExtractor().extract(_SOURCE, compound_file(streams))
    sent = ("paragraph", "Date: 2025-08-18T14:13:20+00:00")
    assert _blocks(document) == [
        ("heading", "Outer"),
        sent,
        ("paragraph", "See the mail."),
        ("heading", "Forwarded"),
        ("heading", "Inner"),
        sent,
        ("paragraph", "Deep words"),
        ("heading", "plan.txt"),
        ("paragraph", "Step one"),
    ]
    assert "unread_attachments" not in document.metadata


def test_outlook_messages_in_each_other_are_read_to_a_depth_of_three() -> None:
    streams, folder = {}, ""
    for depth in range(5):
        header = 24 if depth else 32
        streams |= _outlook_mail({"0037": f"Mail {depth}"}, folder=folder, header=header)
        folder += "__attach_version1.0_#00000000/__substg1.0_3701000D/"
    document = MsgExtractor().extract(_SOURCE, compound_file(streams))
    assert "Mail 3" in document.text
    assert "Mail 4" not in document.text
    assert document.metadata["unread_attachments"] == (
        "in attachment-1: in attachment-1: in attachment-1: "
        "attachment-1 (mail inside mail is read to a depth of 3)"
    )


def test_what_a_program_put_into_an_outlook_message_is_named_as_unread() -> None:
    streams = _outlook_mail({"0037": "Drawing"})
    streams["__attach_version1.0_#00000000/__substg1.0_3701000D/CONTENTS"] = b"of its own"
    document = MsgExtractor().extract(_SOURCE, compound_file(streams))
    named = "attachment-1 (application/x-ole-storage)"
    assert document.metadata["unread_attachments"] == named


def test_a_body_that_is_rtf_alone_is_named_as_unread() -> None:
    rtf = {"__substg1.0_10090102": b"LZFu"}
    document = MsgExtractor().extract(_SOURCE, compound_file(_outlook_mail({"0037": "A"}) | rtf))
    assert str(document.metadata["unread_attachments"]).startswith("body (it is RTF alone")
    both = _outlook_mail({"0037": "A", "1000": "Words"}) | rtf
    document = MsgExtractor().extract(_SOURCE, compound_file(both))
    assert "unread_attachments" not in document.metadata


def test_an_attachment_that_cannot_be_opened_leaves_an_outlook_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    streams = _outlook_mail({"0037": "A", "1000": "Words"})
    streams["__attach_version1.0_#00000000/__substg1.0_37010102"] = b"Step one"
    monkeypatch.setattr(media_types, "detect", lambda *_: 1 / 0)
    document = MsgExtractor().extract(_SOURCE, compound_file(streams))
    assert "Words" in document.text
    assert "ZeroDivisionError" in str(document.metadata["unread_attachments"])


def test_an_impossible_time_of_an_outlook_message_is_left_out() -> None:
    streams = _outlook_mail({"0037": "A", "1000": "Words"})
    sent = struct.pack("<HHIQ", 0x40, 0x39, 6, 2**64 - 1)
    streams["__properties_version1.0"] = bytes(32) + sent
    document = MsgExtractor().extract(_SOURCE, compound_file(streams))
    assert "Words" in document.text
    assert "date" not in document.metadata


def test_strict_open_xml_is_named_as_such() -> None:
    buffer, strict = io.BytesIO(), io.BytesIO()
    docx.Document().save(buffer)
    with zipfile.ZipFile(buffer) as archive, zipfile.ZipFile(strict, "w") as copy:
        for name in archive.namelist():
            data = archive.read(name)
            usual = b"http://schemas.openxmlformats.org/officeDocument/2006/"
            copy.writestr(name, data.replace(usual, b"http://purl.oclc.org/ooxml/officeDocument/"))
    for extractor in (DocxExtractor(), PptxExtractor(), XlsxExtractor()):
        with pytest.raises(ExtractionError, match="Strict") as raised:
            extractor.extract(_SOURCE, strict.getvalue())
        assert raised.value.reason == "unsupported"


def test_a_damaged_office_file_is_reported_as_damaged() -> None:
    for extractor in (DocxExtractor(), PptxExtractor(), XlsxExtractor(), OdfExtractor()):
        with pytest.raises(ExtractionError, match="damaged"):
            extractor.extract(_SOURCE, b"PK\x03\x04 cut off")
