"""What is read from a web page, what is left out, and what is kept apart as furniture."""

import time

import pytest

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.html import HtmlExtractor, add_html, parse_html
from kvasir.components.splitters.structure import StructureSplitter
from kvasir.core.types import BlockKind, Document, Source


def _read(page: str, uri: str = "/folder/page.html") -> Document:
    return HtmlExtractor().extract(Source(uri, "text/html"), page.encode())


def _kept(page: str, uri: str = "/folder/page.html") -> str:
    """Return what a page's chunks say."""
    chunks = StructureSplitter().split(_read(page, uri))
    return "\n".join(chunk.passage for chunk in chunks)


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (
            "10<sup>6</sup> m<sup>2</sup> of CO<sub>2</sub>, x<sup>a+b</sup>",
            "10⁶ m² of CO₂, x^(a+b)",
        ),
        ("Founded in 1987<sup><a href='#n3'>3</a></sup>.", "Founded in 1987[^3]."),
        ("Ducks swim.<sup id=r><a href='#c'>[4]</a></sup>", "Ducks swim.[^4]"),
        ("in 2024<a role=doc-noteref href='#n'>2</a>.", "in 2024[^2]."),
        ("in 2024<a epub:type='x noteref' href='n.html#n'><sup>2</sup></a>.", "in 2024[^2]."),
        ("in 2024<sup><a class=footnote-ref href='#n'>2</a></sup>.", "in 2024[^2]."),
        ("in 2024<a href='#n'><sup>2</sup></a>.", "in 2024[^2]."),
        ("A note.<a role=doc-backlink href='#r'>↩</a>", "A note."),
        ("A<aside epub:type=footnote hidden><p>A note.</aside>", "A\n\nA note."),
        ("The 2<sup>nd</sup><sup>[citation needed]</sup>", "The 2nd[citation needed]"),
        ("It costs <del>20</del> 15 euros.", "It costs ~~20~~ 15 euros."),
        (
            "It costs <span style='text-decoration: line-through'>20</span> 15.",
            "It costs ~~20~~ 15.",
        ),
        (
            "<p style='color:red;text-decoration-line:line-through'>Rule <b>5</b>.</p>",
            "~~Rule 5.~~",
        ),
        ("<div style='text-decoration:line-through'><p>One.<p>Two.</div>", "~~One.~~\n\n~~Two.~~"),
        ("Fee <del style='text-decoration:line-through'>20</del> 15", "Fee ~~20~~ 15"),
        ("<s>Fee <span style='text-decoration:line-through'>20</span></s> 15", "~~Fee 20~~ 15"),
        (
            "<b style='text-decoration:line-through'>Fee <s>20</s></b> <del><s>a</s></del>",
            "~~Fee 20~~ ~~a~~",
        ),
        ("<del><p>One <s>two</s></p>three</del>", "~~One two~~\n\n~~three~~"),
        (
            "<ul><li style='text-decoration:line-through'>Old <i>task</i><ul><li>a</ul>b<li>c</ul>",
            "- ~~Old task~~\n    - ~~a~~\n  ~~b~~\n- c",
        ),
        ("He said <q>no</q>.", "He said “no”."),
        ("soft&shy;hyphen and zero&#8203;width", "softhyphen and zerowidth"),
        ("<math><msup><mn>10</mn><mn>6</mn></msup><mo>=</mo><mi>n</mi></math>", "10⁶ = n"),
        (
            "<math><semantics><mi>x</mi><annotation encoding='application/x-tex'>x_1"
            "</annotation></semantics></math>",
            "x_1",
        ),
        ("<math><mroot><mi>y</mi><mn>3</mn></mroot></math>", "root(3, y)"),
        ("<math><munderover><mo>∑</mo><mn>1</mn><mi>n</mi></munderover><mi>k</mi></math>", "∑₁ⁿk"),
        (
            "<math><munder><mi>lim</mi><mi>x</mi></munder><mover><mi>y</mi><mo>¯</mo></mover></math>",
            "lim_(x)y¯",
        ),
        (
            "<math><mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr><mtr><mtd><mn>3</mn>"
            "</mtd><mtd><mn>4</mn></mtd></mtr></mtable></math>",
            "[1 2; 3 4]",
        ),
        (
            "so <span class=MathJax_Preview>x</span> <i class=MathJax><math><mi>x</mi></math></i>"
            "<script type='math/tex; mode=display'>x^2</script> is",
            "so x^2 is",
        ),
        ("<ol start=3><li>c<li>d<li value=9>i</ol>", "3. c\n4. d\n9. i"),
        ("<ol reversed><li>b<li>a</ol>", "2. b\n1. a"),
        ("<ol><li value=' -2 '>a<li>b<li value=0>c</ol>", "-2. a\n-1. b\n0. c"),
        (f"<ol><li value={'9' * 5000}>a<li>b</ol>", "1. a\n2. b"),
        ("<ol type=a start=3><li>c<li>d</ol>", "c. c\nd. d"),
        ("<ol type=I><li value=44>a<li>b</ol>", "XLIV. a\nXLV. b"),
    ],
)
def test_numbers_and_signs_do_not_change(page: str, text: str) -> None:
    assert _read(page).text == text


