"""A presentation is read as its audience sees it."""

import copy
import io
from collections.abc import Callable
from datetime import date
from typing import Any

import pptx
import pytest
from lxml import etree
from office_packages import SPACES, retyped
from pptx.chart.data import BubbleChartData, CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.opc.constants import RELATIONSHIP_TYPE
from pptx.opc.package import Part
from pptx.opc.packuri import PackURI
from pptx.util import Inches, Pt

from kvasir.components.extractors.box_order import Box, reading_order
from kvasir.components.extractors.pptx import PptxExtractor
from kvasir.core.types import Document, Source

_A = "http://schemas.openxmlformats.org/drawingml/2006/main"
_SOURCE = Source("/folder/file.pptx", "")


def _deck(layout: int = 6) -> tuple[Any, Any]:
    deck = pptx.Presentation()
    return deck, deck.slides.add_slide(deck.slide_layouts[layout])


def _box(slide: Any, text: str, left: float, top: float, width: float = 3.0) -> Any:
    box = slide.shapes.add_textbox(Inches(left), Inches(top), Inches(width), Inches(0.5))
    box.text_frame.text = text
    return box


def _read(deck: Any) -> Document:
    buffer = io.BytesIO()
    deck.save(buffer)
    return PptxExtractor().extract(_SOURCE, buffer.getvalue())


def _texts(document: Document) -> list[str]:
    return [document.text[block.start : block.end] for block in document.blocks]


def test_a_slide_that_cannot_be_read_leaves_the_others() -> None:
    deck, first = _deck()
    _box(first, "First", 1, 1)
    second = deck.slides.add_slide(deck.slide_layouts[6])
    for key, relation in list(second.part.rels.items()):
        if relation.reltype == RELATIONSHIP_TYPE.SLIDE_LAYOUT:
            second.part.rels.pop(key)
    _box(deck.slides.add_slide(deck.slide_layouts[6]), "Third", 1, 1)
    document = _read(deck)
    assert _texts(document) == ["First", "Third"]
    assert document.warnings[0].startswith("slide 2 is not read: it is damaged (KeyError")


def _boxes(*rows: str) -> list[Box[str]]:
    """Returns a box for each letter of a drawing; one letter over several places is one box."""
    found = {}
    for y, row in enumerate(rows):
        for x, letter in enumerate(row):
            if letter != " ":
                left, width = found.get(letter, (x, y, 0))[0], row.count(letter)
                found[letter] = (left, y, width)
    return [Box(left, y, width, 1, letter) for letter, (left, y, width) in found.items()]


@pytest.mark.parametrize(
    ("rows", "order", "from_right"),
    [
        (("aaaaa", "bb cc", "dd ee", "fffff"), "abdcef", False),
        (("aaaaa", "bb cc", "dd ee", "fffff"), "acebdf", True),
        (("bb   ", "   cc", "dd   "), "bcd", False),
        (("a b c", "d e f"), "adbecf", False),
        (("a b", "ccc", "d e"), "abcde", False),
        (("aaa bb", "ccc   ", "ddd ee"), "acdbe", False),
    ],
)
def test_columns_are_read_one_after_another_between_boxes_across(
    rows: tuple[str, ...], order: str, from_right: bool
) -> None:
    assert "".join(reading_order(_boxes(*rows), from_right=from_right)) == order


def test_the_columns_of_a_slide_and_its_groups_are_read_in_order() -> None:
    deck, slide = _deck()
    _box(slide, "Both ways are free.", 0.5, 0.2, 8)
    for row, (left, right) in enumerate((("Card", "Invoice"), ("At once", "Later"))):
        _box(slide, left, 0.5, 1 + row)
        _box(slide, right, 5, 1 + row)
    group = slide.shapes.add_group_shape()
    for row, text in enumerate(("Cash", "Never")):
        box = group.shapes.add_textbox(Inches(0.5), Inches(3 + row), Inches(3), Inches(0.5))
        box.text_frame.text = text
    assert _texts(_read(deck)) == [
        "Both ways are free.", "Card", "At once", "Cash", "Never", "Invoice", "Later",
    ]  # fmt: skip


def _hide_slide(slide: Any, _box: Any) -> None:
    slide.element.set("show", "0")


def _hide_shape(_slide: Any, box: Any) -> None:
    box.element.find("*/{*}cNvPr").set("hidden", "1")


def _move_away(_slide: Any, box: Any) -> None:
    box.left = Inches(20)


def _shrink(_slide: Any, box: Any) -> None:
    box.text_frame.paragraphs[0].runs[0].font.size = Pt(1)


@pytest.mark.parametrize("hide", [_hide_slide, _hide_shape, _move_away, _shrink])
def test_what_the_audience_does_not_see_is_left_out(hide: Callable[[Any, Any], None]) -> None:
    deck, slide = _deck()
    hide(slide, _box(slide, "secret", 1, 1))
    _box(deck.slides.add_slide(deck.slide_layouts[6]), "Seen.", 1, 1)
    document = _read(deck)
    assert document.text == "Seen."
    assert document.blocks[0].page == 2


