"""Mail in the encodings, and with the parts, that real mail programs write."""

from email.header import Header
from email.message import EmailMessage

import pytest

from kvasir.components.extractors.mail import EmlExtractor
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
