"""Mail in the encodings, and with the parts, that real mail programs write."""

from email.header import Header
from email.message import EmailMessage
from email.mime.application import MIMEApplication
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest

from kvasir.components.extractors.mail import EmlExtractor
from kvasir.core.errors import ExtractionError
from kvasir.core.types import Document, Source

_SOURCE = Source("/folder/a.eml", "message/rfc822")


def _read(data: bytes) -> Document:
    return EmlExtractor().extract(_SOURCE, data)


@pytest.mark.parametrize(
    ("written", "subject"),
    [
        (Header("Grüße", "utf-8").encode().encode(), "Grüße"),
        # A label means what it means in a browser: gb2312 is GBK.
        (b"=?gb2312?B?" + b"6Eg=" + b"?=", "鐷".encode("gbk").decode("gbk")),
        (b"=?iso-8859-1?Q?20_=80?=", "20 €"),
        (b"=?utf-8?Q?Gr=C3=BC=C3?=\n =?utf-8?Q?=9Fe?= an alle", None),
        # Bytes that nobody declared.
        ("Отчёт о диске".encode("koi8-r"), "Отчёт о диске"),
        ("Grüße aus Köln".encode(), "Grüße aus Köln"),
        (b"=?no-such?Q?words?=", "words"),
        (b"=?utf-8?B?broken", "=?utf-8?B?broken"),
    ],
)
def test_headers_are_decoded_by_what_they_declare(written: bytes, subject: str | None) -> None:
    document = _read(b"From: a@x.org\nSubject: " + written + b"\n\nBody.\n")
    if subject is not None:
        assert document.title == subject
        assert document.metadata["subject"] == subject
    else:
        assert document.title.endswith("e an alle")


def test_an_empty_text_part_gives_way_to_the_html_part() -> None:
    mail = EmailMessage()
    mail.set_content("\n\u200b\n")
    mail.add_alternative("<p>The limit is <b>1500</b> euros.</p>", subtype="html")
    assert "The limit is 1500 euros." in _read(mail.as_bytes()).text


def test_every_attachment_is_named_whether_it_is_read_or_not() -> None:
    mail = EmailMessage()
    mail["Subject"] = "Photos"
    mail.set_content("See below.")
    picture, archive = b"\x89PNG\r\n\x1a\n0", b"7z\xbc\xaf\x27\x1c"
    mail.add_attachment(picture, maintype="image", subtype="png", filename="Fähre.png")
    mail.add_attachment(archive, maintype="application", subtype="x-7z", filename="a.7z")
    mail.add_attachment("word;zahl\neins;1\n".encode("utf-16"), maintype="text", subtype="csv",
                        filename="Liste.csv")  # fmt: skip
    document = _read(mail.as_bytes())
    assert "Attachment: Fähre.png" in document.text
    assert "Liste.csv\n\n| word | zahl |" in document.text
    assert document.warnings == ("not all of it is read: a.7z (application/x-7z-compressed)",)
    assert document.metadata["unread_attachments"] == (
        "Fähre.png (image/png); a.7z (application/x-7z-compressed)"
    )


def _joined(subtype: str, *parts: MIMEBase) -> MIMEMultipart:
    joined = MIMEMultipart(subtype)
    for part in parts:
        joined.attach(part)
    return joined


def _archive(name: str) -> MIMEApplication:
    part = MIMEApplication(b"7z\xbc\xaf\x27\x1c", "x-7z")
    part.add_header("Content-Disposition", "attachment", filename=name)
    return part


def _paragraphs(mail: MIMEBase) -> list[str]:
    document = _read(b"Subject: x\n" + mail.as_bytes())
    return [document.text[block.start : block.end] for block in document.blocks[1:]]


_SIGNATURE = MIMEApplication(b"signature", "pgp-signature", name="signature.asc")
_LETTER, _FOOTER = MIMEText("<p>Letter</p>", "html"), MIMEText("Footer")


@pytest.mark.parametrize(
    ("mail", "paragraphs"),
    [
        (_joined("mixed", _LETTER, _FOOTER), ["Letter", "Footer"]),
        (
            _joined("signed", _joined("mixed", MIMEText("Letter"), _archive("a.7z")), _SIGNATURE),
            ["Letter", "Attachment: a.7z"],
        ),
        (
            _joined(
                "alternative",
                MIMEText("Plain"),
                _joined("mixed", _LETTER, _archive("a.7z"), MIMEText("<p>End</p>", "html")),
            ),
            ["Plain", "Attachment: a.7z"],
        ),
        (
            _joined("mixed", _joined("related", _LETTER, _archive("a.7z")), _archive("b.7z")),
            ["Letter", "Attachment: a.7z", "Attachment: b.7z"],
        ),
        (_joined("alternative", _LETTER, MIMEText("Plain")), ["Plain"]),
        (_joined("alternative", MIMEText(" "), _LETTER), ["Letter"]),
        (_archive("a.7z"), ["Attachment: a.7z"]),
        (MIMEText("a: b", "x-own"), ["a: b"]),
    ],
)
def test_every_part_of_a_mail_is_read_and_a_text_in_two_forms_once(
    mail: MIMEBase, paragraphs: list[str]
) -> None:
    assert _paragraphs(mail) == paragraphs