def test_one_branch_of_alternative_content_is_read() -> None:
    deck, slide = _deck()
    box = _box(slide, "Rest for 20 minutes.", 1, 1).element
    parent = box.getparent()
    branches = etree.fromstring(
        f"<mc:AlternateContent {SPACES}><mc:Choice Requires='a14'/><mc:Fallback/>"
        "</mc:AlternateContent>"
    )
    parent.replace(box, branches)
    branches[0].append(box)
    branches[1].append(etree.fromstring(etree.tostring(box)))
    assert _read(deck).text == "Rest for 20 minutes."


def test_links_raised_digits_and_descriptions_are_kept() -> None:
    deck, slide = _deck()
    paragraph = _box(slide, "", 1, 1).text_frame.paragraphs[0]
    for text, baseline in (("10", ""), ("6", "30000"), (" cells, CO", ""), ("2", "-25000")):
        run = paragraph.add_run()
        run.text = text
        if baseline:
            run.font._element.set("baseline", baseline)
    linked = _box(slide, "", 1, 2).text_frame.paragraphs[0].add_run()
    linked.text, linked.hyperlink.address = "the form ", "https://a.example/form"
    shape = _box(slide, "the map", 1, 3)
    shape.click_action.hyperlink.address = "https://a.example/map"
    shape.element.find("*/{*}cNvPr").set("descr", "A map of the harbour")
    assert _texts(_read(deck)) == [
        "10⁶ cells, CO₂",
        "the form (https://a.example/form)",
        "the map (https://a.example/map)",
        "Picture: A map of the harbour (https://a.example/map)",
    ]


def test_struck_text_and_signs_of_fonts_are_told_from_other_text() -> None:
    deck, slide = _deck()
    box = _box(slide, "Fee ", 1, 1)
    runs = [box.text_frame.paragraphs[0].add_run() for _ in range(5)]
    for run, text in zip(runs, ("20", " 25, to", "\uf0ae", "m", "g_x000B_."), strict=True):
        run.text = text
    runs[0]._r.get_or_add_rPr().set("strike", "sngStrike")
    etree.SubElement(runs[2]._r.get_or_add_rPr(), f"{{{_A}}}sym").set("typeface", "Symbol")
    etree.SubElement(runs[3]._r.get_or_add_rPr(), f"{{{_A}}}latin").set("typeface", "Symbol")
    assert _texts(_read(deck)) == ["Fee ~~20~~ 25, to→μg ."]


def test_all_equations_of_a_paragraph_are_read() -> None:
    deck, slide = _deck()
    box = _box(slide, "So ", 1, 1)
    space = "xmlns:m='http://schemas.openxmlformats.org/officeDocument/2006/math'"
    each = "<m:oMath><m:r><m:t>{}</m:t></m:r></m:oMath>"
    inner = f"<m:oMathPara {space}>{each.format('a=1')}{each.format('b=2')}</m:oMathPara>"
    wrapper = f"<w:m xmlns:w='http://schemas.microsoft.com/office/drawing/2010/main'>{inner}</w:m>"
    box.text_frame.paragraphs[0]._p.append(etree.fromstring(wrapper))
    assert _texts(_read(deck)) == ["So $a=1$ $b=2$"]


def _add_chart(slide: Any, kind: Any, data: Any) -> Any:
    area = (Inches(1), Inches(1), Inches(4), Inches(3))
    return slide.shapes.add_chart(kind, *area, data).chart


def test_values_of_a_chart_have_their_units_and_all_their_digits() -> None:
    deck, slide = _deck()
    data = CategoryChartData(number_format="0%")
    data.categories = [date(2024, 3, 15), date(2024, 3, 16)]
    data.add_series("Share", (0.195, 0.21))
    data.add_series("Costs", (1234.5, None), number_format="#,##0 \\€")
    chart = _add_chart(slide, XL_CHART_TYPE.LINE, data)
    chart.category_axis.axis_title.text_frame.text = "Day"
    chart.value_axis.axis_title.text_frame.text = "Share of turnover"
    assert _texts(_read(deck)) == [
        "Line chart\nValues: Share of turnover",
        "| Day | Share | Costs |\n| - | - | - |\n"
        "| 2024-03-15 | 19.5% | 1,234.5 € |\n| 2024-03-16 | 21% |  |",
    ]


def test_series_with_x_values_of_their_own_are_tables_of_their_own() -> None:
    deck, slide = _deck()
    data = BubbleChartData()
    for name, points in (("A", [(1, 5, 9)]), ("B", [(1, 6, 8)]), ("C", [(100, 7, 7)])):
        series = data.add_series(name)
        for point in points:
            series.add_data_point(*point)
    _add_chart(slide, XL_CHART_TYPE.BUBBLE, data)
    assert _texts(_read(deck))[1:] == [
        "|  | A | A (size) | B | B (size) |\n| - | - | - | - | - |\n| 1 | 5 | 9 | 6 | 8 |",
        "|  | C | C (size) |\n| - | - | - |\n| 100 | 7 | 7 |",
    ]


