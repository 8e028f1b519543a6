import pytest

from kvasir.core.text import (
    clean_text,
    count_words,
    has_surrogates,
    hide_passwords,
    one_line,
    passage,
    printable,
    replace_control_characters,
    replace_surrogates,
    shown,
)


def test_replacing_keeps_every_offset():
    broken = "a\ud83d b\udc80c\x00"
    assert replace_surrogates(broken) == "a? b?c\x00"
    assert replace_surrogates(broken, "\ufffd") == "a\ufffd b\ufffdc\x00"
    assert replace_control_characters(broken) == "a\ufffd b\ufffdc\ufffd"
    assert has_surrogates(broken)
    assert not has_surrogates(replace_surrogates(broken))


def test_a_clean_text_has_no_escape_sequences_of_terminals():
    coloured = "\x1b[1;31mred\x1b[0m \x1b]8;;https://x.org\x07link\x1b]8;;\x1b\\ \x1b(Bplain\x1b[K"
    assert clean_text(coloured) == "red link plain"
    assert clean_text("\x1bHello [31m \x00") == "\ufffdHello [31m \ufffd"


@pytest.mark.parametrize("replace", [replace_surrogates, replace_control_characters, printable])
def test_whole_characters_stay(replace):
    text = "Grüße, 你好 \U0001f600\n\tx"
    assert replace(text) == text


def test_a_line_stays_one_line_whatever_is_in_it():
    assert shown("a\nb\x1b[0m\u2028") == r"a\nb\x1b[0m\u2028"
    assert one_line(" a \n\n b\x07 ") == "a b"
    assert one_line("four letters", 6) == "four…"
    assert printable("a\x1b[31m\r\nb\tc") == "a[31m\nb\tc"


def test_a_text_cannot_be_shown_in_another_order_than_it_has():
    spoofed = "invoice\u202efdp.exe\u2066\u2069"
    assert printable(spoofed) == one_line(spoofed) == "invoicefdp.exe"
    assert shown(spoofed) == r"invoice\u202efdp.exe\u2066\u2069"
    arabic = "\u0627\u0644\u200f 5\u200e"
    assert printable(arabic) == shown(arabic) == arabic


def test_passwords_of_addresses_are_hidden():
    assert hide_passwords("at postgresql://me:secret@host/db") == (
        "at postgresql://me:**********@host/db"
    )


def test_a_passage_is_the_heading_path_above_the_text():
    assert passage(("A", "B"), "text") == "A > B\ntext"
    assert passage((), "text") == "text"


def test_two_chinese_characters_count_as_a_word():
    assert count_words("一二三 two 3.5 four-five") == 5
