"""One small file of each text-like format: what is kept, where it is split, what is left out."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from kvasir.components.splitters.structure import StructureSplitter
from kvasir.core.types import Document, Source
from kvasir.ingesting.extraction_child import extract


def _read(name: str, text: str | bytes) -> Document:
    data = text.encode() if isinstance(text, str) else text
    reply = extract(Source(f"/folder/{name}", ""), data)
    assert reply.document is not None, reply.message
    return reply.document


def _blocks(document: Document) -> list[tuple[str, str]]:
    return [(block.kind.value, document.text[block.start : block.end]) for block in document.blocks]


def _shape(document: Document) -> list[tuple[str, int | None, str]]:
    return [
        (block.kind.value, block.level, document.text[block.start : block.end].split("\n")[0])
        for block in document.blocks
    ]


_PYTHON = '''"""About boats."""
import os

# Holds a boat.
@frozen
class Boat(Vessel):
    """A boat."""

    # Why it floats.
    @property
    def depth(self):
        return 1

    def sail(
        self, to
    ):
        def turn():
            pass
        return to


def main() -> None:
    """Start."""
    Boat().sail("x")


main()
'''


def test_source_code_is_cut_at_its_definitions() -> None:
    document = _read("boat.py", _PYTHON)
    assert document.title == "boat.py"
    assert _shape(document) == [
        ("code", None, '"""About boats."""'),
        ("heading", 2, "Boat"),
        ("code", None, "# Holds a boat."),
        ("heading", 3, "depth"),
        ("code", None, "    # Why it floats."),
        ("heading", 3, "sail"),
        ("code", None, "    def sail("),
        ("heading", 2, "main"),
        ("code", None, "def main() -> None:"),
        ("heading", 1, "boat.py"),
        ("code", None, "main()"),
    ]
    for line in filter(str.strip, _PYTHON.splitlines()):
        assert line in document.text


def test_every_part_of_a_long_method_stands_under_its_name() -> None:
    body = "".join(f"        self.value_{n} = compute_value({n})\n" for n in range(200))
    document = _read("a.py", f"class Boat:\n    def sail(self):\n{body}")
    chunks = StructureSplitter().split(document)
    assert len(chunks) > 5
    assert all("sail" in (*chunk.headings, *chunk.text.split()) for chunk in chunks)
    assert chunks[-1].headings == ("Boat", "sail")


@pytest.mark.parametrize(
    ("name", "text", "headings"),
    [
        ("a.c", "/* Adds. */\nstatic int *add(int a)\n{\n  return a;\n}\n"
                "struct s {\n  int x;\n};\n",
         ["add", "s"]),
        ("a.cpp", "namespace n {\nclass A {\n  void f() {\n    g();\n  }\n};\n}\n"
                  "void A::f()\n{\n}\n",
         ["n", "A", "f", "A::f"]),
        ("A.java", "class A {\n  /** Doc */\n  int f(int x) {\n    return x;\n  }\n}\n",
         ["A", "f"]),
        ("a.js", "function f(x) {\n  return x\n}\nclass A {\n  g() {\n    f()\n  }\n}\n",
         ["f", "A", "g"]),
        ("a.ts", "export class A {\n  b(x: number) {\n    return x\n  }\n}\n"
                 "export const f = (x) => {\n  return x\n}\n", ["A", "b", "f"]),
        ("a.go", "// Add adds.\nfunc (s *S) Add(a int) int {\n\treturn a\n}\n"
                 "type S struct {\n\tx int\n}\n",
         ["Add", "S"]),
        ("a.rs", "impl Foo for Bar {\n    fn baz(&self) -> u8 {\n        1\n    }\n}\n",
         ["Bar", "baz"]),
        ("a.cs", "class A\n{\n    int F(int x)\n    {\n        return x;\n    }\n}\n", ["A", "F"]),
        ("a.rb", "module M\n  class A\n    def x\n      1\n    end\n  end\nend\n", ["M", "A", "x"]),
        ("a.php", "<?php\nclass A {\n  function f($x) {\n    return $x;\n  }\n}\n", ["A", "f"]),
        ("a.sh", "# Greets.\ngreet() {\n  echo hi\n}\n", ["greet"]),
        ("a.toml", "a = 1\n\n[tool.x]\nb = 1\n\n# About y.\n[[tool.y]]\nc = 2\n",
         ["tool.x", "tool.y"]),
        ("a.ini", "[one]\na=1\n[two]\nb=2\n", ["one", "two"]),
        ("a.yaml", "version: 3\nservices:\n  web:\n    image: x\n# Net.\nnetworks:\n- a\n",
         ["services", "networks"]),
        ("a.sql", "CREATE TABLE a (b int);\n\n\nSELECT 1;\n", []),
    ],
)  # fmt: skip
def test_definitions_are_found_in_every_language(name: str, text: str, headings: list[str]) -> None:
    document = _read(name, text)
    found = [words for kind, words in _blocks(document) if kind == "heading"]
    assert found == headings
    for line in filter(str.strip, text.splitlines()):
        assert line in document.text


def test_a_comment_above_a_section_belongs_to_it() -> None:
    document = _read("a.toml", "[one]\na = 1\n\n# About two.\n[two]\nb = 2\n")
    assert ("code", "# About two.\n[two]\nb = 2") in _blocks(document)


def test_json_becomes_lines_tables_and_headings() -> None:
    data = {
        "name": "kvasir", "on": True, "tags": ["a", "b"], "none": None,
        "server": {"host": "x", "tls": {"cert": "c"}},
        "people": [{"name": "Ann", "age": 3}, {"name": "Bob", "age": 4}],
        "picture": "data:image/png;base64,AAAA",
    }  # fmt: skip
    document = _read("a.json", json.dumps(data).replace("3", "3.50"))
    assert document.title == "kvasir"
    assert _blocks(document) == [
        ("list", "- name: kvasir\n- on: true\n- tags: a, b"),
        ("heading", "server"),
        ("list", "- host: x"),
        ("heading", "tls"),
        ("list", "- cert: c"),
        ("heading", "people"),
        ("table", "| name | age |\n| - | - |\n| Ann | 3.50 |\n| Bob | 4 |"),
    ]


@pytest.mark.parametrize("text", ["{ not json", '{"a": 1} trailing', "[" * 100_000])
def test_what_is_no_json_is_read_as_text(text: str) -> None:
    assert _read("a.json", text).text == text


def test_json_nested_without_end_is_read() -> None:
    assert "1" in _read("a.json", '{"a":' * 900 + "1" + "}" * 900).text


def test_json_lines_are_a_table() -> None:
    document = _read("a.jsonl", '{"a": 1, "b": "x"}\n\n{"a": 2, "b": "y"}\n')
    assert _blocks(document) == [("table", "| a | b |\n| - | - |\n| 1 | x |\n| 2 | y |")]


def test_json_lines_may_hold_what_is_no_number_and_every_line_separator() -> None:
    text = '{"a": NaN, "b": "one\u2028two\x85three"}\r\n{"a": -Infinity, "b": "x"}\r\n'
    document = _read("a.jsonl", text)
    assert _blocks(document) == [
        ("table", "| a | b |\n| - | - |\n| NaN | one two three |\n| -Infinity | x |")
    ]


def test_xml_data_keeps_the_names_of_its_elements() -> None:
    document = _read(
        "a.xml",
        '<?xml version="1.0"?><!DOCTYPE c [<!ENTITY e SYSTEM "file:///etc/passwd">]><!-- no -->'
        '<c date="2024"><book id="1"><title>One</title><price cur="EUR">5</price></book>'
        '<book id="2"><title>Two</title><price cur="USD">6</price></book></c>',
    )
    assert _blocks(document) == [
        ("heading", "c"),
        ("list", "- date: 2024"),
        ("heading", "book"),
        ("table", "| id | title | price |\n| - | - | - |\n| 1 | One | 5 (cur: EUR) |\n"
                  "| 2 | Two | 6 (cur: USD) |"),
    ]  # fmt: skip


def test_a_word_with_markup_in_a_record_leaves_it_a_record() -> None:
    document = _read(
        "a.xml",
        '<c><book id="1"><price cur="EUR">5</price><about>Very <b>good</b>, see '
        '<a href="https://x.org">this</a></about></book>'
        '<book id="2"><price cur="USD">6</price><about lang="en">Plain</about></book></c>',
    )
    assert _blocks(document) == [
        ("heading", "c"),
        ("table", "| id | price | about |\n| - | - | - |\n"
                  "| 1 | 5 (cur: EUR) | Very good, see this (href: https://x.org) |\n"
                  "| 2 | 6 (cur: USD) | Plain (lang: en) |"),
    ]  # fmt: skip


def test_xml_prose_keeps_attributes_fields_and_records_between_its_paragraphs() -> None:
    document = _read(
        "a.xml",
        '<book date="2024" xml:lang="en"><title>B</title><isbn kind="print">978</isbn>'
        '<part><title id="t1">C</title><para>Some <b role="bold">bold</b> text.</para>'
        '<size unit="mm"><width>5</width></size></part>'
        '<part><title>D</title><para>From <date when="2024-05-01">May</date> on.</para></part>'
        "<part><title>E</title><para>Plain.</para></part></book>",
    )
    assert _blocks(document) == [
        ("list", "- date: 2024"),
        ("heading", "B"),
        ("list", "- isbn: 978 (kind: print)"),
        ("heading", "C"),
        ("paragraph", "Some bold text."),
        ("heading", "size"),
        ("list", "- unit: mm\n- width: 5"),
        ("heading", "D"),
        ("paragraph", "From May (when: 2024-05-01) on."),
        ("heading", "E"),
        ("paragraph", "Plain."),
    ]
    assert document.title == "B"


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        (
            '<r><i name="one"><name>two</name><name>three</name></i><n>x</n></r>',
            [("heading", "r"), ("list", "- i: one, two, three\n- n: x")],
        ),
        ('<r name="one"><name>two</name><n>x</n></r>',
         [("heading", "r"), ("list", "- name: one, two\n- n: x")]),
        ('<r xmlns:a="a" name="one" a:name="two"><n>x</n></r>',
         [("heading", "r"), ("list", "- name: one, two\n- n: x")]),
    ],
)  # fmt: skip
def test_attributes_and_elements_of_one_name_are_a_list(
    text: str, blocks: list[tuple[str, str]]
) -> None:
    assert _blocks(_read("a.xml", text)) == blocks


@pytest.mark.parametrize(
    ("paragraph", "text"),
    [
        ("Intro:<list><item>Alpha</item><item>Beta</item></list>", "Intro: Alpha Beta"),
        ("Press <key>A</key><key>B</key>.", "Press A B."),
        ("<b>Hel</b><b>lo</b> and <hi>x</hi>y", "Hello and xy"),
        ("one<lb/>two", "one two"),
        ("Mix 1<frac><n>1</n><d>2</d></frac> cups", "Mix 1 1 2 cups"),
        ("H<sub>2</sub>O, 10<superscript>6</superscript>", "H₂O, 10⁶"),
        ("5 mg<xref rid='b1'>12</xref> of it", "5 mg[^12] of it"),
        ("The &prod; and &own; cost <b>5</b>", "The Pump 3000 and Kvasir cost 5"),
        ("See &file; <b>here</b>", "See &file; here"),
        ("Caf&eacute; and &none; <b>here</b>", "Café and &none; here"),
    ],
)
def test_words_of_xml_are_apart_where_their_elements_are(paragraph: str, text: str) -> None:
    own = '<!ENTITY own "Kvasir"><!ENTITY prod "Pump 3000"><!ENTITY file SYSTEM "file:///etc/x">'
    document = _read(
        "a.xml", f"<!DOCTYPE a SYSTEM 'a' [{own}]><a><p>{paragraph}</p><p>A <i>b</i>.</p></a>"
    )
    assert document.text.split("\n\n")[0] == text


def test_entities_that_grow_without_end_are_not_written_out() -> None:
    rules = '<!ENTITY a0 "words words words ">'
    rules += "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    assert len(_read("a.xml", f"<!DOCTYPE a [{rules}]><a><p>One &a9;</p></a>").text) < 1000


def test_tables_of_xml_prose_are_tables() -> None:
    page = (
        "<article><p>Some <b>words</b>.</p><p>More <b>words</b>.</p><table-wrap>"
        "<label>Doses</label><table><thead><tr><th>Drug</th><th colspan='2'>Dose</th></tr></thead>"
        "<tbody><tr><td>A <b>x</b></td><td>5</td><td>6</td></tr></tbody></table></table-wrap>"
        "<table><title>Rooms</title><tgroup><tbody><row><entry>Oak</entry><entry>12</entry></row>"
        "<row><entry>Elm</entry><entry>40</entry></row></tbody></tgroup></table></article>"
    )
    assert _blocks(_read("a.xml", page))[2:] == [
        *(
            ("caption", "Doses"),
            ("table", "| Drug | Dose | Dose |\n| - | - | - |\n| A x | 5 | 6 |"),
        ),
        *(("caption", "Rooms"), ("table", "| Oak | 12 |\n| - | - |\n| Elm | 40 |")),
    ]


def test_spans_of_cals_tables_are_columns_by_name() -> None:
    page = (
        "<article><p>A <b>b</b>.</p><p>C <b>d</b>.</p><table><title>Fees</title>"
        "<tgroup cols='4'><colspec colname='a'/>"
        "<colspec colname='b'/><colspec colnum='3' colname='c'/><colspec colname='d'/>"
        "<spanspec spanname='cd' namest='c' nameend='d'/><thead><row>"
        "<entry>Boat</entry><entry namest='b' nameend='c'>Fee</entry><entry>Note</entry></row>"
        "</thead><tbody><row><entry>Oak</entry><entry>5</entry><entry>6</entry><entry>x</entry>"
        "</row><row><entry>Elm</entry><entry>7</entry><entry spanname='cd'>both</entry></row>"
        "<row><entry>Ash</entry><entry colname='d'>y</entry></row>"
        "</tbody></tgroup></table></article>"
    )
    assert _blocks(_read("a.xml", page))[-1] == (
        "table",
        "| Boat | Fee | Fee | Note |\n| - | - | - | - |\n| Oak | 5 | 6 | x |\n"
        "| Elm | 7 | both | both |\n| Ash |  |  | y |",
    )


@pytest.mark.parametrize("number", ["²", "9" * 5000, "-1"])
def test_spans_of_tables_that_are_no_numbers_are_one(number: str) -> None:
    row = f"<tr><td colspan='{number}'>a</td><td>b</td></tr>"
    page = f"<article><p>A <b>b</b>.</p><p>C <b>d</b>.</p><table>{row}{row}</table></article>"
    assert ("table", "| a | b |\n| - | - |\n| a | b |") in _blocks(_read("a.xml", page))


def test_private_characters_of_a_document_are_text() -> None:
    text = "A\ue000 b\ue001 c\ue002 d\ue003 e\ue004 f\ue010 g"
    page = f"<article><p>Some <b>{text}</b>.</p><p>More <b>words</b>.</p></article>"
    assert text in _read("a.xml", page).text
    written = "".join(char if char.isascii() else f"\\u{ord(char)}?" for char in text)
    assert _read("a.rtf", rf"{{\rtf1\ansi {written} \strike h}}").text == f"{text} ~~h~~"


def test_html_in_the_texts_of_a_feed_is_read_as_html() -> None:
    feed = (
        "<rss><channel><title>News</title><item><title>One</title><description><![CDATA[<p>Hello "
        "<b>you</b> &amp; me<script>x()</script></p>]]></description></item><item><title>a &lt; b"
        "</title><description>&lt;p&gt;Second&lt;/p&gt;</description></item></channel></rss>"
    )
    assert _blocks(_read("a.xml", feed))[-1][1].splitlines()[2:] == [
        "| One | Hello you & me |",
        "| a < b | Second |",
    ]


def test_xml_prose_is_paragraphs_under_its_titles() -> None:
    document = _read(
        "a.xml",
        "<book><title>B</title><chapter><title>C</title><para>Some <b>bold</b> text.</para>"
        "<para>More.</para></chapter></book>",
    )
    assert _blocks(document) == [
        ("heading", "B"),
        ("heading", "C"),
        ("paragraph", "Some bold text."),
        ("paragraph", "More."),
    ]  # fmt: skip
    assert _read("a.xml", "<a><b>").text == "<a><b>"


_RST = """=====
Guide
=====