def test_the_items_of_a_placeholder_are_a_list_by_its_master() -> None:
    deck, slide = _deck(1)
    slide.shapes.title.text = "Plan"
    frame = slide.placeholders[1].text_frame
    frame.text = "First"
    for text, level in (("Inner", 1), ("Second", 0)):
        paragraph = frame.add_paragraph()
        paragraph.text, paragraph.level = text, level
    document = _read(deck)
    assert _texts(document) == ["Plan", "- First\n    - Inner\n- Second"]


def test_numbers_begin_where_they_say_and_again_after_other_paragraphs() -> None:
    deck, slide = _deck(1)
    frame = slide.placeholders[1].text_frame
    period, letters = 'type="arabicPeriod"', 'type="alphaLcParenR" startAt="3"'
    marks: list[tuple[str, int, str]] = [
        *(("a", 0, f'{period} startAt="4"'), ("b", 0, f'{period} startAt="4"')),
        *(("inner", 1, letters), ("inner two", 1, letters), ("c", 0, f'{period} startAt="4"')),
        *(("Between", 0, ""), ("d", 0, period), ("e", 0, 'type="romanUcParenBoth"')),
    ]
    frame.text = "\n".join(text for text, *_ in marks)
    for paragraph, (_, level, mark) in zip(frame.paragraphs, marks, strict=True):
        paragraph.level = level
        name = f"buAutoNum {mark}" if mark else "buNone"
        paragraph._p.get_or_add_pPr().append(etree.fromstring(f"<a:{name} {SPACES}/>"))
    assert "\n".join(_texts(_read(deck))).split("\n") == [
        *("4. a", "5. b", "    c) inner", "    d) inner two", "6. c", "Between", "1. d", "(I) e"),
    ]


@pytest.mark.parametrize(
    ("start", "number"), [("28", "bb)"), ("99999999", "99999999)"), ("²", "a)"), ("9" * 5000, "a)")]
)
def test_letters_of_a_large_number_are_few(start: str, number: str) -> None:
    deck, slide = _deck(1)
    frame = slide.placeholders[1].text_frame
    frame.text = "One"
    mark = f'<a:buAutoNum type="alphaLcParenR" startAt="{start}" {SPACES}/>'
    frame.paragraphs[0]._p.get_or_add_pPr().append(etree.fromstring(mark))
    assert _texts(_read(deck)) == [f"{number} One"]


def _add_part(owner: Any, kind: str, name: str, xml: str) -> None:
    part = Part(PackURI(f"/ppt/{name}.xml"), "application/xml", owner.package, xml.encode())
    owner.relate_to(part, kind)


def test_notes_and_comments_name_themselves() -> None:
    deck, slide = _deck()
    _box(slide, "Words.", 1, 1)
    slide.notes_slide.notes_text_frame.text = "Say hello"
    names = f'<p:cmAuthorLst {SPACES}><p:cmAuthor id="3" name="Ana"/></p:cmAuthorLst>'
    _add_part(deck.part, RELATIONSHIP_TYPE.COMMENT_AUTHORS, "authors", names)
    comment = '<p:cm authorId="3"><p:text>Is it so?</p:text></p:cm>'
    comments = f"<p:cmLst {SPACES}>{comment}</p:cmLst>"
    _add_part(slide.part, RELATIONSHIP_TYPE.COMMENTS, "comments", comments)
    assert _texts(_read(deck)) == ["Words.", "Comment (Ana): Is it so?", "Note: Say hello"]


_FOOTER, _NUMBER = 11, 12
"""Indices of the placeholders in the default layouts."""


def test_footers_stand_once_without_slide_numbers() -> None:
    deck = pptx.Presentation()
    for number in (1, 2):
        slide = deck.slides.add_slide(deck.slide_layouts[5])
        slide.shapes.title.text = f"Slide {number}"
        for place in deck.slide_layouts[5].placeholders:
            if place.placeholder_format.idx in (_FOOTER, _NUMBER):
                slide.shapes._spTree.append(copy.deepcopy(place.element))
        for shape in slide.placeholders:
            if shape.placeholder_format.idx == _FOOTER:
                shape.text_frame.text = "Norwind"
    assert _texts(_read(deck)) == ["Slide 1", "Slide 2", "Footer: Norwind"]


@pytest.mark.parametrize(
    "kind",
    [
        b"vnd.ms-powerpoint.presentation.macroEnabled.main",
        b"vnd.ms-powerpoint.slideshow.macroEnabled.main",
        b"vnd.openxmlformats-officedocument.presentationml.slideshow.main",
        b"vnd.openxmlformats-officedocument.presentationml.template.main",
    ],
)
def test_shows_templates_and_files_with_macros_are_read(kind: bytes) -> None:
    deck, slide = _deck()
    _box(slide, "Words.", 1, 1)
    buffer = io.BytesIO()
    deck.save(buffer)
    plain = b"vnd.openxmlformats-officedocument.presentationml.presentation.main"
    data = retyped(buffer.getvalue(), plain, kind)
    assert PptxExtractor().extract(_SOURCE, data).text == "Words."
