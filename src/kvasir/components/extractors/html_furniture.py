"""Finds the furniture of a page: navigation, page heads and feet, dates, cookie banners.

What marks furniture, from the surest: elements and roles made for it, everything beside the main
element, names of classes, and what is nothing but links: tables of contents of the page itself,
links to the pages before and after, choices of language, rows of links before the first words.
Text beside links decides: an element that holds most of a page's words is not furniture.

Source: HTML Living Standard, "Sections" and "Link types"; WAI-ARIA 1.2, landmark roles;
docs/decisions/0036-web-pages.md has the measurements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from lxml import etree

from kvasir.components.extractors.html_inline import INLINE, is_permalink

_TAGS = frozenset({"nav"})
_ROLES = frozenset({
    "navigation", "search", "banner", "contentinfo", "menu", "menubar", "toolbar", "dialog",
    "alertdialog",
})  # fmt: skip
_SECTIONS = frozenset({"article", "section", "main", "aside", "blockquote", "figure", "td", "li"})
_NAMED = frozenset({
    "div", "ul", "ol", "dl", "table", "p", "aside", "header", "footer", "form", "td", "span",
})  # fmt: skip
"""Elements whose class and id are looked at; the id of a section is often its heading."""
_CONTENT = frozenset({
    "section", "sect", "refsect", "chapter", "article", "content", "body", "entry", "main", "text",
})  # fmt: skip
_NAMES = frozenset({
    "nav", "navheader", "navfooter", "navbar", "navigation", "navlinks", "breadcrumb",
    "breadcrumbs", "crumbs", "pagination", "pager", "skiplink", "footer", "printfooter",
    "editsection", "noprint",
})  # fmt: skip
_UNSEARCHED_NAMES = frozenset({"nosearch", "noindex", "nosnippet"})
_NAMES_OF_LINKS = frozenset({
    "menu", "sidebar", "sphinxsidebar", "toc", "tableofcontents", "header", "banner", "related",
    "share", "sharing", "social", "toolbar", "lang", "language", "languages",
})  # fmt: skip
"""Names that mean furniture only if the element's words are links but for a label."""
_PLACE = re.compile(r"\A(?:top|bottom|page|site|main|sub)(?=[a-z]{3})")
_COOKIE = frozenset({"cookie", "cookies", "consent", "gdpr"})
_USUAL_NAMES = _NAMES_OF_LINKS | _COOKIE
_NOTICE = frozenset({
    "banner", "notice", "bar", "popup", "overlay", "modal", "dialog", "law", "message", "alert",
    "consent",
})  # fmt: skip
_UNSEARCHED = ("data-nosnippet", "data-pagefind-ignore", "data-search-exclude")
_NEIGHBOURS = frozenset({"prev", "previous", "next", "up", "start", "home", "first", "last"})
_NEIGHBOUR_WORDS = frozenset({
    "prev", "previous", "next", "up", "home", "top", "contents", "index", "back", "zurück",
    "weiter", "vorherige", "nächste", "inhalt", "anterior", "siguiente", "inicio", "índice",
    "précédent", "suivant", "accueil", "sommaire", "上一页", "下一页", "目录", "trước", "sau",
    "tiếp", "mục lục",
})  # fmt: skip
_LONGEST_NEIGHBOUR = max(map(len, _NEIGHBOUR_WORDS))
_LAST_CHANGE = re.compile(
    r"last\s+(?:updated|modified|changed|edited)|zuletzt\s+(?:geändert|bearbeitet|aktualisiert)"
    r"|última\s+(?:actualización|modificación)|dernière\s+(?:mise|modification)"
    r"|最后(?:更新|修改)|最近更新|cập\s+nhật\s+lần\s+cuối|\A\s*(?:©|\(c\)|copyright\b)",
    re.IGNORECASE,
)
_LONGEST_LABEL = 40
"""Letters and digits; more text beside links says something of its own."""
_LONGEST_SMALL_PRINT = 200
_SEPARATORS = re.compile(r"\s+[-–—|·:»]+\s+")
_NAME_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_SIGNS = re.compile(r"[\W_]+")
_NO_LETTERS = re.compile(r"[\W\d_]+")
_ASCII = "".join(map(chr, range(128)))
_ASCII_SIGNS = "".join(_SIGNS.findall(_ASCII)).encode()
_ASCII_NO_LETTERS = "".join(_NO_LETTERS.findall(_ASCII)).encode()
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})


