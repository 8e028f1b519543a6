import json
import time
import zipfile
from email.message import EmailMessage
from pathlib import Path

import pytest

from kvasir.components.extractors import archive
from kvasir.components.extractors.delimited import CsvExtractor
from kvasir.components.extractors.docling_json import DoclingJsonExtractor
from kvasir.components.extractors.document_builder import markdown_table
from kvasir.components.extractors.encodings import decode
from kvasir.components.extractors.epub import EpubExtractor
from kvasir.components.extractors.html import HtmlExtractor
from kvasir.components.extractors.mail import EmlExtractor
from kvasir.components.extractors.markdown import MarkdownExtractor
from kvasir.components.extractors.text import PlainTextExtractor
from kvasir.core.errors import ExtractionError
from kvasir.core.types import BlockKind, Document, Source

_SOURCE = Source("/folder/file.md", "text/markdown")


def _blocks(document: Document) -> list[tuple[str, str]]:
    return [(block.kind.value, document.text[block.start : block.end]) for block in document.blocks]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Grüße aus Köln", "utf-8"),
        ("Grüße aus Köln", "utf-8-sig"),
        ("Grüße aus Köln", "utf-16"),
        ("Words without a mark", "utf-16-be"),
        ("Grüße aus Köln, bis später in München", "latin-1"),
        ("“Quoted” – by Windows", "cp1252"),
        ("Быть или не быть, вот в чём вопрос. Достойно ли смиряться под ударами", "cp1251"),
        ("中文分词是自然语言处理的一个基本步骤，汉字之间没有空格。" * 4, "gb18030"),
    ],
)
def test_text_is_decoded_whatever_its_encoding(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def _docling(*items: tuple[str, str]) -> bytes:
    texts = [{"self_ref": f"#/texts/{n}", "label": a, "text": b} for n, (a, b) in enumerate(items)]
    body = {"children": [{"$ref": text["self_ref"]} for text in texts]}
    document = {"schema_name": "DoclingDocument", "name": "file", "body": body, "texts": texts}
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("items", "title"),
    [
        ([("section_header", "Contents"), ("title", "Duck"), ("section_header", "Food")], "Duck"),
        ([("section_header", "Contents"), ("section_header", "Ducks"), ("text", "x")], "Ducks"),
        ([("section_header", "Contents"), ("text", "x")], "Contents"),
        ([("text", "x")], "file"),
    ],
)
def test_a_docling_document_is_called_by_its_title(
    items: list[tuple[str, str]], title: str
) -> None:
    assert DoclingJsonExtractor().extract(_SOURCE, _docling(*items)).title == title


@pytest.mark.parametrize("tag", ["div", "span", "blockquote", "b"])
def test_deeply_nested_pages_are_read_or_reported_as_too_deep(tag: str) -> None:
    def page(depth: int) -> bytes:
        inner = f"<{tag}>" * depth + "deep words" + f"</{tag}>" * depth
        return f"<html><body><p>Before.</p>{inner}<p>After.</p></body></html>".encode()

    for depth in (100, 300, 1_500):
        document = HtmlExtractor().extract(_SOURCE, page(depth))
        assert [text for _, text in _blocks(document)] == ["Before.", "deep words", "After."]
    with pytest.raises(ExtractionError, match="too deeply") as error:
        HtmlExtractor().extract(_SOURCE, page(100_000))
    assert error.value.reason == "malformed"


def test_lists_in_lists_beyond_reason_keep_their_words() -> None:
    page = "<ul><li>x" * 900 + "</li></ul>" * 900
    assert HtmlExtractor().extract(_SOURCE, page.encode()).text.count("x") == 900


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<ul><li>a<br>b<ul><li>in</ul>tail</ul>", "- a b\n    - in\n  tail"),
        ("<ul><li>a<ul hidden><li>unseen</ul></ul>", "- a"),
        (
            "<table><tr><th>h<td><b>bo</b>ld<table><tr><td>x<td>y</table></table>",
            "| h | bold x: y |",
        ),
    ],
)
def test_text_beside_a_list_or_table_inside_keeps_its_words(page: str, text: str) -> None:
    assert HtmlExtractor().extract(_SOURCE, page.encode()).text == text


def test_reading_nested_lists_takes_time_in_proportion_to_them() -> None:
    def seconds(depth: int) -> float:
        page = "<ul><li>x" * depth + "</li></ul>" * depth
        start = time.process_time()
        HtmlExtractor().extract(_SOURCE, page.encode())
        return time.process_time() - start

    assert min(seconds(400) for _ in range(3)) < 0.2