_ADDRESS = "https://www.example.org/manual/page.html"


@pytest.mark.parametrize(
    ("link", "text"),
    [
        ("<a href='https://other.example/x'>words</a>", "words (https://other.example/x)"),
        (
            "<a href='mailto:fire@example.org'>the warden</a>",
            "the warden (mailto:fire@example.org)",
        ),
        ("<a href='tel:+4755501'>reception</a>", "reception (tel:+4755501)"),
        ("<a href='//cdn.example/x'>words</a>", "words (https://cdn.example/x)"),
        ("<a href='https://other.example/x'>other.example/x</a>", "other.example/x"),
        ("<a href='mailto:a@b.example'>a@b.example</a>", "a@b.example"),
        ("<a href='next.html'>next</a>", "next"),
        ("<a href='https://example.org/other'>same site</a>", "same site"),
        ("<a href='#part'>part</a>", "part"),
        ("<a href='javascript:go()'>go</a>", "go"),
        ("<a href='data:text/plain,hello'>data</a>", "data"),
        (f"<a href='https://other.example/{'x' * 300}'>long</a>", "long"),
        ("<a href='http://[broken'>broken</a>", "broken"),
    ],
)
def test_the_target_of_a_link_to_another_site_follows_its_words(link: str, text: str) -> None:
    assert _read(f"<p>See {link} there.</p>", _ADDRESS).text == f"See {text} there."


def test_a_page_says_its_own_address_by_base_or_canonical_link() -> None:
    for head in (
        "<base href='https://example.org/'>",
        "<link rel=canonical href='https://example.org/p'>",
    ):
        page = f"<head>{head}</head><p>See <a href='https://example.org/q'>that</a> page.</p>"
        assert _read(page).text == "See that page."