.. hidden
   goes on

Intro
wraps here::

    $ code
    # kept

.. note::

   Keep this.

Install
-------

Go to `the site <https://example.org>`_.

- one
- two
"""
_ADOC = """= Guide

// hidden
////
hidden
////
== Install

See https://example.org[the site].

----
// kept
== no heading
----
"""
_ORG = """#+TITLE: Guide
# hidden
* TODO Install :tag:
See [[https://example.org][the site]].
#+begin_src sh
# kept
* no heading
#+end_src
"""
_TEX = r"""\documentclass{article}
\title{Guide}
\begin{document}
% hidden
\section{Install}
See \href{https://example.org}{the site}, 5\% off. % hidden
\begin{verbatim}
% kept
\section{no heading}
\end{verbatim}
"""


@pytest.mark.parametrize(
    ("name", "text"), [("a.rst", _RST), ("a.adoc", _ADOC), ("a.org", _ORG), ("a.tex", _TEX)]
)
def test_markup_keeps_its_text_with_headings_and_code(name: str, text: str) -> None:
    document = _read(name, text)
    blocks = _blocks(document)
    assert document.title == "Guide"
    assert [words for kind, words in blocks if kind == "heading"] == ["Guide", "Install"]
    (code,) = [words for kind, words in blocks if kind == "code"]
    assert "kept" in code
    assert "hidden" not in document.text
    assert "https://example.org" in document.text
    assert all(block.end > block.start for block in document.blocks)
    (chunk,) = [one for one in StructureSplitter().split(document) if "site" in one.text]
    assert "Install" in (*chunk.headings, *chunk.text.split())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.srt", "1\r\n00:00:01,000 --> 00:00:03,000\r\n<i>Hello</i> there,\r\n\r\n"
                  "2\r\n00:00:03,100 --> 00:00:05,000\r\nfriend &amp; all.\r\n\r\n"
                  "3\r\n01:10:00,000 --> 01:10:02,000\r\nLater.\r\n"),
        ("a.vtt", "WEBVTT\n\nNOTE hidden\n\nSTYLE\n::cue{}\n\n"
                  "id\n00:01.000 --> 00:03.000 align:start\n"
                  "<c.red>Hello</c> there,\n\n00:03.000 --> 00:05.000\nfriend &amp; all.\n\n"
                  "01:10:00.000 --> 01:10:02.000\nLater.\n"),
    ],
)  # fmt: skip
def test_subtitles_are_sentences_with_their_time(name: str, text: str) -> None:
    assert _blocks(_read(name, text)) == [
        ("paragraph", "[00:00:01] Hello there, friend & all."),
        ("paragraph", "[01:10:00] Later."),
    ]


def test_subtitles_name_who_speaks_and_repeat_nothing() -> None:
    document = _read(
        "a.vtt",
        "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ana>Hello\n\n"
        "00:02.000 --> 00:03.000\n<v Ana>Hello\nto\n\n"
        "00:03.000 --> 00:04.000\nyou.\n",
    )
    assert _blocks(document) == [("paragraph", "[00:00:01] Ana: Hello to you.")]


def test_captions_that_roll_up_are_read_once_from_their_first_word() -> None:
    shown = [
        ("00:00.000 --> 00:02.000", " \nWe clean<00:01.000><c> the pump</c>"),
        ("00:02.000 --> 00:02.010", "We clean the pump\n "),
        ("00:02.010 --> 00:04.000", "We clean the pump\n<c>once a day.</c>"),
        ("00:04.010 --> 00:06.000", "once a day.\nThen we oil it."),
    ]
    cues = "\n\n".join(f"{time} align:start\n{lines}" for time, lines in shown)
    expected = [
        ("paragraph", "[00:00:00] We clean the pump once a day."),
        ("paragraph", "[00:00:04] Then we oil it."),
    ]
    assert _blocks(_read("a.vtt", f"WEBVTT\nKind: captions\n\n{cues}\n")) == expected
    assert _blocks(_read("a.srt", f"{cues}\n")) == expected


def test_words_that_are_said_twice_are_read_twice() -> None:
    words = ["Tea", "yes", "and milk", "yes", "yes"]
    for begin in ("200", "000"):
        cues = (
            f"00:00:0{n},{begin} --> 00:00:0{n + 1},000\n{word}\n" for n, word in enumerate(words)
        )
        document = _read("a.srt", "\n".join(cues))
        assert document.text == "[00:00:00] Tea yes and milk yes yes"


@pytest.mark.parametrize(
    "text",
    [
        "1\n{0}\nOne.\n2\n{1}\nTwo\nand 3.\n",
        "1\r{0}\rOne.\r\r2\r{1}\rTwo\rand 3.\r",
        "{0}\nOne.\n\n{1}\nTwo\n\nand 3.\n",
    ],
)
def test_subtitles_need_no_certain_lines_between_them(text: str) -> None:
    times = "00:00:01,000 --> 00:00:02,000", "00:00:03,000 --> 00:00:04,000"
    lines = "[00:00:01] One.\n\n[00:00:03] Two and 3."
    assert _read("a.srt", text.format(*times)).text == lines


def test_a_notebook_has_its_cells_and_no_pictures() -> None:
    outputs = [
        {"output_type": "stream", "text": ["1\n"]},
        {"output_type": "display_data", "data": {"image/png": "iVBOR" * 1000}},
        {"output_type": "stream", "text": "x" * 9000},
        {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": ["\x1b[31m"]},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "Some text."]},
        {"cell_type": "code", "source": "print(x)", "outputs": outputs},
        {"cell_type": "markdown", "source": [], "attachments": {}},
    ]
    document = _read("a.ipynb", json.dumps({"nbformat": 4, "metadata": {}, "cells": cells}))
    assert document.title == "Title"
    assert _blocks(document) == [
        ("heading", "# Title"),
        ("paragraph", "Some text."),
        ("code", "print(x)"),
        ("code", "Output:\n1"),
        ("code", f"Output:\n{'x' * 2000} …"),
        ("code", "Output:\nValueError: no"),
    ]


def test_a_notebook_has_its_headings_raw_text_and_rich_outputs() -> None:
    table = "<table><tr><th>a<th>b<tr><td>1<td>2</table><script>x()</script>"
    outputs = [
        {"text/html": table, "text/plain": ["<IPython.core.display.HTML object>"]},
        {"text/html": table, "text/plain": "a b\n1 2"},
        {"text/markdown": "**bold**"},
        {"text/latex": "$x^2$"},
        {"text/html": "<script>x()</script>"},
    ]
    cells = [
        {"cell_type": "heading", "level": 2, "source": ["Results"]},
        {"cell_type": "raw", "source": "# raw\n\ntext"},
        {"cell_type": "code", "source": "x", "outputs": [{"data": one} for one in outputs]},
    ]
    document = _read("a.ipynb", json.dumps({"nbformat": 3, "worksheets": [{"cells": cells}]}))
    assert _shape(document)[0] == ("heading", 2, "Results")
    assert _blocks(document)[1:] == [
        ("paragraph", "# raw"),
        ("paragraph", "text"),
        ("code", "x"),
        ("code", "Output:\n| a | b |\n| - | - |\n| 1 | 2 |"),
        ("code", "Output:\na b\n1 2"),
        ("code", "Output:\n**bold**"),
        ("code", "Output:\n$x^2$"),
    ]


@pytest.mark.parametrize("text", ["{bad", "[]", '{"cells": 1}'])
def test_a_broken_notebook_is_reported_in_one_sentence(text: str) -> None:
    reply = extract(Source("/a.ipynb", ""), text.encode())
    assert reply.reason == "malformed"
    assert "Jupyter" in reply.message


_MBOX = (
    b"From ana@x.org Mon Jan  1 10:00:00 2024\nFrom: Ana <ana@x.org>\nTo: b@x.org\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nDate: Mon, 1 Jan 2024 10:00:00 +0000\n\n"
    b"Body one.\n>From here on.\n\n"
    b"From bob@x.org Tue Jan  2 10:00:00 2024\nFrom: Bob <bob@x.org>\nSubject: Two\n"
    b"Content-Type: text/html; charset=koi8-r\n\n"
) + "<p>Тело</p>\n".encode("koi8-r")


@pytest.mark.parametrize("name", ["a.mbox", "Inbox"])
def test_a_mailbox_has_a_section_for_each_mail(name: str) -> None:
    document = _read(name, _MBOX)
    assert document.title == name
    assert dict(document.metadata) == {"mails": 2}
    assert _shape(document) == [
        ("heading", 1, "Grüße"),
        ("paragraph", None, "From: Ana <ana@x.org>"),
        ("paragraph", None, "Body one."),
        ("heading", 1, "Two"),
        ("paragraph", None, "From: Bob <bob@x.org>"),
        ("paragraph", None, "Тело"),
    ]
    assert "\nFrom here on." in document.text


@pytest.mark.parametrize(
    "line",
    [
        "From May 2024 the fee is 30 euros.",
        "From May 2024 the\nfee: 30 euros.",
        "From Mon 3 June at 10:00 in 2024",
    ],
)
def test_a_sentence_that_begins_with_from_is_text_of_its_mail(line: str) -> None:
    document = _read("a.mbox", _MBOX.replace(b"Body one.", line.encode()))
    assert dict(document.metadata) == {"mails": 2}
    assert line in document.text


@pytest.mark.parametrize(
    "line",
    [
        "- Tue Jan 02 10:00:00 2024",
        "179@xxx Tue Jan 02 10:00:00 +0000 2024",
        "b@x.org Tue, 2 Jan 2024 10:00:00 +0100",
    ],
)
def test_a_mail_of_a_mailbox_begins_with_a_time_of_any_program(line: str) -> None:
    box = _MBOX.replace(b"bob@x.org Tue Jan  2 10:00:00 2024", line.encode())
    assert dict(_read("a.mbox", box).metadata) == {"mails": 2}


def test_a_mailbox_may_have_no_days_of_the_week() -> None:
    box = _MBOX.replace(b"Tue Jan  2 10:00:00 2024", b"2024-01-02 10:00:00 2024")
    box = re.sub(rb"(?m)^(From \S+) (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)", rb"\1", box)
    assert dict(_read("a.mbox", box).metadata) == {"mails": 2}


def test_an_unread_mail_of_a_mailbox_is_in_the_report() -> None:
    broken = _MBOX.replace(b"text/html", b"multipart/encrypted")
    document = _read("a.mbox", broken)
    assert dict(document.metadata) == {"mails": 1}
    assert document.warnings[0].startswith("mail 2 of it is not read: it is an encrypted mail")


def test_rtf_has_its_words_tables_and_link_targets() -> None:
    document = _read(
        "a.rtf",
        r"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}{\info{\title My Doc}}\f0 First "
        r"\b bold\b0  caf\'e9 \u8364?.\par\par See {\field{\*\fldinst{HYPERLINK "
        r'"https://example.org/a"}}{\fldrslt {\ul the site}}}.\par'
        r"\trowd\cellx100\cellx200\intbl a\cell b\cell\row\intbl c\cell d\cell\row{\pict 0011aa}}",
    )
    assert document.title == "My Doc"
    assert _blocks(document) == [
        ("paragraph", "First bold café €."),
        ("paragraph", "See the site (https://example.org/a)."),
        ("table", "| a | b |\n| - | - |\n| c | d |"),
    ]


def test_rtf_keeps_headings_footnotes_and_line_breaks() -> None:
    document = _read(
        "a.rtf",
        r"{\rtf1{\stylesheet{\s0 Normal;}{\s1\sb240\b heading 1;}{\s22 Heading 2;}}"
        r"\pard\plain \s1\ql {\b Harbour}\par\pard\plain \s0 It opens in May"
        r"{\super\chftn{\*\footnote\chftn\pard The {\b north} gate.}}.\par Elm\line Street 1\par"
        r"\pard\s22 Fees\par\pard\s0 Ten euros.\par}",
    )
    assert _blocks(document) == [
        ("heading", "Harbour"),
        ("paragraph", "It opens in May[^1]."),
        ("paragraph", "Elm\nStreet 1"),
        ("heading", "Fees"),
        ("paragraph", "Ten euros."),
        ("paragraph", "Note 1: The north gate."),
    ]
    assert [block.level for block in document.blocks] == [1, None, None, 2, None, None]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (r"Fee {\deleted 20}25 {\v hidden \'e9\u8364? \emdash}euros", "Fee 25 euros"),
        (r"Fee \deleted 20\deleted0 25 \v {\b hidden}\v0 euros", "Fee 25 euros"),
        (r"Fee 25 \v hidden\plain euros\vertalt", "Fee 25 euros"),
        (r"\uc0 A\line B \u-10179\u-8704 C", "A\nB 😀C"),
        (r"\u-10179?\u-8704? \u-10179? \\cell", "😀 \ufffd \\cell"),
        (r"{\pntext\f0 1.\tab}First\par{\listtext 2.\tab}Second", "1.\tFirst\n\n2.\tSecond"),
        (r"A {\shp{\*\shpinst{\shptxt box\par}}{\shprslt{\*\do{\dptxbxtext box\par}}}}B\par C",
         "A B\n\nbox\n\nC"),
        (r"{\*\do{\dptxbxtext one\par}}{\shpgrp{\*\shpinst{\shp{\shptxt two}}}}A",
         "one\n\ntwo\n\nA"),
    ],
)  # fmt: skip
def test_rtf_has_what_is_shown(written: str, text: str) -> None:
    assert _read("a.rtf", rf"{{\rtf1\ansi {written}}}").text == text


@pytest.mark.parametrize(
    "rows",
    [
        r"\trowd\cellx1\cellx2\pard\intbl{a\par b}\cell 1|2\cell\row\trowd\cellx1 c\line d"
        r"\cell e\cell{\trowd\row}",
        r"{\trowd\intbl a\par b\cell 1|2\cell\row}\intbl c\par d\cell e\cell",
    ],
)
def test_cells_of_rtf_may_have_paragraphs_and_bars(rows: str) -> None:
    document = _read("a.rtf", rf"{{\rtf1 Before|\par {rows}\pard\par After\par}}")
    assert _blocks(document)[-2:] == [
        ("table", "| a b | 1\\|2 |\n| - | - |\n| c d | e |"),
        ("paragraph", "After"),
    ]


@pytest.mark.parametrize(
    "directive", ["py:function:: f(x)", "c:member:: int a", "rst:directive:option:: b", "a.b ::"]
)
def test_directives_with_a_domain_are_no_comments(directive: str) -> None:
    text = f".. {directive}\n\n   Returns the harbour's fee.\n\n.. no directive: hidden\n\nEnd.\n"
    document = _read("a.rst", text)
    assert directive in document.text
    assert "Returns the harbour's fee." in document.text
    assert "hidden" not in document.text


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (r"\begin{document} First words.", "First words."),
        (r"\begin{document}\maketitle First words.", "First words."),
        (r"\maketitle First words. % hidden", "First words."),
        ("\\documentclass[\n  a4paper,\n]{article} First words.", "First words."),
        (r"10\,\% of it \\% hidden", r"10\,\% of it \\"),
        (r"\usepackage{a}\usepackage[b]{c} First words.", "First words."),
        (r"Last words.\end{document}", r"Last words.\end{document}"),
        (r"\url{https://x.org/a%20b} shows \verb|50% off|, and % hidden",
         r"\url{https://x.org/a%20b} shows \verb|50% off|, and"),
    ],
)  # fmt: skip
def test_latex_settings_and_comments_leave_the_text_beside_them(written: str, text: str) -> None:
    assert _read("a.tex", f"{written}\n").text.strip() == text


def test_text_after_a_latex_heading_on_its_line_is_a_paragraph() -> None:
    text = "\\paragraph{Fees} Ten euros\na day.\n\\section{End}\\label{sec:e}\n\nBye.\n"
    assert _blocks(_read("a.tex", text)) == [
        ("heading", "Fees"),
        ("paragraph", "Ten euros\na day."),
        ("heading", "End"),
        ("paragraph", "Bye."),
    ]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a.rst", f".. {'_' * 4000} x"),
        ("a.rst", f".. {'a_b' * 4000} x"),
        ("a.adoc", f"= a{' ' * 4000}b{' ' * 4000}c"),
        ("a.org", f"* a{' ' * 4000}b{' ' * 4000}c"),
        ("a.xml", f"<a><p>One{' ' * 50_000}two</p></a>"),
    ],
)
def test_long_runs_of_one_sign_take_no_time(name: str, line: str) -> None:
    start = time.process_time()
    _read(name, f"{line}\n\nEnd.\n" if name != "a.xml" else line)
    assert time.process_time() - start < 2


def test_drawers_of_org_are_left_out() -> None:
    drawer = "  :PROPERTIES:\n  :CUSTOM_ID: fees\n  :END:\n"
    document = _read("a.org", f"* Fees\n{drawer}Ten euros.\n:LOGBOOK:\nnever closed\n")
    assert document.text.strip() == "* Fees\nTen euros.\n:LOGBOOK:\nnever closed"


def test_struck_text_of_rtf_is_told_from_what_holds() -> None:
    document = _read(
        "a.rtf",
        r"{\rtf1{\stylesheet{\s1\strike Old;}}Fee {\strike 20}{\b 25\strike  a \{x\} {\i c}}"
        r"\striked1 d\plain  e \strike\strike0 f\par{\strike one\par two}\par"
        r"\trowd\intbl\strike a\cell b\strike0\cell\row}",
    )
    assert [text for _, text in _blocks(document)] == [
        "Fee ~~20~~25 ~~a {x} c~~~~d~~ e f",
        "~~one~~",
        "~~two~~",
        "| ~~a~~ | ~~b~~ |\n| - | - |",
    ]


@pytest.mark.parametrize("skipped", ["0", "1", "2"])
def test_marks_of_struck_text_leave_the_text_beside_them(skipped: str) -> None:
    written = rf"{{\rtf1\ansi\uc{skipped} Price {{\strike 20}} 10 Euro}}"
    assert _read("a.rtf", written).text == "Price ~~20~~ 10 Euro"


def test_a_struck_heading_of_rtf_is_a_heading() -> None:
    styles = r"{\stylesheet{\s1 heading 1;}}"
    for heading in (r"\s1\strike Old", r"\strike\s1 Old"):
        written = rf"{{\rtf1\ansi{styles}{{\pard{heading}\par}}\pard Text\par}}"
        assert _shape(_read("a.rtf", written)) == [
            ("heading", 1, "~~Old~~"),
            ("paragraph", None, "Text"),
        ]


def test_rtf_is_decoded_by_its_code_page() -> None:
    assert "Диск" in _read("a.rtf", r"{\rtf1\ansi\ansicpg1251 \'c4\'e8\'f1\'ea}").text


@pytest.mark.parametrize(
    "text",
    [r"{\rtf is a command", "GIF89a is a format.", "BMW makes cars.", "It begins with %PDF-1.4."],
)
def test_text_that_begins_like_another_format_is_text(text: str) -> None:
    assert _read("a.txt", text).text == text


@pytest.mark.parametrize("name", ["a.log", "a.md", "a.rst", "a.csv", "a.py", "a.vtt"])
def test_colours_of_a_terminal_are_no_text(name: str) -> None:
    head = "WEBVTT\n\n00:01.000 --> 00:02.000\n" if name == "a.vtt" else ""
    assert "a red word" in _read(name, f"{head}a \x1b[1;31mred\x1b[0m word\n").text


def test_a_log_has_a_sentence_for_each_line() -> None:
    document = _read("a.log", "".join(f"2024-05-{n} INFO line number {n}\n" for n in range(10, 90)))
    chunks = StructureSplitter().split(document)
    assert all(chunk.text.startswith("2024-05-") for chunk in chunks)
    assert not any(chunk.text.count("\n") and chunk.text.endswith("number") for chunk in chunks)


_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
_OLD = [
    ("a.doc", "WordDocument", "docx"),
    ("a.ppt", "PowerPoint Document", "pptx"),
    ("a.xls", "Workbook", "xlsx"),
]


@pytest.mark.parametrize(("name", "stream", "new"), _OLD)
def test_old_office_files_without_libreoffice_are_one_sentence(
    name: str, stream: str, new: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    reply = extract(Source(f"/folder/{name}", ""), _OLE + stream.encode("utf-16-le"))
    assert (reply.reason, reply.message.count(";")) == ("unsupported", 1)
    assert "LibreOffice" in reply.message
    assert new.upper() in reply.message


def test_an_old_office_file_that_libreoffice_cannot_read_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "soffice"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    reply = extract(Source("/a.doc", ""), _OLE + "WordDocument".encode("utf-16-le"))
    assert reply.reason == "malformed"
    assert "exit 3" in reply.message
    assert "DOCX" in reply.message


@pytest.mark.skipif(not shutil.which("soffice"), reason="LibreOffice is not installed")
def test_an_old_word_file_is_read_through_libreoffice(tmp_path: Path) -> None:
    rtf = tmp_path / "a.rtf"
    rtf.write_text(r"{\rtf1\ansi The harbour opens in May.\par}")
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    command = ["soffice", "--headless", profile, "--convert-to", "doc", "--outdir", str(tmp_path)]
    subprocess.run([*command, str(rtf)], check=True, capture_output=True)
    document = _read("a.doc", (tmp_path / "a.doc").read_bytes())
    assert _blocks(document) == [("paragraph", "The harbour opens in May.")]
