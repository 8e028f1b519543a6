import codecs
from email.message import EmailMessage

import pytest

from kvasir.components.extractors.delimited import CsvExtractor
from kvasir.components.extractors.encodings import decode
from kvasir.components.extractors.html import HtmlExtractor
from kvasir.components.extractors.mail import EmlExtractor
from kvasir.components.extractors.markdown import MarkdownExtractor
from kvasir.components.extractors.text import PlainTextExtractor
from kvasir.core.types import Source

_SENTENCES = {
    "gb18030": "登录成功，磁盘已满，请删除旧文件后再试一次。",
    "big5": "請刪除舊檔案後再試一次，磁碟空間不足。",
    "shift_jis": "ディスクに空き容量がありません。古いファイルを削除してください。",
    "euc_jp": "ディスクに空き容量がありません。古いファイルを削除してください。",
    "euc_kr": "디스크에 공간이 부족합니다. 오래된 파일을 지우십시오.",
    "cp1250": "Příliš žluťoučký kůň skáče přes vysoký plot a šťastně běží domů.",
    "cp1251": "Диск заполнен, удалите старые файлы и повторите попытку.",
    "koi8_r": "Диск заполнен, удалите старые файлы и повторите попытку.",
    "iso8859_5": "Диск заполнен, удалите старые файлы и повторите попытку.",
    "cp1252": "Die Straße führt über die Brücke – “größer” als früher, déjà vu.",
    "cp1253": "Ο δίσκος είναι γεμάτος, διαγράψτε τα παλιά αρχεία και δοκιμάστε ξανά.",
    "cp1254": "Disk dolu, lütfen eski dosyaları silin ve işlemi yeniden başlatın.",
    "cp1255": "הדיסק מלא, נא למחוק קבצים ישנים ולנסות שוב.",
    "cp1256": "القرص ممتلئ، احذف الملفات القديمة ثم حاول مرة أخرى.",
    "cp1257": "Diskas pilnas, ištrinkite senus failus ir bandykite dar kartą, žiūrėkite žurnalą.",
}


@pytest.mark.parametrize("encoding", _SENTENCES)
def test_text_without_a_declaration_is_decoded_by_its_letters(encoding: str) -> None:
    text = _SENTENCES[encoding]
    log = "".join(
        f"2024-05-{day} 10:00:00 INFO service=mail host=srv{day} user{day}@example.com {text}\n"
        for day in range(10, 30)
    )
    for written in (text, log):
        assert decode(written.encode(encoding)) == written


@pytest.mark.parametrize(
    ("label", "data", "text"),
    [
        ("iso-8859-1", b"20 \x80 \x93paid\x94", "20 € “paid”"),
        ("GB2312", "镕".encode("gbk"), "镕"),
        ("ks_c_5601-1987", "똠".encode("cp949"), "똠"),
        ("x-sjis", "①".encode("cp932"), "①"),
        ("cp850", "größer".encode("cp850"), "größer"),
        ("iso-2022-jp", "空き容量".encode("iso2022_jp"), "空き容量"),
        # Labels that the bytes contradict, that mean nothing, or that do not exist.
        ("us-ascii", "größer".encode(), "größer"),
        ("utf-16", "größer".encode(), "größer"),
        ("utf-8", "größer als früher".encode("cp1252"), "größer als früher"),
        ("rot13", b"words", "words"),
        ("no-such", "größer".encode(), "größer"),
    ],
)
def test_a_label_means_what_it_means_in_a_browser(label: str, data: bytes, text: str) -> None:
    assert decode(data, label) == text


def test_a_byte_order_mark_counts_before_a_label() -> None:
    assert decode(codecs.BOM_UTF8 + "größer".encode(), "iso-8859-1") == "größer"


def test_japanese_in_seven_bits_is_read_without_a_label() -> None:
    assert decode("空き容量\n".encode("iso2022_jp")) == "空き容量\n"


def test_a_few_broken_bytes_do_not_change_the_encoding() -> None:
    warnings: list[str] = []
    text = "Die Brücke ist größer als früher. " * 20
    assert decode(text.encode() + b"\xff.", warn=warnings.append) == text + "\ufffd."
    assert "utf-8" in warnings[0]


def test_a_close_choice_is_reported_and_a_clear_one_is_not() -> None:
    warnings: list[str] = []
    decode("Přílišná zátěž, všichni běží domů".encode("cp1250"), warn=warnings.append)
    assert decode(_SENTENCES["cp1251"].encode("cp1251"), warn=warnings.append)
    assert not warnings
    decode("Skok přes přepážku: č".encode("iso8859_2"), warn=warnings.append)
    assert decode(b"caf\xe9 30 \xa4", warn=warnings.append)
    assert warnings
    assert all("UTF-8" in warning for warning in warnings)


def _mail(subtype: str, text: str) -> bytes:
    mail = EmailMessage()
    mail.set_content(text, subtype=subtype, charset="windows-1251")
    return mail.as_bytes()


_RUSSIAN = _SENTENCES["cp1251"]
_META = '<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">'


@pytest.mark.parametrize(
    ("extractor", "charset", "data"),
    [
        (PlainTextExtractor(), "", _RUSSIAN.encode("cp1251")),
        (PlainTextExtractor(), "iso-8859-5", _RUSSIAN.encode("iso8859_5")),
        (CsvExtractor(), "", f'id,note\n1,"{_RUSSIAN}"\n'.encode("koi8_r")),
        (CsvExtractor(), "koi8-r", f'id,note\n1,"{_RUSSIAN}"\n'.encode("koi8_r")),
        (MarkdownExtractor(), "", f"# Title\n\n{_RUSSIAN}\n".encode("cp1251")),
        (HtmlExtractor(), "", f"<p>{_RUSSIAN}</p>".encode("cp1251")),
        (HtmlExtractor(), "", f"{_META}<p>{_RUSSIAN}</p>".encode("cp1251")),
        # A server's declaration counts before the page's own.
        (HtmlExtractor(), "koi8-r", f"{_META}<p>{_RUSSIAN}</p>".encode("koi8_r")),
        (EmlExtractor(), "", _mail("plain", _RUSSIAN)),
        (EmlExtractor(), "", _mail("html", f"<p>{_RUSSIAN}</p>")),
    ],
)
def test_every_text_format_is_decoded_alike(extractor: object, charset: str, data: bytes) -> None:
    source = Source("/folder/file", "text/x", charset=charset)
    assert _RUSSIAN in extractor.extract(source, data).text  # type: ignore[attr-defined]