def test_plain_text_is_kept_to_the_letter_with_its_paragraphs() -> None:
    text = "First line\r\nsecond line\r\n\r\n  Next paragraph\n\n\n"
    document = PlainTextExtractor().extract(_SOURCE, text.encode())
    assert document.text == text
    assert [item for _, item in _blocks(document)] == [
        "First line\r\nsecond line",
        "Next paragraph",
    ]


def test_markdown_offsets_point_into_the_file() -> None:
    text = "# One *two*\r\n\r\nPara\r\nline\r\n\r\n- a\r\n- b\r\n\r\n"
    text += "| h | i |\r\n|---|---|\r\n| 1 | 2 |\r\n"
    text += "\r\n```python\r\nx = 1\r\n```\r\n\r\n## Deeper\r\n"
    document = MarkdownExtractor().extract(_SOURCE, text.encode())
    assert document.text == text
    assert document.title == "One two"
    kinds = [block.kind for block in document.blocks]
    assert kinds == [
        BlockKind.HEADING,
        BlockKind.PARAGRAPH,
        BlockKind.LIST,
        BlockKind.TABLE,
        BlockKind.CODE,
        BlockKind.HEADING,
    ]
    assert [block.level for block in document.blocks if block.level] == [1, 2]
    assert _blocks(document)[2][1] == "- a\r\n- b"


@pytest.mark.parametrize(
    ("heading", "title"),
    [
        ("# From C to C#", "From C to C#"),
        ("## snake_case and 2 * 3 ##", "snake_case and 2 * 3"),
        ("# a < b and c > d", "a < b and c > d"),
        ("# #1 in *sales*, `x_*` and [a link](u)", "#1 in sales, x_* and a link"),
        ("In *two*\nlines\n===", "In two lines"),
    ],
)
def test_a_markdown_title_keeps_every_sign_that_is_no_markup(heading: str, title: str) -> None:
    assert MarkdownExtractor().extract(_SOURCE, f"{heading}\n\nText\n".encode()).title == title


def test_front_matter_becomes_title_and_metadata() -> None:
    text = "---\ntitle: Known\ntags: [a, b]\nyear: 2024\n---\nBody\n"
    document = MarkdownExtractor().extract(_SOURCE, text.encode())
    assert document.title == "Known"
    assert dict(document.metadata) == {"tags": ("a", "b"), "year": 2024}
    assert _blocks(document) == [("paragraph", "Body")]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("12:30", "12:30"),
        ("1:02:03.5", "1:02:03.5"),
        ("no", "no"),
        ("007", "007"),
        ("false", False),
        ("-1_000", -1000),
        ("1.50", 1.5),
        ("=", "="),
    ],
)
def test_plain_values_of_front_matter_are_what_they_say(
    written: str, value: str | float | bool
) -> None:
    text = f"---\n{written}: x\nvalue: {written}\n...\nBody\n"
    document = MarkdownExtractor().extract(_SOURCE, text.encode())
    assert dict(document.metadata) == {str(value): "x", "value": value}
    assert _blocks(document) == [("paragraph", "Body")]


def test_front_matter_may_be_toml_and_keeps_its_types() -> None:
    text = (
        '+++\ntitle = "Known"\ndate = 2024-03-01\nat = 2024-03-01T10:00:00Z\n'
        'draft = false\nweight = 1.5\ntags = ["a", "b"]\n[extra]\nx = 1\n+++\n# Body\n'
    )
    for written in (text, text.replace("\n", "\r\n")):
        document = MarkdownExtractor().extract(_SOURCE, written.encode())
        assert document.title == "Known"
        assert dict(document.metadata) == {
            "date": "2024-03-01",
            "at": "2024-03-01T10:00:00+00:00",
            "draft": False,
            "weight": 1.5,
            "tags": ("a", "b"),
            "extra.x": 1,
        }
        assert _blocks(document) == [("heading", "# Body")]


@pytest.mark.parametrize(
    ("front", "value"),
    [
        ("date: 2024-02-30", "2024-02-30"),
        ("date: 2024-03-01", "2024-03-01"),
        ("date: 2024-03-01 10:00:00", "2024-03-01T10:00:00"),
        ("date: [2024-03-01, 2024-03-02]", ("2024-03-01", "2024-03-02")),
    ],
)
def test_dates_in_front_matter_are_in_iso_form(front: str, value: str) -> None:
    document = MarkdownExtractor().extract(_SOURCE, f"---\n{front}\n---\nBody\n".encode())
    assert dict(document.metadata) == {"date": value}


