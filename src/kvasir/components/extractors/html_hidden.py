"""Removes what a page does not show: hidden elements, scripts, and what its style sheets hide.

``display`` and ``opacity`` hide an element with everything inside. ``visibility`` and ``font-size``
are inherited, so that an element inside can be shown again.

The style sheets are those inside the page; no other file is opened. Selectors are compiled to
XPath, and the cascade (importance, specificity, order) decides between rules.

Source: HTML Living Standard, "Rendering"; CSS Cascading and Inheritance Level 4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from typing import Any

import tinycss2
from cssselect import ExpressionError, HTMLTranslator, SelectorError
from cssselect import parse as parse_selectors
from lxml import etree

from kvasir.components.extractors.html_inline import is_of_kind

_NEVER_SHOWN = frozenset({
    "script", "style", "noscript", "template", "iframe", "object", "embed", "applet", "canvas",
    "audio", "video", "head", "link", "meta", "datalist", "param", "source", "track",
})  # fmt: skip
OPENED = "kvasir-opened"
"""Attribute of a frame that holds the content of its page."""
_NOTES = frozenset({"doc-footnote", "footnote", "endnote", "rearnote"})
_REMOVED = "removed"
_ZERO = r"0*(?:0|0\.0*|\.0+)(?:[a-z]+|%)?"
_HIDING = {
    "display": re.compile("none"),
    "visibility": re.compile("hidden|collapse"),
    "opacity": re.compile(_ZERO),
    "font-size": re.compile(_ZERO),
}
"""Values by property that make an element, or its own text, invisible."""
_INHERITED = ("visibility", "font-size")
_OF_PARENT = re.compile(
    r"|inherit|unset|revert(?:-layer)?|smaller|larger|(?:\d+\.?\d*|\.\d+)(?:em|ex|ch|%)"
)
"""Values that are those of the element around it, or a multiple of them."""
_FONT_SIZE = re.compile(
    rf"(?:^|\s)({_ZERO}|(?:\d+\.?\d*|\.\d+)(?:[a-z]+|%)|(?:xx?-)?(?:small|large)|medium|smaller|larger)"
    r"(?=\s*/|\s+[^\s/])"
)
"""The size in the shorthand ``font``, before the height of the line and the family."""
_NOTHING = r"\.?0(?!\.?\d*[1-9])"
_MAY_HIDE = {
    "display": re.compile(r"display\s*:\s*none", re.IGNORECASE),
    "visibility": re.compile(r"visibility\s*:\s*(?:hidden|collapse)", re.IGNORECASE),
    "opacity": re.compile(rf"opacity\s*:\s*{_NOTHING}", re.IGNORECASE),
    "font-size": re.compile(
        rf"font(?:-size\s*:\s*|\s*:[^;{{}}]{{0,60}}?(?<![\w.])){_NOTHING}", re.IGNORECASE
    ),
}
"""Styles that may have such a value."""
_WITHOUT_TEXT = frozenset({"img", "area", "input", "svg", "select", "textarea", "button"})
"""Elements that are shown in a size of their own, and hidden as a whole."""
_SHOWN_MEDIA = frozenset({"", "all", "screen"})
_MOST_RULES = 2_000
"""Rules about visibility that are applied; a page's own sheets have some dozens."""

Strength = tuple[bool, bool, tuple[int, int, int], int]
"""Of a declaration: important, in the element itself, specificity, order."""
Declaration = tuple[str, str, bool]
"""Property, value, whether it is important."""


def remove_hidden(root: etree._Element) -> None:
    """Remove the elements that are not shown, and keep the text after them."""
    hidden = [element for element in root.iter(etree.Element) if _is_hidden(element)]
    values = _computed(root)
    hidden += [element for (element, name), value in values.items() if _removes(name, value)]
    for name in _INHERITED:
        hidden += _hide_own_text(root, name, values)
    for element in hidden:
        if not _is_outermost(element) and not _is_formula(element) and not _is_note(element):
            element.tag = _REMOVED
    etree.strip_elements(root, _REMOVED, with_tail=False)


def _is_hidden(element: etree._Element) -> bool:
    tag = element.tag
    if tag == "template" and element.get("shadowrootmode") is not None:
        return False
    is_opened = tag == "iframe" and element.get(OPENED) is not None
    if (tag in _NEVER_SHOWN and not is_opened) or (tag == "dialog" and element.get("open") is None):
        return not _is_formula(element)
    if not element.keys():
        return False
    hidden = element.get("hidden")
    is_hidden = (
        (hidden is not None and hidden.lower() != "until-found")
        or (element.get("aria-hidden") or "").lower() == "true"
        or element.get("popover") is not None
    )
    return is_hidden and not _is_formula(element)


def _is_formula(element: etree._Element) -> bool:
    """Return True for MathML, which is often hidden beside a picture of the same formula."""
    return element.tag == "math" or (len(element) == 1 and element[0].tag == "math")


def _is_note(element: etree._Element) -> bool:
    """Return True for a footnote, which its mark shows."""
    return element.tag not in _NEVER_SHOWN and is_of_kind(element, _NOTES)


def _is_outermost(element: etree._Element) -> bool:
    """Return True for elements that scripts show later, if a style hides them."""
    return element.getparent() is None or element.tag in ("html", "body")


def _removes(name: str, value: str) -> bool:
    return name not in _INHERITED and _HIDING[name].fullmatch(value) is not None


