"""Texts in the catalog are unpacked once, as long as they are short and were read lately."""

import zlib

import pytest

from kvasir.catalog import rows
from kvasir.catalog.rows import expand


def packed(text):
    return zlib.compress(text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("text", ["", "a", "Fähre 渡船 \ud800", "x" * 1_000_000, "x" * 1_000_001])
def test_a_text_is_the_same_after_it_was_packed(text):
    assert expand(packed(text)) == text
    assert expand(packed(text)) == text


def test_a_short_text_that_is_read_again_is_not_unpacked_again():
    row = packed("The ferry leaves at 07:10.")
    assert expand(row) is expand(bytes(bytearray(row)))


def test_a_long_text_is_not_kept_in_memory():
    row = packed("x" * 1_000_001)
    assert expand(row) is not expand(row)


def test_texts_that_were_read_long_ago_are_not_kept():
    first = packed("text 0")
    text = expand(first)
    for number in range(1, rows._MOST_REMEMBERED + 1):
        expand(packed(f"text {number}"))
    assert expand(first) is not text
    assert expand(first) == text


def test_another_text_is_another_row():
    assert expand(packed("before the change")) != expand(packed("after the change"))


def test_a_damaged_row_is_an_error_each_time():
    row = packed("The ferry leaves at 07:10." * 20)[:-10]
    for _ in range(2):
        with pytest.raises(zlib.error):
            expand(row)