def test_nested_properties_have_the_names_of_all_levels_and_other_lists_are_reported() -> None:
    text = (
        "---\nauthor: {name: Ada, born: 1815-12-10}\ntags: [pump, null, 3, true]\nempty: []\n"
        "authors: [{name: Ada}, {name: Ben}]\n---\nBody\n"
    )
    document = MarkdownExtractor().extract(_SOURCE, text.encode())
    assert dict(document.metadata) == {
        "author.name": "Ada",
        "author.born": "1815-12-10",
        "tags": ("pump", 3, True),
        "empty": (),
    }
    assert document.warnings == (
        "its property 'authors' is a list of lists or mappings and was left out",
    )


_PICTURE = "data:image/png;base64," + "iVBORw0KGgo" * 1000


def test_markdown_leaves_out_pictures_in_base64_and_comments_and_keeps_targets() -> None:
    text = (
        f"# Guide\n\nConnect ![the cable]({_PICTURE}) first.\n\n<!-- hidden\n\nnote -->\n"
        "See [the manual][1] <!-- draft --> or <https://example.org>.\n\n"
        "```html\n<!-- kept -->\n```\n\n[1]: https://example.org/manual\n"
    )
    document = MarkdownExtractor().extract(_SOURCE, text.encode())
    assert _blocks(document) == [
        ("heading", "# Guide"),
        ("paragraph", "Connect ![the cable]() first."),
        ("paragraph", "See [the manual][1] or <https://example.org>."),
        ("code", "```html\n<!-- kept -->\n```"),
        ("paragraph", "[1]: https://example.org/manual"),
    ]
    assert "hidden" not in document.text


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("Write `<!--` first.\n\nThen write `-->` last.", None),
        ("Write ``<!-- a -->`` and <!-- no --> end.", "Write ``<!-- a -->`` and end."),
        (r"Write \<!-- first.\n\nThen --> last.", None),
        (r"Write \<!-- and <!-- no --> end.", r"Write \<!-- and end."),
        ("A <!-- no\nno <!-- no --> `-->` end.", "A `-->` end."),
        ("<!-- no -->\n<!-- no\n\nno --> One\n\nTwo", "\nOne\n\nTwo"),
        ("> a <!-- no\n> no --> b\n\n- <!-- no --> c", "> a b\n\n- c"),
        ("<div>\n<!-- open\n\nTwo --> three", None),
        ("Never closed <!-- one\n\ntwo", None),
        ("```\n<!-- code -->\n```\n\n    <!-- code -->", None),
        (
            "| a | b |\n| - | - |\n| `<!--` | <!-- no --> x |",
            "| a | b |\n| - | - |\n| `<!--` | x |",
        ),
        ("Title <!-- no -->\n=====", "Title\n====="),
    ],
)
def test_only_what_markdown_calls_a_comment_is_left_out(written: str, text: str | None) -> None:
    found = MarkdownExtractor().extract(_SOURCE, written.encode()).text
    assert found.replace(" \n", "\n") == (written if text is None else text)


@pytest.mark.parametrize("piece", ["<!--\n\n", "x <!-- ", "`<!--` "])
def test_signs_of_comments_take_time_in_proportion_to_the_text(piece: str) -> None:
    start = time.process_time()
    MarkdownExtractor().extract(_SOURCE, f"Text {piece * 10_000}".encode())
    assert time.process_time() - start < 5


def test_plain_text_leaves_out_pictures_in_base64() -> None:
    document = PlainTextExtractor().extract(_SOURCE, f"A picture: {_PICTURE}.\n".encode())
    assert document.text == "A picture: .\n"


@pytest.mark.parametrize("leaf", ["{x: 1}", "{}"])
def test_properties_that_aliases_multiply_are_cut_off(leaf: str) -> None:
    levels = [f"a{n}: &a{n} {{p: *a{n - 1}, q: *a{n - 1}}}" for n in range(1, 60)]
    data = "\n".join(["---", f"a0: &a0 {leaf}", *levels, "---", "Tea."]).encode()
    document = MarkdownExtractor().extract(Source("notes.md", "text/markdown"), data)
    assert len(document.metadata) <= 1000
    assert any("only the first 1,000 of its properties" in each for each in document.warnings)


def test_two_rules_around_text_are_no_front_matter() -> None:
    document = MarkdownExtractor().extract(_SOURCE, b"---\nnot: [closed\n---\nBody\n")
    assert "not: [closed" in " ".join(text for _, text in _blocks(document))