def _hide_own_text(
    root: etree._Element, name: str, values: dict[tuple[etree._Element, str], str]
) -> list[etree._Element]:
    """Empty the elements that an inherited property hides; return those to remove as a whole."""
    if not any(name == given for _, given in values):
        return []
    is_size = name == "font-size"
    hidden: set[etree._Element] = set()
    whole = []
    for element in root.iter(etree.Element):
        if _is_outermost(element) or _is_formula(element):
            continue
        value = values.get((element, name), _given_size(element) if is_size else "")
        is_own = _HIDING[name].fullmatch(value) is not None
        is_inherited = element.getparent() in hidden and _OF_PARENT.fullmatch(value)
        is_replaced = element.tag in _WITHOUT_TEXT
        if not is_own and (not is_inherited or (is_size and is_replaced)):
            continue
        if is_replaced and not is_size:
            whole.append(element)
            continue
        hidden.add(element)
        # The space may be what parts two words that are shown.
        element.text = " " if element.text else None
        for child in element:
            child.tail = " " if child.tail else None
    return whole


def _given_size(element: etree._Element) -> str:
    return str(element.get("size") or "") if element.tag == "font" else ""


def _computed(root: etree._Element) -> dict[tuple[etree._Element, str], str]:
    """Return the values that the cascade gives to elements, of the properties that hide some."""
    winners: dict[tuple[etree._Element, str], tuple[Strength, str]] = {}
    sheets = [
        sheet.text or ""
        for sheet in root.iter("style")
        if (sheet.get("media") or "").strip().lower() in _SHOWN_MEDIA
    ]
    styled = [element for element in root.iter(etree.Element) if element.get("style")]
    names = _hiding_properties([*sheets, *(str(element.get("style")) for element in styled)])

    def declare(element: etree._Element, declaration: Declaration, strength: Strength) -> None:
        name, value, _ = declaration
        key = (element, name)
        if name in names and (key not in winners or winners[key][0] <= strength):
            winners[key] = (strength, value)

    for order, (selector, declarations) in enumerate(_rules(sheets, names)):
        for element, specificity in _matches(root, selector):
            for item in declarations:
                declare(element, item, (item[2], False, specificity, order))
    for element in styled if names else ():
        for item in _declarations(tinycss2.parse_blocks_contents(element.get("style"))):
            declare(element, item, (item[2], True, (0, 0, 0), 0))
    return {key: value for key, (_, value) in winners.items()}


def _hiding_properties(styles: Sequence[str]) -> frozenset[str]:
    """Return the properties by which some style of the page hides something."""
    return frozenset(name for name, form in _MAY_HIDE.items() if any(map(form.search, styles)))


def _rules(sheets: Sequence[str], names: frozenset[str]) -> Iterator[tuple[str, list[Declaration]]]:
    """Yield the selector and the declarations of each rule about properties of given names."""
    rules = (rule for text in sheets if names for rule in _rules_of_sheet(text))
    wanted = (rule for rule in rules if any(item[0] in names for item in rule[1]))
    return islice(wanted, _MOST_RULES)


@lru_cache(maxsize=64)
def _rules_of_sheet(text: str) -> list[tuple[str, list[Declaration]]]:
    """Return the first rules of a sheet; the pages of one manual have the same."""
    rules = _rules_of(tinycss2.parse_stylesheet(text, True, True))
    return list(islice(rules, _MOST_RULES))


def _rules_of(nodes: list[Any]) -> Iterator[tuple[str, list[Declaration]]]:
    for node in nodes:
        if node.type == "qualified-rule":
            declarations = list(_declarations(tinycss2.parse_blocks_contents(node.content)))
            if declarations:
                yield tinycss2.serialize(node.prelude), declarations
        elif _is_shown_media(node):
            yield from _rules_of(tinycss2.parse_rule_list(node.content, True, True))


def _is_shown_media(node: Any) -> bool:
    is_media = node.type == "at-rule" and node.lower_at_keyword == "media" and bool(node.content)
    return is_media and tinycss2.serialize(node.prelude).strip().lower() in _SHOWN_MEDIA


def _declarations(nodes: list[Any]) -> Iterator[Declaration]:
    for node in nodes:
        if node.type != "declaration":
            continue
        name, value = node.lower_name, tinycss2.serialize(node.value).strip().lower()
        if name == "font":
            size = _FONT_SIZE.search(value)
            name, value = "font-size", size[1] if size else value
        if name in _HIDING:
            yield name, value, node.important


def _matches(
    root: etree._Element, selector: str
) -> Iterator[tuple[etree._Element, tuple[int, int, int]]]:
    """Yield the elements that a selector matches with its specificity."""
    for path, specificity in _paths(selector):
        with suppress(etree.XPathError):
            for element in path(root):
                yield element, specificity


@lru_cache(maxsize=4096)
def _paths(selector: str) -> list[tuple[etree.XPath, tuple[int, int, int]]]:
    """Return the parts of a selector as XPath, with their specificity; none after an unusual one.

    Those are selectors of states and newer CSS, which say nothing about the page as it is loaded.
    """
    paths = []
    with suppress(SelectorError, ExpressionError, etree.XPathError):
        for part in parse_selectors(selector):
            if part.pseudo_element is None:
                path = etree.XPath(HTMLTranslator().selector_to_xpath(part))
                paths.append((path, part.specificity()))
    return paths