@pytest.mark.parametrize(
    ("page", "blocks"),
    [
        (
            "<figure><img src=a.png alt='Leave by the north stairs'><figcaption>Plan</figure>",
            [("caption", "Picture: Leave by the north stairs"), ("caption", "Plan")],
        ),
        ("<p>Press <img alt=Enter> to go on</p>", [("paragraph", "Press Enter to go on")]),
        ("<p>x</p><img alt=''><img alt='photo_1.jpg'>", [("paragraph", "x")]),
        ("<svg><title>A chart of sales</title></svg>", [("caption", "Picture: A chart of sales")]),
        ("<p>x <a href='#top'><img alt=up></a></p>", [("paragraph", "x")]),
        (
            "<p><abbr title='World Health Organization'>WHO</abbr>, "
            "<abbr title='World Health Organization'>WHO</abbr></p>",
            [("paragraph", "WHO (World Health Organization), WHO")],
        ),
        (
            "<p><ruby>漢<rt>kan</rt>字<rt>ji</rt></ruby>です</p>",
            [("paragraph", "漢字(kan ji)です")],
        ),
        (
            "<form><label>Name <input name=n value='Ann Lee'></label>"
            "<label><input type=checkbox name=a checked> Paid</label>"
            "<label><input type=checkbox name=b> Sent</label>"
            "<select name=s><option>red<option selected>blue</select>"
            "<textarea name=t>By hand</textarea>"
            "<input type=hidden value=secret><input type=password value=secret>"
            "<input type=submit value=Go><button>Send</button></form>",
            [("paragraph", "Name Ann Lee [x] Paid [ ] Sent blue By hand")],
        ),
    ],
)
def test_what_markup_says_beside_the_text_is_kept(page: str, blocks: list[tuple[str, str]]) -> None:
    document = _read(page)
    found = [(block.kind, document.text[block.start : block.end]) for block in document.blocks]
    assert found == blocks


@pytest.mark.parametrize(
    "hidden",
    [
        "<p hidden>unseen</p>",
        "<p aria-hidden=true>unseen</p>",
        "<p style='DISPLAY : none'>unseen</p>",
        "<p style='visibility:hidden'>unseen</p>",
        "<p style='font-size:0'>unseen</p>",
        "<p style='opacity: 0'>unseen</p>",
        "<p style='opacity: .0;font-size:13px'>unseen <b style='opacity:1'>unseen</b></p>",
        "<p style='font:0/0 a'>unseen</p>",
        "<p style='font-size:0.0px'>unseen <b style='font-size:2em'>unseen</b> unseen</p>",
        "<div style='visibility:hidden'>unseen <p>unseen <img alt=unseen></p> unseen</div>",
        "<div style='visibility:hidden'><input value=unseen><button aria-expanded>unseen</button>"
        "</div>",
        "<style>i {visibility:hidden} i b {visibility:inherit}</style><i><b>unseen</b></i>",
        "<style>.a .b > p {display:none}</style><div class=a><div class=b><p>unseen</div></div>",
        "<style>@media screen {#x {visibility: hidden !important}}</style>"
        "<p id=x style='visibility:visible'>unseen</p>",
        "<style>p.x {display:none} p {display:block}</style><p class=x>unseen</p>",
        "<script>unseen</script><template>unseen</template><noscript>unseen</noscript>",
        "<dialog>unseen</dialog><iframe>unseen</iframe><!-- unseen -->",
        "<img src='data:image/png;base64,unseenAAAA' alt=''>",
        "<a href='data:text/plain;base64,unseenAAAA'>Seen</a>",
    ],
)
def test_what_a_page_does_not_show_is_not_read(hidden: str) -> None:
    for page in (f"<p>Seen.</p>{hidden}<p>After.</p>", f"<p>Seen. {hidden} After.</p>"):
        text = _read(page).text
        assert "unseen" not in text
        assert "Seen." in text
        assert "After." in text


@pytest.mark.parametrize(
    "shown",
    [
        "<style>@media print {p {display:none}}</style><p>words</p>",
        "<style media=print>p {display:none}</style><p>words</p>",
        "<style>p {display:none} p.x {display:block}</style><p class=x>words</p>",
        "<style>p:hover, p::before {display:none}</style><p>words</p>",
        "<style>body {visibility:hidden}</style><p>words</p>",
        "<table><tr><td style='font-size:0px'><div style='font-size:13px'>words</div></table>",
        "<style>.x {font-size:13px}</style><p style='font-size:0'><b class=x>words</b></p>",
        "<style>p {font-size:0}</style><style>b {font:bold 13px/1 serif}</style><p><b>words</b>",
        "<p style='font-size:0'><font size=2>words</font></p>",
        "<p style='font-size:0'><img alt=words></p>",
        "<p style='font-size:0.8em'>words</p>",
        "<p style='font:inherit;visibility:hidden'><b style='visibility:visible'>words</b></p>",
        "<p hidden=until-found>words</p>",
        "<details><summary>More</summary>words</details>",
        "<dialog open>words</dialog>",
        "<style>@@ {{{ ]] display:none</style><p>words</p>",
    ],
)
def test_what_a_page_shows_is_read(shown: str) -> None:
    assert "words" in _read(shown).text