@dataclass(frozen=True, slots=True)
class Furniture:
    """The elements of a page that are furniture."""

    elements: Set[etree._Element] = frozenset()
    titles: Set[etree._Element] = frozenset()
    """Elements inside them that hold the page's title."""


@dataclass(slots=True)
class _Measure:
    """What an element holds."""

    plain: int = 0
    """Letters and digits beside links."""
    linked: int = 0
    links: int = 0
    local: int = 0
    """Links to a place on the same page."""
    neighbours: int = 0
    """Links to the pages before, after and above."""
    languages: int = 0
    """Links to the page in other languages."""
    controls: int = 0
    headed: int = 0
    """Letters and digits beside links in headings."""
    words: int = 0
    """Letters beside links."""
    mixed: int = 0
    """Innermost blocks with words beside links."""
    blocks: int = 0
    """Elements inside it that are blocks with text or links."""

    def add_text(self, text: str) -> None:
        if text.isascii():
            # Most text of most pages; this takes a twentieth of the time.
            written = text.encode()
            self.plain += len(written.translate(None, _ASCII_SIGNS))
            self.words += len(written.translate(None, _ASCII_NO_LETTERS))
        else:
            self.plain += len(_SIGNS.sub("", text))
            self.words += len(_NO_LETTERS.sub("", text))

    def add(self, other: _Measure) -> None:
        self.plain += other.plain
        self.linked += other.linked
        self.links += other.links
        self.local += other.local
        self.neighbours += other.neighbours
        self.languages += other.languages
        self.controls += other.controls
        self.headed += other.headed
        self.words += other.words
        self.mixed += other.mixed
        self.blocks += other.blocks


def find_furniture(body: etree._Element, title: str, neighbours: Set[str]) -> Furniture:
    """Return the furniture of a page.

    ``neighbours`` are the targets by which the page's head names the pages before and after it.
    """
    return _Finder(body, title, neighbours).find()