def test_html_gives_structure_without_scripts_and_hidden_parts() -> None:
    page = b"""<html lang="en"><head><title>Site</title><meta name="author" content="Ann">
      <style>p {color: red}</style></head><body><h2>Head <em>line</em></h2>
      <p>One<br>two <script>evil()</script>three</p><p hidden>no</p>
      <ul><li>a<ul><li>b</li></ul></li></ul><pre>  x = 1\n  y = 2</pre>
      <table><tr><th>h</th><th>i</th></tr><tr><td rowspan=2>1</td><td>2|3</td></tr>
      <tr><td>4</td></tr></table><figure><figcaption>Cap</figcaption></figure></body></html>"""
    document = HtmlExtractor().extract(_SOURCE, page)
    assert document.title == "Site"
    assert dict(document.metadata) == {"author": "Ann", "lang": "en"}
    assert _blocks(document) == [
        ("heading", "Head line"),
        ("paragraph", "One\ntwo three"),
        ("list", "- a\n    - b"),
        ("code", "  x = 1\n  y = 2"),
        ("table", "| h | i |\n| - | - |\n| 1 | 2\\|3 |\n| 1 | 4 |"),
        ("caption", "Cap"),
    ]


def test_the_head_of_a_page_gives_dates_and_lists() -> None:
    head = (
        '<meta name="Keywords" content="pump, oil; filter"><meta property="article:tag" '
        'content="crane"><meta property="article:published_time" content="2024-03-15T08:30:00Z">'
        '<meta name="dcterms.modified" content="2024-04-01"><meta name="author" content=" ">'
    )
    page = f"<html><head>{head}</head><body><p>Words.</p></body></html>"
    assert dict(HtmlExtractor().extract(_SOURCE, page.encode()).metadata) == {
        "keywords": ("pump", "oil", "filter", "crane"),
        "created": "2024-03-15T08:30:00+00:00",
        "modified": "2024-04-01",
    }


_GLOSSARY = (
    "<dl><dt>Bollard</dt><dd>A post on a quay.</dd>"
    "<dt>Fender</dt><dt>Bumper</dt><dd>A cushion.</dd><dd>A guard.</dd></dl>"
)
_GLOSSARY_LINES = (
    "- Bollard: A post on a quay.\n- Fender, Bumper: A cushion.\n- Fender, Bumper: A guard."
)


@pytest.mark.parametrize(
    ("page", "lines"),
    [
        (_GLOSSARY, _GLOSSARY_LINES),
        # Groups of their own, and what is not closed.
        (
            "<dl><div><dt>A<dt>B<dd>one<dd>two</div><div><dt>C<dd>three</div></dl>",
            "- A, B: one\n- A, B: two\n- C: three",
        ),
        (
            "<dl><dt>What is it?</dt><dd>A thing.</dd><dt>Only</dt></dl>",
            "- What is it? A thing.\n- Only",
        ),
        (
            "<dl><dd>Without a term</dd><dt>T</dt><dd>t<ul><li>x</li></ul></dd></dl>",
            "- Without a term\n- T: t\n    - x",
        ),
        ("<dl><dt>T</dt><dd><dl><dt>U</dt><dd>u</dd></dl></dd></dl>", "- T:\n    - U: u"),
        ("<ul><li>List<dl><dt>T</dt><dd>t</dd></dl></li></ul>", "- List\n    - T: t"),
    ],
)
def test_a_description_stands_with_its_terms(page: str, lines: str) -> None:
    document = HtmlExtractor().extract(_SOURCE, f"<body>{page}</body>".encode())
    assert document.text == lines


def test_a_description_stands_with_its_terms_in_a_book_and_in_a_mail(tmp_path: Path) -> None:
    book = tmp_path / "book.epub"
    with zipfile.ZipFile(book, "w") as parts:
        parts.writestr(
            "META-INF/container.xml",
            '<container><rootfiles><rootfile full-path="a.opf"/></rootfiles></container>',
        )
        parts.writestr(
            "a.opf",
            '<package><manifest><item id="c" href="c.xhtml" media-type="application/xhtml+xml"/>'
            '</manifest><spine><itemref idref="c"/></spine></package>',
        )
        page = f'<html xmlns="http://www.w3.org/1999/xhtml"><body>{_GLOSSARY}</body></html>'
        parts.writestr("c.xhtml", page)
    assert EpubExtractor().extract(_SOURCE, book.read_bytes()).text == _GLOSSARY_LINES
    mail = EmailMessage()
    mail.set_content(f"<html><body>{_GLOSSARY}</body></html>", subtype="html")
    assert EmlExtractor().extract(_SOURCE, mail.as_bytes()).text.endswith(_GLOSSARY_LINES)


def test_markdown_keeps_terms_and_descriptions_to_the_letter() -> None:
    text = f"Fender\n: A cushion.\n\n{_GLOSSARY}\n"
    document = MarkdownExtractor().extract(_SOURCE, text.encode())
    assert _blocks(document) == [("paragraph", "Fender\n: A cushion."), ("paragraph", _GLOSSARY)]