_ARIA_ROW = "<div role=row><p role=columnheader>a</p><p role=columnheader>b</p></div>"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<iframe srcdoc='&lt;p&gt;Framed&lt;/p&gt;&lt;p&gt;twice'></iframe>", "Framed\n\ntwice"),
        ("<iframe srcdoc=' '>x</iframe><iframe srcdoc='&lt;script&gt;x'></iframe>Page", "Page"),
        ("<template shadowrootmode=open><p>Shadow</template>", "Shadow"),
        ("Size: <select><option>S<option>M</select>", "Size: S"),
        ("Sizes: <select multiple><option>S<option>M</select>", "Sizes:"),
        ("<table><thead><tr><th>a<th>b</thead><tfoot><tr><td>Sum<td>3</tfoot><tr><td>1<td>2</table>",
         "| a | b |\n| - | - |\n| 1 | 2 |\n| Sum | 3 |"),
        ("<table><tr><th>a<th>b<tbody><tr><td rowspan=0>x<td>1<tr><td>2<tbody><tr><td>y<td>3",
         "| a | b |\n| - | - |\n| x | 1 |\n| x | 2 |\n| y | 3 |"),
        ("<div role=table><div role=rowgroup><div role=row><span role=columnheader>a</span>"
         "<span role=columnheader>b</span></div></div><div role=row><span role=cell>1</span>"
         "<span role=cell>2</span></div></div>", "| a | b |\n| - | - |\n| 1 | 2 |"),
        ("<div role=table><p role=caption>Fees</p><div><div role=row><p role=cell>1</p>"
         "<p role=cell>2</p></div><div role=row><p role=cell>3</p><p role=cell>4</p></div></div>"
         "</div>", "Fees\n\n| 1 | 2 |\n| - | - |\n| 3 | 4 |"),
        (f"<div role=table><p>Fees</p>{_ARIA_ROW}</div>", "Fees\n\na\n\nb"),
        (f"<div role=grid><div>Tools</div>{_ARIA_ROW}</div>", "Tools\n\na\n\nb"),
        (f"<div role=table>{_ARIA_ROW}<div role=row><p role=cell>1</p><a><p role=cell>2</p></a>"
         "</div></div>", "a\n\nb\n\n1\n\n2"),
        (f"<div role=table>{_ARIA_ROW}<p role=cell>2</p></div>", "a\n\nb\n\n2"),
        (f"<div role=table>{_ARIA_ROW}<div>Sum <div role=row><p role=cell>2</p></div></div></div>",
         "a\n\nb\n\nSum\n\n2"),
        ("<iframe hidden srcdoc='a'></iframe><p hidden><iframe srcdoc=b></iframe></p>c", "c"),
        ("<iframe style='display:none' srcdoc=b></iframe>c", "c"),
        ("<style>iframe.x {display: none}</style><iframe class=x srcdoc=b></iframe>c", "c"),
        ("<iframe srcdoc='&lt;style&gt;p {display:none}&lt;/style&gt;&lt;p&gt;a&lt;/p&gt;b'>x"
         "</iframe><p>c", "b\n\nc"),
        ("<iframe srcdoc='&lt;p hidden&gt;a&lt;/p&gt;b'></iframe> c", "b\n\nc"),
        ("<ol type=a start=26><li>y<li>z</ol>", "z. y\naa. z"),
        ("<ol type=A start=28><li>y</ol>", "AB. y"),
        ("<ol type=a start=99999999><li>y</ol>", "hjunyu. y"),
        ("<ol type=i start=99999999><li>y</ol>", "99999999. y"),
        ("A<div popover>closed</div>", "A"),
        ("<div role=grid><div role=row><p>Words</div></div>", "Words"),
    ],
)  # fmt: skip
def test_a_page_is_read_as_browsers_show_it(page: str, text: str) -> None:
    assert _read(page).text == text


