"""Removes what a page does not show: hidden elements, scripts, and what its style sheets hide.

The style sheets are those inside the page; no other file is opened. Selectors are compiled to
XPath, and the cascade (importance, specificity, order) decides between rules.

Source: HTML Living Standard, "Rendering"; CSS Cascading and Inheritance Level 4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from typing import Any

import tinycss2
from cssselect import ExpressionError, HTMLTranslator, SelectorError
from cssselect import parse as parse_selectors
from lxml import etree

_NEVER_SHOWN = frozenset({
    "script", "style", "noscript", "template", "iframe", "object", "embed", "applet", "canvas",
    "audio", "video", "head", "link", "meta", "datalist", "param", "source", "track",
})  # fmt: skip
_REMOVED = "removed"
_HIDING = {
    "display": frozenset({"none"}),
    "visibility": frozenset({"hidden", "collapse"}),
    "opacity": frozenset({"0", "0.0", "0%"}),
    "font-size": frozenset({"0", "0px", "0pt", "0em", "0rem", "0%"}),
}
"""Values by property that make an element invisible."""
_MAY_HIDE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|(?:opacity|font-size)\s*:\s*0",
    re.IGNORECASE,
)
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
    hidden += _hidden_by_style(root)
    for element in hidden:
        if element is not root and element.tag not in ("html", "body"):
            element.tag = _REMOVED
    etree.strip_elements(root, _REMOVED, with_tail=False)


def _is_hidden(element: etree._Element) -> bool:
    tag = element.tag
    if tag in _NEVER_SHOWN or (tag == "dialog" and element.get("open") is None):
        return not _is_formula(element)
    if not element.keys():
        return False
    hidden = element.get("hidden")
    is_hidden = (hidden is not None and hidden.lower() != "until-found") or (
        (element.get("aria-hidden") or "").lower() == "true"
    )
    return is_hidden and not _is_formula(element)


def _is_formula(element: etree._Element) -> bool:
    """Return True for MathML, which is often hidden beside a picture of the same formula."""
    return element.tag == "math" or (len(element) == 1 and element[0].tag == "math")


def _hidden_by_style(root: etree._Element) -> list[etree._Element]:
    """Return the elements that their own style or a style sheet of the page hides."""
    winners: dict[tuple[etree._Element, str], tuple[Strength, str]] = {}

    def declare(element: etree._Element, declaration: Declaration, strength: Strength) -> None:
        name, value, _ = declaration
        key = (element, name)
        if key not in winners or winners[key][0] <= strength:
            winners[key] = (strength, value)

    for order, (selector, declarations) in enumerate(_rules(root)):
        for element, specificity in _matches(root, selector):
            for item in declarations:
                declare(element, item, (item[2], False, specificity, order))
    for element in root.iter(etree.Element):
        style = element.get("style")
        if style and ":" in style:
            for item in _declarations(tinycss2.parse_blocks_contents(style)):
                declare(element, item, (item[2], True, (0, 0, 0), 0))
    return list(
        dict.fromkeys(
            element
            for (element, name), (_, value) in winners.items()
            if value in _HIDING[name] and not _is_formula(element)
        )
    )


def _rules(root: etree._Element) -> Iterator[tuple[str, list[Declaration]]]:
    """Yield the selector and the declarations of each rule about visibility."""
    count = 0
    for sheet in root.iter("style"):
        if (sheet.get("media") or "").strip().lower() not in _SHOWN_MEDIA:
            continue
        text = sheet.text or ""
        if not _MAY_HIDE.search(text):
            continue
        for selector, declarations in _rules_of_sheet(text):
            count += 1
            if count > _MOST_RULES:
                return
            yield selector, declarations


@lru_cache(maxsize=64)
def _rules_of_sheet(text: str) -> list[tuple[str, list[Declaration]]]:
    """Return the first rules of a sheet; the pages of one manual have the same."""
    rules = _rules_of(tinycss2.parse_stylesheet(text, True, True))
    return list(islice(rules, _MOST_RULES + 1))


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
        if node.type == "declaration" and node.lower_name in _HIDING:
            value = tinycss2.serialize(node.value).strip().lower()
            yield node.lower_name, value, node.important


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