@dataclass
class _Finder:
    body: etree._Element
    title: str
    neighbours: Set[str]
    measures: dict[etree._Element, _Measure] = field(default_factory=dict)

    def find(self) -> Furniture:
        self._measure()
        marked = {item for item in self.measures if self._is_marked(item)}
        marked |= self._beside_main(marked)
        if not self._remains(marked, with_links=True):
            return Furniture()
        found = marked | {item for item in self.measures if self._is_named(item)}
        found |= set(self._link_groups())
        found |= set(self._edges(found))
        found |= set(self._empty_headings(found))
        elements = found if self._remains(found, with_links=False) else marked
        return Furniture(elements, set(self._titles(elements)))

    def _measure(self) -> None:
        """Measure each element from the inside out."""
        measures = self.measures
        elements = list(self.body.iter(etree.Element))
        for element in reversed(elements):
            # The elements inside it were measured before, and have added what they hold.
            measure = measures.get(element)
            if measure is None:
                measure = measures[element] = _Measure()
            tag, text, tail = element.tag, element.text, element.tail
            if text and not text.isspace():
                measure.add_text(text)
            if tag == "a" and element.get("href") is not None:
                measures[element] = measure = self._link(element, measure)
            if tag in _HEADINGS:
                measure.headed = measure.plain
            is_block = tag not in INLINE
            if is_block and not measure.blocks and measure.links and measure.words > 1:
                measure.mixed += 1
            if tag in ("button", "input") or element.get("role") == "button":
                measure.controls += 1
            if element is self.body:
                break
            parent = element.getparent()
            above = measures.get(parent)
            if above is None:
                above = measures[parent] = _Measure()
            above.add(measure)
            above.blocks += is_block and bool(measure.links or measure.plain)
            if tail and not tail.isspace():
                above.add_text(tail)

    def _link(self, element: etree._Element, inside: _Measure) -> _Measure:
        target, rel = element.get("href"), element.get("rel")
        if is_permalink(element):
            return inside
        is_short = inside.plain + inside.linked <= _LONGEST_NEIGHBOUR
        is_neighbour = (
            bool(rel and _NEIGHBOURS & set(rel.lower().split()))
            or target in self.neighbours
            or (is_short and "".join(element.itertext()).strip().casefold() in _NEIGHBOUR_WORDS)
        )
        return _Measure(
            linked=inside.plain + inside.linked,
            links=1,
            local=target.startswith("#"),
            neighbours=is_neighbour,
            languages=element.get("hreflang") is not None,
            controls=inside.controls,
            blocks=inside.blocks,
        )

    def _is_marked(self, element: etree._Element) -> bool:
        """Return True for elements and roles that are made for furniture."""
        if element is self.body:
            return False
        if element.tag in _TAGS:
            return True
        if element.tag not in ("header", "footer") and not element.keys():
            return False
        role = element.get("role")
        if (role and role.lower() in _ROLES) or any(map(element.attrib.has_key, _UNSEARCHED)):
            return True
        if element.tag in ("header", "footer"):
            return not any(above.tag in _SECTIONS for above in element.iterancestors())
        names = _names(element) if element.tag in _NAMED else frozenset()
        return bool(names & _UNSEARCHED_NAMES) or (bool(names & _NAMES) and self._is_minor(element))

    def _is_named(self, element: etree._Element) -> bool:
        """Return True for elements whose class or id is usual for furniture and whose words fit."""
        names = _names(element) if element.tag in _NAMED else frozenset()
        if names.isdisjoint(_USUAL_NAMES) or not self._is_minor(element):
            return False
        measure = self.measures[element]
        if names & _COOKIE and names & _NOTICE and measure.controls:
            return True
        if not names & _NAMES_OF_LINKS or not measure.links:
            return False
        return measure.plain < max(measure.linked, _LONGEST_LABEL)

    def _is_minor(self, element: etree._Element) -> bool:
        """Return True for an element that may be furniture by its name."""
        if element.tag not in _NAMED or element is self.body or _CONTENT & _names(element):
            return False
        if next(element.iter("h1", "main"), None) is not None:
            return False
        is_small = self.measures[element].plain * 2 <= self.measures[self.body].plain
        return is_small or not any(map(self._has_text, element.itersiblings("*")))

    def _has_text(self, element: etree._Element) -> bool:
        return bool(self.measures[element].plain or self.measures[element].links)

    def _beside_main(self, marked: Set[etree._Element]) -> set[etree._Element]:
        """Return everything beside the main element, if that holds most of the words."""
        if self._main is None or any(above in marked for above in self._main.iterancestors()):
            return set()
        beside: set[etree._Element] = set()
        element = self._main
        while element is not self.body:
            parent = element.getparent()
            beside.update(item for item in parent.iterchildren("*") if item is not element)
            element = parent
        outside = sum(self.measures[item].plain for item in beside - marked)
        return beside if outside <= self.measures[self._main].plain else set()

    @cached_property
    def _main(self) -> etree._Element | None:
        """The main element, if there is one alone."""
        mains = [item for item in self.measures if item.tag == "main" or item.get("role") == "main"]
        return mains[0] if len(mains) == 1 else None

    def _link_groups(self) -> Iterator[etree._Element]:
        """Yield elements of links to places on the page, to its neighbours or its languages."""
        for element, measure in self.measures.items():
            if element.tag in INLINE or element is self.body or not measure.links:
                continue
            only_links = measure.plain == 0
            if measure.links == 1:
                if only_links and measure.neighbours and element.tag != "li":
                    yield element
                continue
            few_words = measure.plain <= _LONGEST_LABEL
            only_lists = measure.plain - measure.headed <= _LONGEST_LABEL and not measure.mixed
            if (
                (only_lists and measure.local and element.tag in ("div", "aside", "td"))
                or (few_words and not measure.mixed and measure.local == measure.links)
                or (only_links and measure.neighbours * 2 >= measure.links)
                or (few_words and measure.languages * 2 >= measure.links)
            ):
                yield element

    def _edges(self, found: Set[etree._Element]) -> Iterator[etree._Element]:
        """Yield rows of links before the first heading, and notes after the last words."""
        leaves = self._leaves(found)
        first = next((n for n, leaf in enumerate(leaves) if self.measures[leaf].plain), len(leaves))
        if first < len(leaves) and leaves[first].tag in _HEADINGS:
            yield from leaves[:first]
        if leaves and self._main is None and self._is_pointer(leaves[-1]):
            yield leaves.pop()
        for leaf in reversed(leaves):
            text = "".join(leaf.itertext())
            is_small = all(_is_small(item) for item in _with_text(leaf))
            is_note = len(text) <= _LONGEST_SMALL_PRINT and _LAST_CHANGE.search(text)
            if not (is_small or is_note) or leaf.tag in _HEADINGS:
                break
            yield leaf

    def _is_pointer(self, leaf: etree._Element) -> bool:
        """Return True for a few words with a link to another page of the site."""
        measure = self.measures[leaf]
        targets = [link.get("href") for link in leaf.iter("a") if link.get("href")]
        leads_on = bool(targets) and not any(":" in item or item[0] == "#" for item in targets)
        return leaf.tag in ("p", "div") and leads_on and 0 < measure.plain <= _LONGEST_LABEL

    def _outside(self, found: Set[etree._Element]) -> Iterator[etree._Element]:
        """Yield the elements in document order, none that is inside one that was found."""
        inside: set[etree._Element] = set()
        for element in self.body.iterdescendants(etree.Element):
            if element.getparent() in inside:
                inside.add(element)
                continue
            if element in found:
                inside.add(element)
            yield element

    def _is_leaf(self, element: etree._Element) -> bool:
        """Return True for an innermost block with text or links."""
        measure = self.measures[element]
        return element.tag not in INLINE and not measure.blocks and self._has_text(element)

    def _leaves(self, found: Set[etree._Element]) -> list[etree._Element]:
        """Return the innermost blocks outside of what was found."""
        outside = (element for element in self._outside(found) if element not in found)
        return [element for element in outside if self._is_leaf(element)]

    def _empty_headings(self, found: Set[etree._Element]) -> Iterator[etree._Element]:
        """Yield the headings under which there is furniture alone."""
        heading, has_furniture = None, False
        for element in self._outside(found):
            if element in found:
                has_furniture = True
            elif element.tag in _HEADINGS:
                if heading is not None and has_furniture and heading.tag >= element.tag:
                    yield heading
                heading, has_furniture = element, False
            elif heading is not None and self._is_leaf(element):
                heading = None
        if heading is not None and has_furniture and heading.tag != "h1":
            yield heading

    def _remains(self, found: Set[etree._Element], *, with_links: bool) -> bool:
        """Return True if words remain beside headings and what was found."""

        def size(element: etree._Element) -> int:
            measure = self.measures[element]
            return measure.plain - measure.headed + (measure.linked if with_links else 0)

        outermost = (element for element in self._outside(found) if element in found)
        return size(self.body) > sum(map(size, outermost))

    def _titles(self, found: Set[etree._Element]) -> Iterator[etree._Element]:
        """Yield the element in it that holds the page's title, unless a heading outside does."""
        wanted = " ".join(self.title.split()).casefold()
        parts = {wanted, *(part.casefold() for part in _SEPARATORS.split(self.title))}
        headings = [leaf for leaf in self._leaves(found) if leaf.tag in _HEADINGS]
        if any(_text(heading).casefold() in parts for heading in headings):
            return
        has_first = any(heading.tag == "h1" for heading in headings)
        for outermost in self._outside(found):
            for element in outermost.iter(etree.Element) if outermost in found else ():
                text = _text(element).casefold() if self._is_leaf(element) else ""
                is_first = element.tag == "h1" and (text in parts or not has_first)
                if text and (text == wanted or is_first):
                    yield element
                    return


def _names(element: etree._Element) -> frozenset[str]:
    """Return the words of an element's classes and id."""
    named, identified = element.get("class"), element.get("id")
    return _words(f"{named or ''} {identified or ''}") if named or identified else frozenset()


@lru_cache(maxsize=4096)
def _words(names: str) -> frozenset[str]:
    parts = {part.lower() for part in _NAME_PARTS.findall(names)}
    parts |= {re.sub(r"[-_]", "", name).lower() for name in names.split()}
    return frozenset(parts | {_PLACE.sub("", part) for part in parts})


def _text(element: etree._Element) -> str:
    return " ".join("".join(element.itertext()).split())


def _with_text(element: etree._Element) -> Iterator[etree._Element]:
    """Yield the elements whose own text is inside an element."""
    for item in element.iter(etree.Element):
        if (item.text or "").strip():
            yield item
        if item is not element and (item.tail or "").strip():
            yield item.getparent()


def _is_small(element: etree._Element) -> bool:
    return element.tag == "small" or any(above.tag == "small" for above in element.iterancestors())