@pytest.mark.parametrize(
    "void", ["<embed src=a.pdf>", "<source srcset=a.webp>", "<track src=a.vtt>", "a<wbr>b"]
)
def test_content_after_a_void_element_is_content_of_the_page(void: str) -> None:
    page = f"<p>Before</p><div>{void * 40}<a href='https://x.org/'>link</a></div><h2>After</h2>end"
    assert _read(page).text.endswith("link (https://x.org/)\n\nAfter\n\nend")


def test_the_picture_of_several_sources_has_its_alternative_text() -> None:
    page = "<p>A</p><picture><source srcset=a><source srcset=b><img alt='The plan'></picture>"
    assert _read(page).text == "A\n\nPicture: The plan"


def test_words_stay_apart_where_what_is_between_them_is_hidden() -> None:
    shown = "style='font-size:14px'"
    page = f"<p style='font-size:0'><b {shown}>One</b> unseen <b {shown}>two</b></p>"
    assert _read(page).text == "One two"


def test_a_formula_beside_its_hidden_form_is_read_once() -> None:
    page = (
        "<p>So <span style='display:none'><math alttext='E=mc^2'><mi>E</mi></math></span>"
        "<img aria-hidden=true alt='E=mc^2'> holds.</p>"
    )
    assert _read(page).text == "So E=mc^2 holds."


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<h2><button>Where?</button></h2><div>Here.</div>", "Where?\n\nHere."),
        ("<button aria-expanded=false>Where?</button><div>Here.</div>", "Where?\n\nHere."),
        ("<button aria-controls=a><span>Where?</span></button><p id=a>Here.", "Where?\n\nHere."),
        ("<button aria-controls=a><h2>Where?</h2></button><p id=a>Here.", "Where?\n\nHere."),
        ("<details><summary><button>Where?</button></summary>Here.", "Where?\n\nHere."),
        ("<dl><dt><button>Where</button><dd>Here.</dl>", "- Where: Here."),
        (
            "<table><tr><th><button>Item</button><th>Price<tr><td>a<td>1</table>",
            "| Item | Price |\n| - | - |\n| a | 1 |",
        ),
        ("<p>Here.</p><button>Send</button>", "Here."),
    ],
)
def test_a_button_that_labels_content_is_read(page: str, text: str) -> None:
    assert _read(page).text == text


def test_questions_on_buttons_are_content_of_the_page() -> None:
    folded = "".join(
        f"<div class=accordion-item><h2><button aria-expanded=false>Where is {place}?</button></h2>"
        f"<div class=accordion-body>It is behind the {place}.</div></div>"
        for place in ("pier", "mill", "dam")
    )
    kept = _kept(f"<body><h1>Questions</h1><div class=accordion>{folded}</div></body>")
    assert "Where is dam?" in kept
    assert "It is behind the dam." in kept


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<ul>Before <li>a</li> after a <li>b</ul>", "Before\n\n- a\n  after a\n- b"),
        ("<ol>Before<li>a<ul>inner<li>b</li>after b</ul></ol>",
         "Before\n\n1. a\n  inner\n    - b\n      after b"),
        ("<dl>Before<dt>A</dt>, <dt>B</dt> bare <dd>x</dd> after</dl>",
         "- Before\n- A, B: bare\n- A, B: x\n- A, B: after"),
        ("<dl><div>in group<dt>A</dt><dd>x</dd>after</div></dl>", "- in group\n- A: x\n- A: after"),
    ],
)  # fmt: skip
def test_text_between_the_items_of_a_list_is_read(page: str, text: str) -> None:
    assert _read(page).text == text