def test_a_text_file_beside_the_body_is_an_attachment_in_its_own_encoding() -> None:
    notes = MIMEText("za\u017c\u00f3\u0142\u0107", "plain", "iso-8859-2")
    notes.add_header("Content-Disposition", "inline", filename="notes.txt")
    assert _paragraphs(_joined("mixed", MIMEText("Letter"), notes)) == [
        "Letter",
        "notes.txt",
        "za\u017c\u00f3\u0142\u0107",
    ]


def test_a_part_that_names_no_boundary_is_text() -> None:
    assert "Letter" in _read(b"Subject: x\nContent-Type: multipart/mixed\n\nLetter\n").text


def test_a_page_that_is_saved_as_a_mail_is_read_without_its_styles_and_pictures() -> None:
    parts = [
        ("text/html", "quoted-printable", "<p>The fee is 3=\n0 euros.</p>"),
        ("text/css", "quoted-printable", "p {color: red}"),
        ("image/png", "base64", "iVBORw0KGgo="),
        ("text/html", "8bit", "<p>A frame</p>"),
    ]
    written = "".join(
        f"--b\nContent-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n"
        f"Content-Location: https://x.org/{number}\n\n{text}\n"
        for number, (kind, encoding, text) in enumerate(parts)
    )
    head = "Subject: Page\nMIME-Version: 1.0\nContent-Type: multipart/related; boundary=b\n\n"
    document = _read(f"{head}{written}--b--\n".encode())
    assert document.text == "Page\n\nThe fee is 30 euros.\n\nA frame"
    assert "unread_attachments" not in document.metadata


def test_a_file_with_an_address_and_no_name_is_an_attachment() -> None:
    kinds = {
        "application/pdf": "%PDF-1.4",
        "message/rfc822": "Subject: Inner\n\nForwarded words.",
        "application/javascript": "alert(1)",
        "application/font-woff": "wOFF",
    }
    written = "".join(
        f"--b\nContent-Type: {kind}\nContent-Location: https://x.org/{number}\n\n{text}\n"
        for number, (kind, text) in enumerate(kinds.items())
    )
    body = "--b\nContent-Type: text/html\n\n<p>Words.</p>\n"
    head = "Subject: Page\nMIME-Version: 1.0\nContent-Type: multipart/related; boundary=b\n\n"
    document = _read(f"{head}{body}{written}--b--\n".encode())
    assert "Forwarded words." in document.text
    assert str(document.metadata["unread_attachments"]).startswith("attachment-1 (it is damaged")
    assert "alert" not in document.text


def test_the_report_on_a_delivery_is_read() -> None:
    report = (
        b"Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: text/plain\n\nFailed.\n"
        b"--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x.org\n\n"
        b"Diagnostic-Code: 550 no such user\n\n--b--\n"
    )
    text = _read(b"Subject: x\n" + report).text
    assert "Failed." in text
    assert "550 no such user" in text


_SIGNED = bytes.fromhex("308006092a864886f70d010702a080")
_SEALED = bytes.fromhex("308006092a864886f70d010703a080")


@pytest.mark.parametrize(("content", "reason"), [(_SIGNED, "unsupported"), (_SEALED, "encrypted")])
def test_a_mail_inside_its_signature_is_not_called_encrypted(content: bytes, reason: str) -> None:
    mail = MIMEApplication(content, "pkcs7-mime", name="smime.p7m")
    with pytest.raises(ExtractionError) as raised:
        _read(mail.as_bytes())
    assert raised.value.reason == reason
    document = _read(_joined("mixed", MIMEText("Footer"), mail).as_bytes())
    assert "Footer" in document.text
    assert str(raised.value) in str(document.metadata["unread_attachments"])


def test_a_date_with_an_impossible_offset_is_kept_as_it_is() -> None:
    date = "Mon, 1 Jan 2024 10:00:00 +99999999999"
    assert _read(f"Date: {date}\n\nBody.\n".encode()).metadata["date"] == date


def test_a_part_that_cannot_be_read_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise LookupError("odd")

    monkeypatch.setattr("kvasir.components.extractors.mail.add_page", fail)
    mail = _joined("mixed", _LETTER, _FOOTER, _archive("a.7z"))
    document = _read(mail.as_bytes())
    assert "Footer" in document.text
    assert "Attachment: a.7z" in document.text
    assert document.warnings[0].startswith("not all of it is read: body (it is damaged (Lookup")


def test_the_warnings_of_attachments_come_after_their_names() -> None:
    table = _joined("mixed", MIMEText("Table"), _archive("a.7z"))
    inner = MIMEBase("message", "rfc822")
    inner.add_header("Content-Disposition", "attachment", filename="inner.eml")
    inner.attach(table)
    document = _read(_joined("mixed", MIMEText("Letter"), inner).as_bytes())
    assert document.warnings == (
        "inner.eml: not all of it is read: a.7z (application/x-7z-compressed)",
    )
