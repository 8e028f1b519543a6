"""Identifiers: what a tokenizer would tear apart is one thing, however it is written."""

import time

import pytest

from kvasir.language.identifiers import find_identifiers, identifying_values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("AX-200-C: bearing", "ax-200-c"),
        ("AX‑200‑C: bearing", "ax-200-c"),
        ("It runs v2.10.1.", "2.10.1"),
        ("kvasir-2.10.1.tar.gz", "2.10.1"),
        ("版本2.10.1修复了打印问题", "2.10.1"),
        ("1,250,000 litres", "1250000"),
        ("1.250.000 Liter", "1250000"),
        ("1\u202f250\u202f000 litres", "1250000"),
        ("12,50,000 rupees", "1250000"),
        ("an order of 1250000", "1250000"),
        ("mail ana@north.example.com today", "ana@north.example.com"),
        ("mail ana@north.example.com today", "north.example.com"),
        ("written in C++, not C", "c++"),
        ("written in C#.", "c#"),
        ("written in .NET", ".net"),
        ("use `--foo-bar=3`", "--foo-bar"),
        ("use -x (or -X)", "-x"),
        ("port 8443/tcp", "8443/tcp"),
        ("Error 0x80070005:", "0x80070005"),
        ("ORA-00942", "ora-00942"),
        ("weighs 12 kg", "12kg"),
        ("weighs 12kg", "12kg"),
        ("3,5 GB", "3.5gb"),
        ("in std::vector", "std::vector"),
        ("edit /etc/ssh/sshd_config", "sshd_config"),
        ("ISBN 978-3-16-148410-0", "9783161484100"),
        ("ISBN 978 3 16 148410 0.", "9783161484100"),
        ("call +44 20 7946 0958", "442079460958"),
        ("call +442079460958", "442079460958"),
        ("call (020) 7946-0958", "02079460958"),
        ("Tel. 089/123456-0", "0891234560"),
        ("to DE89 3704 0044 0532 0130 00", "de89370400440532013000"),
        ("by AT&T", "at&t"),
    ],
)
def test_an_identifier_is_found_however_it_is_written(text, value):
    assert value in identifying_values(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [("2.10.1", "2.1.10"), ("AX-200-C", "AX-2000-B"), ("C++", "C#"), ("-x", "-X"), ("C", "C++")],
)
def test_identifiers_that_look_alike_share_nothing(one, other):
    assert not identifying_values(one) & identifying_values(other)


@pytest.mark.parametrize(
    "text",
    ["a well-known fact", "and/or", "the U.S. army", "I saw him.", "the 10th in the 1990s",
     "grade 1 in 1954", "3 lớp", "Cầu thủ nào Tỷ lệ Sự", "Ca\u0302\u0300u thu\u0309"],
)  # fmt: skip
def test_everyday_words_name_no_single_thing(text):
    assert not identifying_values(text)


def test_the_words_of_an_index_join_what_is_written_apart():
    found = find_identifiers("AX-200-C holds 1,250,000 and weighs 12 kg or 30kg")
    assert found.words == ("ax200c", "1250000", "12kg", "30", "kg")
    assert found.exact == ("ax-200-c",)


@pytest.mark.parametrize(
    "text",
    ["2024-01-15", "01.02.2024", "1939-1945", "0 12 34 56 78", "2020 2021 2022", "00:15 12:30",
     "10-20", "0.5 0.7 0.9 1.2"],
)  # fmt: skip
def test_dates_and_columns_of_numbers_are_not_joined(text):
    assert not find_identifiers(text).words


@pytest.mark.parametrize("text", ["0" * 20_000, "+1 " * 9000, "978-" * 5000, "0 1" * 9000])
def test_long_rows_of_digits_take_little_time(text):
    started = time.process_time()
    find_identifiers(text)
    assert time.process_time() - started < 1.0