def test_text_between_the_cells_of_a_table_comes_before_it() -> None:
    page = "<table>One<tr>two<th>a<th>b</tr>three<tbody>four<tr><td>1<td>2</td>five</table>"
    table = "| a | b |\n| - | - |\n| 1 | 2 |"
    assert _read(page).text == f"One three four two five\n\n{table}"


def test_a_description_and_what_is_in_it_stay_under_its_term() -> None:
    page = """<h2>Options</h2><dl>
      <dt>--fast</dt><dd><p>Skips checks.</p><pre>run --fast</pre><ul><li>one<li>two</ul>
        <dl><dt>level</dt><dd>A number.</dd></dl><p>Still about speed.</p></dd>
      <dt>--slow</dt><dd>Does all.</dd></dl><p>After the options.</p>"""
    document = _read(page)
    found = [
        (block.kind.value, block.level, document.text[block.start : block.end])
        for block in document.blocks
    ]
    assert found == [
        ("heading", 2, "Options"),
        ("term", 7, "- --fast:"),
        ("paragraph", None, "Skips checks."),
        ("code", None, "run --fast"),
        ("list", None, "- one\n    - two"),
        ("term", 8, "- level:"),
        ("paragraph", None, "A number."),
        ("paragraph", 7, "Still about speed."),
        ("term", 7, "- --slow:"),
        ("paragraph", None, "Does all."),
        ("paragraph", 6, "After the options."),
    ]
    assert "- --fast: Skips checks." in document.text


def test_paragraphs_and_code_in_a_list_item_keep_their_order() -> None:
    page = "<ul><li><p>First</p><pre>a\n  b</pre><p>Then</p><li>Last</ul>"
    assert _read(page).text == "- First\n\na\n  b\n\n  Then\n- Last"


def test_two_line_breaks_end_a_paragraph() -> None:
    assert _read("<p>One<br>two<br><br>Three</p>").text == "One\ntwo\n\nThree"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (
            "<table><tr><th rowspan=2>Mill<th colspan=2>2023<tr><th>Flour<th>Bran"
            "<tr><td>One<td>5<td>6</table>",
            "| Mill | 2023 / Flour | 2023 / Bran |\n| - | - | - |\n| One | 5 | 6 |",
        ),
        (
            "<table><thead><tr><td><h3>Plan</h3><td><h3>Gold</h3></thead>"
            "<tr><td>Storage<td>80 GB</table>",
            "| Plan | Gold |\n| - | - |\n| Storage | 80 GB |",
        ),
        (
            "<table><tr><th>Status<td>Base<tr><th>Source<td>a.c</table>",
            "| Status | Base |\n| Source | a.c |",
        ),
        (
            "<table><caption>Fees</caption><tr><th>Who<th>How much<tr><td>All"
            "<td><ul><li>5<li>6</ul></table>",
            "Fees\n\n| Who | How much |\n| - | - |\n| All | 5; 6 |",
        ),
        ("<table><tr><td><p>Note</p><td><p>Read this.</p></table>", "Note\n\nRead this."),
        ("<table role=presentation><tr><th>a<td>b<tr><td>c<td>d</table>", "a\n\nb\n\nc\n\nd"),
        (
            "<table dir=rtl><tr><th>الاسم<th>العدد<tr><td>قلم<td>٣</table>",
            "| الاسم | العدد |\n| - | - |\n| قلم | ٣ |",
        ),
    ],
)
def test_tables_keep_their_headers(page: str, text: str) -> None:
    assert _read(page).text == text


_NOTE = (
    "<table border=0 summary=Note><tr><td rowspan=2><img alt='[Note]' src=n.png></td>"
    "<th align=left>Note</th></tr><tr><td><p>Close the lid.</p><ul><li>first<li>second</ul>"
    "</td></tr></table>"
)


def test_a_note_with_a_sign_beside_it_is_text_and_no_table() -> None:
    document = _read(f"<p>Before.</p>{_NOTE}<p>After.</p>")
    assert document.text == "Before.\n\nNote\n\nClose the lid.\n\n- first\n- second\n\nAfter."
    assert not [block for block in document.blocks if block.kind is BlockKind.TABLE]


