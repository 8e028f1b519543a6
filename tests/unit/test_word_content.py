"""What a Word file shows is read, at its place; what it hides is not."""

import io
import zipfile
from datetime import UTC, datetime

import docx
import pytest
from office_packages import Part, retyped, word_package

from kvasir.components.extractors.docx import DocxExtractor
from kvasir.core.types import Document, Source

_SOURCE = Source("/folder/file.docx", "")


def _run(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def _paragraph(*runs: str, properties: str = "") -> str:
    inner = "".join(run if run.startswith("<") else _run(run) for run in runs)
    return f"<w:p><w:pPr>{properties}</w:pPr>{inner}</w:p>"


def _field(instruction: str, result: str, begin: str = "") -> str:
    return (
        f'<w:r><w:fldChar w:fldCharType="begin">{begin}</w:fldChar></w:r>'
        f"<w:r><w:instrText>{instruction}</w:instrText></w:r>"
        f'<w:r><w:fldChar w:fldCharType="separate"/></w:r>{result}'
        '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    )


def _cell(content: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{content}</w:tc>"


def _table(*rows: list[str], first: str = "") -> str:
    lines = [
        "".join(_cell(text if text.startswith("<") else _paragraph(text)) for text in row)
        for row in rows
    ]
    marked = [f"<w:trPr>{first}</w:trPr>" if number == 0 else "" for number in range(len(rows))]
    inner = (f"<w:tr>{mark}{line}</w:tr>" for mark, line in zip(marked, lines, strict=True))
    return f"<w:tbl>{''.join(inner)}</w:tbl>"


def _read(
    body: str, parts: dict[str, Part] | None = None, links: dict[str, str] | None = None
) -> Document:
    return DocxExtractor().extract(_SOURCE, word_package(body, parts, links))


def _texts(document: Document) -> list[str]:
    return [document.text[block.start : block.end] for block in document.blocks]


_FORM = "https://a.example/form?id=1"


@pytest.mark.parametrize(
    "link",
    [
        f'<w:hyperlink r:id="l1">{_run("the form")}</w:hyperlink>',
        _field(f' HYPERLINK "{_FORM}" ', _run("the form")),
        f"<w:fldSimple w:instr=' HYPERLINK \"{_FORM}\" '>{_run('the form')}</w:fldSimple>",
    ],
    ids=["element", "field", "simple field"],
)
def test_the_target_of_a_link_stands_behind_its_words(link: str) -> None:
    document = _read(_paragraph("Fill in ", link, " today."), links={"l1": _FORM})
    assert document.text == f"Fill in the form ({_FORM}) today."


@pytest.mark.parametrize(
    "link",
    [
        f'<w:hyperlink w:anchor="top">{_run("the top")}</w:hyperlink>',
        f'<w:hyperlink r:id="missing">{_run("the top")}</w:hyperlink>',
        _field(' HYPERLINK \\l "top" ', _run("the top")),
    ],
)
def test_a_link_inside_the_document_is_its_words_alone(link: str) -> None:
    assert _read(_paragraph("See ", link, ".")).text == "See the top."


def test_raised_and_lowered_text_keeps_its_meaning() -> None:
    up, down = '<w:vertAlign w:val="superscript"/>', '<w:vertAlign w:val="subscript"/>'
    styles = (
        f'<w:styles SPACES><w:style w:type="character" w:styleId="Up"><w:rPr>{up}</w:rPr>'
        "</w:style></w:styles>"
    )
    body = _paragraph(
        "10",
        _run("-", up),
        _run("6", '<w:rStyle w:val="Up"/>'),
        " g of CO",
        _run("2", down),
        " in 1987",
        _run("3", up),
        " on the 5",
        _run("th", up),
    )
    document = _read(body, {"s1": Part("styles", styles)})
    assert document.text == "10⁻⁶ g of CO₂ in 1987[^3] on the 5th"


def test_notes_and_comments_follow_the_paragraph_that_they_belong_to() -> None:
    listed = f'<w:hyperlink r:id="n1">{_run("the list")}</w:hyperlink>'
    notes = (
        '<w:footnotes SPACES><w:footnote w:id="0" w:type="separator"><w:p/></w:footnote>'
        f'<w:footnote w:id="7">{_paragraph("See ", listed)}'
        "</w:footnote></w:footnotes>"
    )
    ends = (
        f'<w:endnotes SPACES><w:endnote w:id="2">{_paragraph("In print.")}</w:endnote></w:endnotes>'
    )
    comments = (
        f'<w:comments SPACES><w:comment w:id="1" w:author="Ana">{_paragraph("Is it so?")}'
        "</w:comment></w:comments>"
    )
    body = _paragraph(
        "It weighs 40 kg in 1999",
        '<w:r><w:footnoteReference w:id="7"/></w:r>',
        " or more",
        '<w:r><w:endnoteReference w:id="2"/></w:r>',
        ".",
        '<w:r><w:commentReference w:id="1"/></w:r>',
    )
    document = _read(
        body + _paragraph("Next."),
        {
            "f1": Part("footnotes", notes, {"n1": "https://a.example/list"}),
            "e1": Part("endnotes", ends),
            "c1": Part("comments", comments),
        },
        {"n1": "https://other.example/"},
    )
    assert _texts(document) == [
        "It weighs 40 kg in 1999[^1] or more[^i].",
        "Note 1: See the list (https://a.example/list)",
        "Note i: In print.",
        "Comment (Ana): Is it so?",
        "Next.",
    ]


def test_headers_and_footers_stand_once_at_the_end_without_page_numbers() -> None:
    header = f"<w:hdr SPACES>{_paragraph('QM-2231', '<w:r><w:tab/></w:r>', 'revision 7')}</w:hdr>"
    page = _field(" PAGE ", _run("3"))
    footer = f"<w:ftr SPACES>{_paragraph('Norwind', '<w:r><w:tab/></w:r>', 'Page ', page)}</w:ftr>"
    section = (
        '<w:sectPr><w:headerReference w:type="default" r:id="h1"/>'
        '<w:headerReference w:type="first" r:id="h2"/>'
        '<w:footerReference w:type="default" r:id="f1"/></w:sectPr>'
    )
    parts = {"h1": Part("header", header), "h2": Part("header", header)}
    document = _read(_paragraph("Body.") + section, parts | {"f1": Part("footer", footer)})
    assert _texts(document) == ["Body.", "Header: QM-2231 | revision 7", "Footer: Norwind"]


_HIDDEN = [
    _paragraph(_run("secret", "<w:vanish/>")),
    _paragraph(_run("secret", '<w:color w:val="FFFFFF"/>')),
    _paragraph(_run("secret", '<w:sz w:val="2"/>')),
    f'<w:p><w:del w:id="1" w:author="A">{_run("secret")}</w:del></w:p>',
    _paragraph("<w:sdt><w:sdtPr><w:showingPlcHdr/></w:sdtPr>"
               f"<w:sdtContent>{_run('secret')}</w:sdtContent></w:sdt>"),
    _table(["secret", "b"], ["c", "d"], first="<w:hidden/>"),
    _paragraph(f"<mc:AlternateContent><mc:Choice Requires='x'>{_run('shown')}</mc:Choice>"
               f"<mc:Fallback>{_run('secret')}</mc:Fallback></mc:AlternateContent>"),
]  # fmt: skip


@pytest.mark.parametrize("hidden", _HIDDEN)
def test_what_nobody_sees_on_the_page_is_left_out(hidden: str) -> None:
    assert "secret" not in _read(_paragraph("Seen.") + hidden).text


def test_white_text_on_a_ground_and_switched_off_hiding_are_read() -> None:
    white = '<w:color w:val="FFFFFF"/>'
    body = _paragraph(
        _run("one ", f'{white}<w:shd w:fill="000000"/>'), _run("two", '<w:vanish w:val="0"/>')
    )
    body += _table([_paragraph(_run("three", white)), "b"], ["c", "d"])
    text = _read(body).text
    assert all(word in text for word in ("one", "two", "three"))


_WHITE = '<w:color w:val="FFFFFF"/>'
_DARK = '<w:shd w:val="clear" w:color="auto" w:fill="1F3864"/>'
_NO_GROUND = '<w:shd w:val="clear" w:color="auto" w:fill="auto"/>'


def _style(key: str, paragraph: str, run: str, base: str = "") -> str:
    based = f'<w:basedOn w:val="{base}"/>' if base else ""
    return (
        f'<w:style w:type="paragraph" w:styleId="{key}"><w:name w:val="{key}"/>{based}'
        f"<w:pPr>{paragraph}</w:pPr><w:rPr>{run}</w:rPr></w:style>"
    )


def _styled(style: str, properties: str = "", run: str = "") -> str:
    styles = (
        _style("Banner", _DARK, _WHITE)
        + _style("SmallBanner", "", "", "Banner")
        + _style("Plain", _NO_GROUND, "", "Banner")
        + _style("Marked", "", _WHITE + _DARK)
        + _style("White", "", _WHITE)
    )
    parts = {"styles": Part("styles", f"<w:styles SPACES>{styles}</w:styles>")}
    paragraph = _paragraph(
        _run("words", run), properties=f'<w:pStyle w:val="{style}"/>{properties}'
    )
    return _read(_paragraph("Seen.") + paragraph, parts).text


@pytest.mark.parametrize(
    ("style", "properties", "run"),
    [
        *(("Banner", "", ""), ("SmallBanner", "", ""), ("Marked", "", ""), ("White", _DARK, "")),
        ("White", "", '<w:highlight w:val="black"/>'),
        ("White", '<w:shd w:val="pct50" w:color="auto" w:fill="auto"/>', ""),
        ("Plain", "", '<w:color w:val="000000"/>'),
    ],
)
def test_white_text_on_the_shading_of_its_style_is_read(
    style: str, properties: str, run: str
) -> None:
    assert "words" in _styled(style, properties, run)


@pytest.mark.parametrize(
    ("style", "properties", "run"),
    [
        *(("White", "", ""), ("Plain", "", ""), ("Banner", _NO_GROUND, "")),
        ("White", '<w:shd w:val="clear" w:fill="FFFFFF"/>', ""),
        *(("White", "", _NO_GROUND), ("White", "", '<w:highlight w:val="white"/>')),
    ],
)
def test_white_text_on_a_shading_that_is_white_is_left_out(
    style: str, properties: str, run: str
) -> None:
    assert "words" not in _styled(style, properties, run)


def test_white_text_in_the_table_of_a_header_is_read() -> None:
    inside = _table([_paragraph(_run("Norwind", _WHITE)), "b"]) + _paragraph(_run("secret", _WHITE))
    parts = {"h1": Part("header", f"<w:hdr SPACES>{inside}</w:hdr>")}
    section = '<w:sectPr><w:headerReference w:type="default" r:id="h1"/></w:sectPr>'
    assert _texts(_read(_paragraph("Body.") + section, parts)) == ["Body.", "Header: Norwind | b"]


def test_white_text_on_a_coloured_page_is_read() -> None:
    body = _paragraph(_run("Words.", '<w:color w:val="FFFFFF"/>'))
    data = word_package(body, background='<w:background w:color="000000"/>')
    assert DocxExtractor().extract(_SOURCE, data).text == "Words."


def test_form_fields_show_their_values() -> None:
    control = (
        "<w:sdt><w:sdtPr><w14:checkbox><w14:checked w14:val='{}'/></w14:checkbox></w:sdtPr>"
        "<w:sdtContent><w:r><w:t>☐</w:t></w:r></w:sdtContent></w:sdt>"
    )
    box = "<w:ffData><w:checkBox><w:default w:val='0'/>{}</w:checkBox></w:ffData>"
    choice = (
        "<w:ffData><w:ddList><w:result w:val='1'/><w:listEntry w:val='red'/>"
        "<w:listEntry w:val='blue'/></w:ddList></w:ffData>"
    )
    body = (
        _paragraph(control.format(1), " Power")
        + _paragraph(control.format(0), " Water")
        + _paragraph(_field(" FORMCHECKBOX ", "", box.format("<w:checked/>")), " Gas")
        + _paragraph("Colour: ", _field(" FORMDROPDOWN ", "", choice))
        + _paragraph("Ship: ", _field(" FORMTEXT ", _run("Morning Star")))
        + _paragraph("<w:r><w:sym w:font='Wingdings' w:char='F0FE'/></w:r>", " Oil")
    )
    assert _texts(_read(body)) == [
        "[x] Power",
        "[ ] Water",
        "[x] Gas",
        "Colour: blue",
        "Ship: Morning Star",
        "[x] Oil",
    ]


_DRAWING = "<w:r><w:drawing><wp:inline>{}</wp:inline></w:drawing></w:r>"


def _sign(code: str, font: str = "Symbol") -> str:
    return f"<w:r><w:sym w:font='{font}' w:char='{code}'/></w:r>"


def test_signs_of_fonts_are_characters() -> None:
    yes, no, blank = _sign("F052", "Wingdings 2"), _sign("F0A3", "Wingdings 2"), _sign("F0FF")
    fonts = '<w:rFonts w:ascii="Symbol" w:hAnsi="Symbol"/>'
    body = (
        _paragraph("x ", _sign("F0BB"), " ", _sign("F02D"), "5", _sign("F0D6"), "2")
        + _paragraph(yes, " Yes ", no, " No ", _sign("2612", "MS Gothic"), " ", blank)
        + _paragraph(_run("\uf06d", fonts), "g, ", _run("m", fonts), "m")
        + _paragraph("a ", _sign("F0E0", "Wingdings"), " b", _field(r" SYMBOL 174 \f Symbol ", ""))
    )
    texts = ["x ≈ −5√2", "[x] Yes [ ] No ☒ \ufffd", "μg, μm", "a → b→"]
    assert _texts(_read(body)) == texts


def test_struck_text_is_told_from_what_holds() -> None:
    rule = _style("Gone", "", "<w:strike/>")
    body = _paragraph("Fee ", _run("20", "<w:strike/>"), " 25 ", _run("x", '<w:strike w:val="0"/>'))
    body += _paragraph(_run("Words."), properties='<w:pStyle w:val="Gone"/>')
    body += _paragraph(_run("30", "<w:dstrike/>"), "35")
    texts = ["Fee ~~20~~ 25 x", "~~Words.~~", "~~30~~35"]
    assert (
        _texts(_read(body, {"r9": Part("styles", f"<w:styles SPACES>{rule}</w:styles>")})) == texts
    )


def test_pictures_give_their_descriptions_unless_they_decorate() -> None:
    drawing = _DRAWING.format("<wp:docPr id='1' name='x' descr='{}'>{}</wp:docPr>")
    decorative = (
        "<a:extLst><a:ext><adec:decorative xmlns:adec='http://schemas.microsoft.com/office/drawing/"
        "2017/decorative' val='1'/></a:ext></a:extLst>"
    )
    vml = "<w:r><w:pict><v:shape alt='A red lever.'/></w:pict></w:r>"
    body = _paragraph("See ", drawing.format("The way out is north.", ""))
    body += _paragraph(drawing.format("A line.", decorative)) + _paragraph(vml)
    assert _texts(_read(body)) == [
        "See",
        "Picture: The way out is north.",
        "Picture: A red lever.",
    ]


def test_a_diagram_gives_its_texts_with_their_order_and_depth() -> None:
    point = "<dgm:pt modelId='{0}'><dgm:t><a:p><a:r><a:t>{1}</a:t></a:r></a:p></dgm:t></dgm:pt>"
    link = "<dgm:cxn modelId='c{0}{1}' srcId='{0}' destId='{1}' srcOrd='{2}'/>"
    data = (
        "<dgm:dataModel SPACES><dgm:ptLst><dgm:pt modelId='0' type='doc'/>"
        + "".join(point.format(*each) for each in ((2, "Sell"), (1, "Buy"), (3, "Sign")))
        + "</dgm:ptLst><dgm:cxnLst>"
        + "".join(link.format(*each) for each in ((0, 2, 1), (0, 1, 0), (1, 3, 0)))
        + "</dgm:cxnLst></dgm:dataModel>"
    )
    drawing = _DRAWING.format("<a:graphic><dgm:relIds r:dm='d1'/></a:graphic>")
    document = _read(_paragraph("Steps", drawing), {"d1": Part("diagramData", data)})
    assert _texts(document) == ["Steps", "- Buy\n    - Sign\n- Sell"]


def test_parts_that_word_imports_are_read_at_their_place() -> None:
    page = "<html><body><h2>Fees</h2><p>The fee is 30 euros.</p></body></html>"
    mail = (
        'MIME-Version: 1.0\nContent-Type: multipart/related; type="text/html"; boundary="b"\n\n'
        '--b\nContent-Type: text/html; charset="utf-8"\n\n<p>A page of MHT.</p>\n--b--\n'
    )
    kind, chunk = "aFChunk", "<w:altChunk r:id='{}'/>"
    parts = {
        "c1": Part(kind, page, suffix="html", media_type="text/html"),
        "c2": Part(kind, mail, suffix="mht", media_type="message/rfc822"),
        "c3": Part(kind, "Plain text.", suffix="dat", media_type="text/plain"),
        "c4": Part(kind, "\0\1\2", suffix="bin", media_type="application/x-unknown"),
    }
    body = _paragraph("Before.") + chunk.format("c1") + chunk.format("c2") + _paragraph("After.")
    body += _table(["a", chunk.format("c3")])
    document = _read(body + chunk.format("c4") + chunk.format("c5"), parts)
    assert _texts(document)[:-1] == [
        *("Before.", "Fees", "The fee is 30 euros.", "A page of MHT.", "After."),
    ]
    assert "Plain text." in _texts(document)[-1]
    assert [each.partition(":")[2] for each in document.warnings] == [
        " application/octet-stream", " it is not in the file"
    ]  # fmt: skip


def test_imported_word_files_are_read_to_a_depth() -> None:
    kind, chunk = "aFChunk", "<w:altChunk r:id='c1'/>"
    data = word_package(_paragraph("Level 5."))
    for level in range(4, -1, -1):
        part = Part(kind, "inner", suffix="docx", media_type="application/x-word")
        outer = word_package(_paragraph(f"Level {level}.") + chunk, {"c1": part})
        buffer = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(outer)) as old, zipfile.ZipFile(buffer, "w") as new:
            for name in old.namelist():
                new.writestr(name, data if name == "word/c1.docx" else old.read(name))
        data = buffer.getvalue()
    document = DocxExtractor().extract(_SOURCE, data)
    assert _texts(document) == ["Level 0.", "Level 1.", "Level 2.", "Level 3."]


_M = "xmlns:m='http://schemas.openxmlformats.org/officeDocument/2006/math'"


def test_each_equation_stands_for_itself() -> None:
    steps = "<m:oMath><m:r><m:t>{}</m:t>{}<m:t>{}</m:t></m:r></m:oMath>"
    both = steps.format("a=1", "", "") + steps.format("b=2", "<w:br/>", "+c")
    assert _texts(_read(f"<w:p {_M}><m:oMathPara>{both}</m:oMathPara></w:p>")) == [
        "$$a=1$$\n$$b=2 \\\\ +c$$"
    ]


def test_tracked_changes_are_read_as_accepted() -> None:
    gone = "<w:rPr><w:del w:id='1' w:author='A'/></w:rPr>"
    old = "<w:del w:id='2'><m:r><m:t>OLD</m:t></m:r></w:del>"
    new = "<w:ins w:id='3'><m:r><m:t>NEW</m:t></m:r></w:ins>"
    fraction = (
        "<m:f><m:fPr><m:ctrlPr><w:del w:id='4'><w:rPr/></w:del></m:ctrlPr></m:fPr>"
        f"<m:num>{old}</m:num><m:den>{old}</m:den></m:f>"
    )
    deleted = "<w:tc><w:tcPr><w:cellDel w:id='5'/></w:tcPr>" + _paragraph("Gone") + "</w:tc>"
    row = "<w:tr>{}" + _cell(_paragraph("{}")) + _cell(_paragraph("{}")) + "</w:tr>"
    body = (
        _paragraph("The fee ", properties=gone)
        + _paragraph(properties=gone)
        + "<w:bookmarkStart w:id='9' w:name='x'/>"
        + _paragraph("is ", properties=gone + "<w:pStyle w:val='x'/>")
        + _paragraph("30 euros.", properties="<w:jc w:val='left'/>")
        + f"<w:p {_M}><m:oMath>{old}{new}{fraction}</m:oMath></w:p>"
        + f"<w:tbl>{row.format(deleted, 'a', 'b')}{row.format(deleted, 'c', 'd')}</w:tbl>"
        + _paragraph("Last.", properties=gone)
    )
    assert _texts(_read(body)) == [
        *("The fee is 30 euros.", "$NEW$", "| a | b |\n| - | - |\n| c | d |", "Last."),
    ]


_CHARTEX = "xmlns:cx='http://schemas.microsoft.com/office/drawing/2014/chartex'"


def test_charts_of_the_newer_kinds_are_read() -> None:
    levels = "<cx:lvl><cx:pt idx='0'>Start</cx:pt><cx:pt idx='1'>Fuel</cx:pt></cx:lvl>"
    numbers = (
        "<cx:lvl formatCode='0%'><cx:pt idx='0'>1</cx:pt><cx:pt idx='1'>-0.205</cx:pt></cx:lvl>"
    )
    title = "<cx:title><cx:tx><cx:txData><cx:v>{}</cx:v></cx:txData></cx:tx></cx:title>"
    rich = "<a:p><a:r><a:t>Share</a:t></a:r></a:p>"
    rich = f"<cx:title><cx:tx><cx:rich>{rich}</cx:rich></cx:tx></cx:title>"
    series = "<cx:series layoutId='waterfall' hidden='{}'><cx:dataId val='0'/></cx:series>"
    chart = (
        f"<cx:chartSpace SPACES {_CHARTEX}><cx:chartData><cx:data id='0'><cx:strDim type='cat'>"
        f"{levels}</cx:strDim><cx:numDim type='val'>{numbers}</cx:numDim></cx:data></cx:chartData>"
        f"<cx:chart>{title.format('Cost bridge')}<cx:plotArea><cx:plotAreaRegion>"
        f"{series.format(0)}{series.format(1)}"
        f"<cx:series layoutId='paretoLine' ownerIdx='0'/></cx:plotAreaRegion>"
        f"<cx:axis><cx:catScaling/>{title.format('Item')}</cx:axis>"
        f"<cx:axis><cx:valScaling/>{rich}</cx:axis></cx:plotArea></cx:chart></cx:chartSpace>"
    )
    drawing = _DRAWING.format(f"<a:graphic><cx:chart {_CHARTEX} r:id='d1'/></a:graphic>")
    assert _texts(_read(_paragraph(drawing), {"d1": Part("chartEx", chart)})) == [
        "Cost bridge\nWaterfall chart\nValues: Share",
        "| Item |  |\n| - | - |\n| Start | 100% |\n| Fuel | -20.5% |",
    ]


def test_rows_and_columns_of_a_table_in_a_cell_can_be_told_apart() -> None:
    inner = _table(["Room", "Seats"], ["Oak", "12"], ["Elm", "40"])
    document = _read(_table(["Floor", "Rooms"], ["Ground", inner + _paragraph("")]))
    assert _texts(document) == [
        "| Floor | Rooms |\n| - | - |\n| Ground | Room: Oak, Seats: 12; Room: Elm, Seats: 40 |"
    ]


def test_a_table_around_a_large_table_is_a_frame() -> None:
    inner = _table(*([f"a{number}", "b"] for number in range(12)))
    document = _read(_table(["Menu", inner]))
    assert [block.kind.value for block in document.blocks] == ["paragraph", "table"]


def test_a_title_over_a_table_and_several_header_rows_are_told_from_the_body() -> None:
    span = '<w:gridSpan w:val="{}"/>'
    rows = [
        _cell(_paragraph("Mills by year"), span.format(3)),
        _cell(_paragraph("Mill")) + _cell(_paragraph("2022"), span.format(2)),
        _cell(_paragraph("Mill")) + _cell(_paragraph("Flour")) + _cell(_paragraph("Bran")),
        *("".join(_cell(_paragraph(text)) for text in row) for row in ("abc", "def")),
    ]
    body = f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"
    document = _read(body)
    assert _texts(document) == [
        "Mills by year",
        "| Mill | 2022 / Flour | 2022 / Bran |\n| - | - | - |\n| a | b | c |\n| d | e | f |",
    ]
    marked = body.replace("<w:tr>", "<w:tr><w:trPr><w:tblHeader/></w:trPr>", 3)
    assert _texts(_read(marked)) == _texts(document)


def test_properties_keep_their_types() -> None:
    types = "http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes"
    values = (
        ("Client name", "lpwstr", "Norwind"), ("Pages", "i4", "12"), ("Signed", "bool", "true"),
        ("Rate", "r8", "0.5"), ("Due", "filetime", "2024-03-15T00:00:00Z"),
        ("MSIP_Label_1", "lpwstr", "x"),
    )  # fmt: skip
    custom = "".join(
        f'<property name="{name}"><vt:{kind}>{value}</vt:{kind}></property>'
        for name, kind, value in values
    )
    files = {"docProps/custom.xml": f'<Properties xmlns:vt="{types}">{custom}</Properties>'}
    data = word_package(_paragraph("Words."), files=files)
    assert DocxExtractor().extract(_SOURCE, data).metadata == {
        "client_name": "Norwind",
        "pages": 12,
        "signed": True,
        "rate": 0.5,
        "due": "2024-03-15",
    }


def test_core_properties_give_dates_and_keywords() -> None:
    word = docx.Document()
    word.add_paragraph("Words.")
    about = word.core_properties
    about.keywords, about.category = "pump; oil,  filter", "Manual"
    about.created = about.modified = datetime(2024, 3, 15, 8, 30, tzinfo=UTC)
    buffer = io.BytesIO()
    word.save(buffer)
    metadata = DocxExtractor().extract(_SOURCE, buffer.getvalue()).metadata
    assert metadata["keywords"] == ("pump", "oil", "filter")
    assert metadata["created"] == "2024-03-15T08:30:00+00:00"
    assert metadata["category"] == "Manual"


@pytest.mark.parametrize(
    "kind",
    [
        b"vnd.ms-word.document.macroEnabled.main",
        b"vnd.ms-word.template.macroEnabledTemplate.main",
        b"vnd.openxmlformats-officedocument.wordprocessingml.template.main",
    ],
)
def test_files_with_macros_and_templates_are_read(kind: bytes) -> None:
    plain = b"vnd.openxmlformats-officedocument.wordprocessingml.document.main"
    data = retyped(word_package(_paragraph("Words.")), plain, kind)
    assert DocxExtractor().extract(_SOURCE, data).text == "Words."


def _level(depth: int, label: str, style: str = "decimal", more: str = "") -> str:
    return (
        f'<w:lvl w:ilvl="{depth}"><w:start w:val="1"/><w:numFmt w:val="{style}"/>{more}'
        f'<w:lvlText w:val="{label}"/></w:lvl>'
    )


def _labels(lists: str, *items: tuple[str, int, str]) -> list[str]:
    """Read items of (id of the list, level, text); one definition has all lists."""
    definition = _level(0, "%1.") + _level(1, "%2)", "lowerLetter") + _level(2, "%1.%2.%3")
    xml = f'<w:abstractNum w:abstractNumId="0">{definition}</w:abstractNum>{lists}'
    parts = {"numbering": Part("numbering", f"<w:numbering SPACES>{xml}</w:numbering>")}
    body = "".join(
        _paragraph(
            *([text] if text else []),
            properties=f'<w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="{key}"/></w:numPr>',
        )
        for key, depth, text in items
    )
    return "\n".join(_texts(_read(body, parts))).split("\n")


def _num(key: str, override: str = "") -> str:
    return f'<w:num w:numId="{key}"><w:abstractNumId w:val="0"/>{override}</w:num>'


def test_lists_of_one_definition_count_on_unless_one_restarts() -> None:
    again = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="{}"/></w:lvlOverride>'
    lists = _num("1") + _num("2") + _num("3", again.format(1)) + _num("4", again.format(7))
    items = [("1", "a"), ("2", "b"), ("3", "c"), ("3", "d"), ("4", "e"), ("4", "f"), ("1", "g")]
    assert _labels(lists, *((key, 0, text) for key, text in items)) == [
        *("1. a", "2. b", "1. c", "2. d", "7. e", "8. f", "9. g"),
    ]


@pytest.mark.parametrize(
    ("start", "number"), [("28", "BB"), ("99999999", "99999999"), ("²", "A"), ("9" * 5000, "A")]
)
def test_letters_of_a_large_number_are_few(start: str, number: str) -> None:
    own = f'<w:lvlOverride w:ilvl="0"><w:startOverride w:val="{start}"/>'
    own += f"{_level(0, '%1.', 'upperLetter')}</w:lvlOverride>"
    assert _labels(_num("1", own), ("1", 0, "a")) == [f"{number}. a"]


def test_a_list_may_have_levels_of_its_own() -> None:
    own = f'<w:lvlOverride w:ilvl="0">{_level(0, "(%1)", "upperRoman")}</w:lvlOverride>'
    assert _labels(_num("1", own), *(("1", 0, each) for each in "abcd"))[3] == "(IV) d"


def test_an_empty_item_has_a_number_too() -> None:
    items = [("1", 0, "a"), ("1", 0, ""), ("1", 0, "b")]
    assert _labels(_num("1"), *items) == ["1. a", "3. b"]


def test_a_level_begins_again_only_after_those_that_it_names() -> None:
    own = _level(1, "%2)", more='<w:lvlRestart w:val="0"/>')
    own = f'<w:lvlOverride w:ilvl="1">{own}</w:lvlOverride>'
    own += f'<w:lvlOverride w:ilvl="2">{_level(2, "%1.%3", more="<w:isLgl/>")}</w:lvlOverride>'
    items = [("1", 0, "a"), ("1", 1, "b"), ("1", 0, "c"), ("1", 1, "d"), ("1", 2, "e")]
    assert _labels(_num("1", own), *items) == [
        *("1. a", "    1) b", "2. c", "    2) d", "        2.1 e"),
    ]