def test_a_table_in_a_cell_of_a_headed_table_stays_with_its_row() -> None:
    page = (
        "<table><tr><th>Berth</th><th>Services</th></tr>"
        "<tr><td>West 4</td><td>From <table><tr><td>Water</td><td>3 euros</td></tr>"
        "<tr><td>Power</td><td>7 euros</td></tr></table></td></tr></table>"
        "<table><tr><td>Left<table><tr><td>x</td></tr></table></td></tr></table>"
    )
    document = HtmlExtractor().extract(_SOURCE, page.encode())
    assert _blocks(document) == [
        (
            "table",
            "| Berth | Services |\n| - | - |\n| West 4 | From Water: 3 euros; Power: 7 euros |",
        ),
        ("paragraph", "Left"),
        ("paragraph", "x"),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_finds_its_delimiter(delimiter: str) -> None:
    rows = [["name", "note"], ["a", '"x, y; z"'], ["b", "w"]]
    data = "\r\n".join(delimiter.join(row) for row in rows).encode()
    document = CsvExtractor().extract(_SOURCE, data)
    assert document.text == "| name | note |\n| - | - |\n| a | x, y; z |\n| b | w |"


def test_tables_leave_out_what_is_empty_and_keep_rows_on_one_line() -> None:
    rows = [["a", "", "b"], ["", "", ""], ["1\n2", "", "x|y"], ["3"]]
    assert markdown_table(rows) == "| a | b |\n| - | - |\n| 1 2 | x\\|y |\n| 3 |  |"


@pytest.mark.parametrize("text", ["{", "[1, 2]", '{"a": 1}'])
def test_json_that_is_not_doclings_is_refused(text: str) -> None:
    with pytest.raises(ExtractionError, match="JSON"):
        DoclingJsonExtractor().extract(_SOURCE, text.encode())


@pytest.mark.parametrize("reference", ["#/texts/7", "../x", "#/texts/0/text"])
def test_docling_references_that_lead_nowhere_are_refused(reference: str) -> None:
    text = '{"schema_name": "DoclingDocument", "texts": [], "body": {"children": [{"$ref": "%s"}]}}'
    with pytest.raises(ExtractionError, match="reference"):
        DoclingJsonExtractor().extract(_SOURCE, (text % reference).encode())


def test_docling_trees_that_contain_themselves_end() -> None:
    text = """{"schema_name": "DoclingDocument", "name": "n",
      "body": {"children": [{"$ref": "#/groups/0"}]},
      "groups": [{"label": "list", "children": [{"$ref": "#/texts/0"}, {"$ref": "#/groups/0"}]}],
      "texts": [{"label": "list_item", "text": "only", "prov": [{"page_no": 3}]}]}"""
    document = DoclingJsonExtractor().extract(_SOURCE, text.encode())
    assert _blocks(document) == [("list", "- only")]
    assert document.blocks[0].page == 3


def test_archives_that_expand_too_far_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(archive, "MAX_EXPANDED", 1000)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("a", bytes(5000))
    with pytest.raises(ExtractionError, match="expands") as caught:
        archive.open_archive(path.read_bytes())
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize("page", [10**23, -1, 0, 2**31])
def test_docling_page_numbers_and_levels_are_bounded(page: int) -> None:
    texts = [
        {"label": "section_header", "text": f"H{n}", "level": 10**n, "prov": [{"page_no": page}]}
        for n in range(20)
    ]
    body = {"children": [{"$ref": f"#/texts/{n}"} for n in range(20)]}
    new = {"schema_name": "DoclingDocument", "name": "n", "body": body, "texts": texts}
    old = {
        "file-info": {"filename": "a.pdf"},
        "main-text": [
            {"type": f"subtitle-level-{10**n}", "text": f"H{n}", "prov": [{"page": page}]}
            for n in range(20)
        ],
    }
    for values in (new, old):
        blocks = DoclingJsonExtractor().extract(_SOURCE, json.dumps(values).encode()).blocks
        assert {block.page for block in blocks} == {None}
        assert max(block.level or 0 for block in blocks) == 10


def test_a_date_that_there_is_not_in_front_matter_stays_text() -> None:
    text = "---\ntitle: Known\ndate: 2024-02-30\n---\nBody\n"
    document = MarkdownExtractor().extract(_SOURCE, text.encode())
    assert (document.title, dict(document.metadata)) == ("Known", {"date": "2024-02-30"})
    assert _blocks(document) == [("paragraph", "Body")]