def test_a_table_with_pictures_of_its_rows_stays_a_table() -> None:
    page = "<table><tr><td><img alt=Fox src=f.png><td>red<tr><td><img alt=Owl src=o.png><td>grey"
    assert _read(page).text == "| Fox | red |\n| - | - |\n| Owl | grey |"


def test_text_after_a_table_with_headings_in_its_cells_stays_under_its_own_heading() -> None:
    page = (
        "<h1>Plans</h1><table><tr><th><h3>Feature</h3><th><h3>Gold</h3>"
        "<tr><td>Storage<td>80 GB</table><p>Cancelling is possible.</p>"
    )
    chunk = StructureSplitter().split(_read(page))[-1]
    assert chunk.headings == ("Plans",)


_TEXT = "<p>The lever opens the valve, and the valve lets the water out.</p>"


@pytest.mark.parametrize(
    "furniture",
    [
        "<nav><ul><li><a href=a>Junk</a></ul></nav>",
        "<div role=navigation>Junk</div>",
        "<div role=search><label>Junk <input name=q></label></div>",
        "<header><p>Junk</p></header>",
        "<footer><p>Junk</p></footer>",
        "<div class='site-footer'><p>Junk</p></div>",
        "<div class=breadcrumbs><a href=a>Junk</a> &gt; here</div>",
        "<div id=sidebar><ul><li><a href=a>Junk</a><li><a href=b>Junk</a></ul></div>",
        "<div class=toplang>Languages: <a href=a hreflang=en>Junk</a></div>",
        "<p>In: <a hreflang=en href=a>Junk</a> | <a hreflang=fr href=b>Junk</a></p>",
        "<div id=cookie-banner>Junk cookies <button>Accept</button></div>",
        "<table><tr><td><a rel=prev href=a>Junk</a><td><a rel=next href=b>Junk</a></table>",
        "<p><a href=p.html>Junk</a> <a href=n.html>Junk</a></p>",
        "<ul><li><a href='#a'>Junk</a><li><a href='#b'>1. Junk</a></ul>",
        "<div><h3>Junk</h3><ul><li><a href='#a'>Junk</a><li><a href='#b'>x</a></ul>"
        "<h3>Junk</h3><ul><li><a href=o>Junk</a></ul></div>",
        "<div data-nosnippet>Junk</div>",
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_furniture_is_in_the_text_and_in_no_chunk(furniture: str, is_first: bool) -> None:
    head = "<head><link rel=prev href=p.html><link rel=next href=n.html></head>"
    content = f"<h1>Valves</h1>{_TEXT}<h2>Care</h2>{_TEXT}"
    page = f"{head}{furniture}{content}" if is_first else f"{head}{content}{furniture}"
    assert "Junk" in _read(page).text
    assert "Junk" not in _kept(page)
    assert _kept(page).count("lets the water out") == 2


@pytest.mark.parametrize(
    "page",
    [
        f"<p><a href=a>Junk</a> | <a href=b>Junk</a></p><h1>Valves</h1>{_TEXT}",
        f"{_TEXT}<p><small>Junk 2024</small></p>",
        f"{_TEXT}<p>This page was last modified on 3 May 2024. Junk</p>",
        f"{_TEXT}<p>© 2024 Junk Ltd.</p>",
        f"{_TEXT}<h2>Junk</h2><p>Part of the <a href=a>Junk</a> suite</p>",
        f"<div>Junk</div><main>{_TEXT}</main><div>Junk</div>",
        f"<h3>Junk</h3><ul><li><a href='#a'>Junk</a><li><a href='#b'>x</a></ul><h2>A</h2>{_TEXT}",
        f"{_TEXT}<div class=top><a href='#top'>Top</a></div>",
    ],
)
def test_furniture_is_known_by_its_place(page: str) -> None:
    assert "Junk" not in _kept(page)
    assert "lets the water out" in _kept(page)


@pytest.mark.parametrize(
    "content",
    [
        "<section id=navigation><h2>Navigation</h2><p>How pilots find their way.</p></section>",
        "<div class=section id=cookie-policy><h2>Cookies</h2><p>Cookies are sent.</p></div>",
        "<div id=header><h1>git-log(1)</h1><p>git-log - Shows the log</p></div>",
        "<div class=menu><p>Soup of the day with bread, six euros.</p></div>",
        "<h2>See also</h2><ul><li><a href=a>Pumps</a><li><a href=b>Pipes</a></ul>",
        "<p>These work on <a href='#a'>A</a> and <a href='#b'>B</a> objects.</p>",
        "<article><header><p>By Ann Lee, in May</p></header><p>Words.</p></article>",
        "<p>See the <a rel=next href=n>next chapter</a> about pumps.</p>",
    ],
)
def test_content_that_looks_like_furniture_is_kept(content: str) -> None:
    page = f"<h1>Valves</h1>{_TEXT}{content}{_TEXT}"
    last_word = " ".join(parse_html(content.encode()).itertext()).split()[-1]
    assert last_word in _kept(page)


def test_a_page_that_is_nothing_but_links_keeps_them() -> None:
    links = "<li><a href='#a'>One</a><li><a href=b>Two</a>"
    page = f"<h1>Contents</h1><div class=toc><ul>{links}</ul></div>"
    assert "One" in _kept(page)
    assert "Two" in _kept(page)


def test_a_title_in_a_page_head_is_still_a_heading() -> None:
    page = (
        "<title>Sleep for a while</title><div class=nosearch><h2>The C interface</h2>"
        f"<h2>Sleep for a while</h2></div>{_TEXT}"
    )
    (chunk,) = StructureSplitter().split(_read(page))
    assert chunk.headings == ("Sleep for a while",)


def test_a_chapter_of_a_book_keeps_its_words_but_not_its_navigation() -> None:
    builder = DocumentBuilder(Source("book.epub", "application/epub+zip"))
    add_html(parse_html(b"<nav><a href=a>Junk</a></nav><p>Words <a href=b>here</a></p>"), builder)
    kinds = [block.kind for block in builder.build().blocks]
    assert kinds == [BlockKind.FURNITURE, BlockKind.PARAGRAPH]


@pytest.mark.parametrize(
    "piece",
    [
        "<!-- c -->x",
        "<p hidden>y</p>x",
        "<div class=nav>",
        "<a href='#x'>x",
        "<sup>x",
        "<s>x",
        "<s><p>x",
        "<div style='text-decoration:line-through'>x",
        "<div role=table><div>",
        "<dl><dt>x<dd>",
        "<h2>x</h2>",
        "<table><tr><td>x",
    ],
)
def test_reading_takes_time_in_proportion_to_the_page(piece: str) -> None:
    def seconds(count: int) -> float:
        page = f"<p>Words.</p>{piece * count}"
        start = time.process_time()
        _read(page)
        return time.process_time() - start

    few, many = (min(seconds(count) for _ in range(2)) for count in (100, 600))
    assert many < max(few, 0.01) * 20


@pytest.mark.parametrize(
    "declared",
    [
        '<?xml version="1.0"?><!DOCTYPE html [<!ENTITY l0 "lol"><!ENTITY l1 "&l0;&l0;">]>',
        '<!DOCTYPE html [<!ENTITY l1 SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_declared_entities_are_neither_used_nor_read_as_text(declared: str) -> None:
    assert _read(f"{declared}<html><body><p>Tea is &l1; hot.</p></body></html>").text == (
        "Tea is &l1; hot."
    )


def test_brackets_in_a_page_are_no_declaration() -> None:
    page = "<!DOCTYPE html><html><body><p>See [1] and [2].</p></body></html>"
    assert _read(page).text == "See [1] and [2]."
