"""What is kept and left out of the HTML manuals of five projects, measured on random samples.

The pages are those of the Debian packages python3.11-doc, git-doc, sqlite3-doc,
postgresql-doc-15 and apache2-doc, unpacked side by side into one folder:

    apt-get download python3.11-doc git-doc sqlite3-doc postgresql-doc-15 apache2-doc
    mkdir manuals
    for package in *.deb; do dpkg -x "$package" "manuals/${package%%_*}"; done
    python bench/html_manuals.py manuals

Three counts: chunks with navigation or a repeated line, by ``NAVIGATION``, which was written
from the pages before the rules were (but for the two closing lines of git's and SQLite's pages,
which the count of repeated lines found); sentences of the main text that no chunk holds; and terms
(``dt``) that do not stand with the beginning of their description (``dd``) in one chunk.
``--by trafilatura`` measures that library instead; ``--by text`` all text of the page.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import lxml.html
from lxml import etree

from kvasir.components.extractors.html import HtmlExtractor
from kvasir.components.splitters.structure import StructureSplitter
from kvasir.core.errors import ExtractionError
from kvasir.core.types import Chunk, Document, Source, document_id
from kvasir.language.sentences import sentence_spans

NAVIGATION = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        r"^\W*(prev|previous|next|up|home)(\W+(prev|previous|next|up|home))*\W*$",
        r"\bPrev\b.{0,80}\bUp\b.{0,200}\bNext\b",
        r"^\W*(previous topic|next topic|this page|show source|report a bug|quick search)\W*$",
        r"^\W*(navigation|table of contents|index|modules)\W*$",
        r"^\W*(modules|next|previous)\s*\|\s*$",
        r"»\s*$",
        r"3\.11\.2 Documentation",
        r"created using sphinx|please donate|found a bug\?",
        r"copyright\W+(©\W*)?(19|20)\d\d|©\s*copyright",
        r"last (updated|modified) on|last updated\W+(19|20)\d\d-|this page last modified",
        r"small\. fast\. reliable|choose any three",
        r"(^\W*(about|documentation|download|license|support|purchase|menu|search)\W*$\s?){2}",
        r"^\W*apache http server version 2\.4\W*$",
        r"modules \| directives|available languages:",
        r"apache\W+http server\W+documentation",
        r"^\W*(bugfix checklist|httpd changelog|known issues)\W*$",
        r"licensed under the (apache|python software)",
        r"^\W*part of the git\(1\) suite\W*$|^\W*see also lists of objects, constants",
        r"we use cookies|accept all cookies",
    )
)
REPEATED = 0.1
"""A line of words in the first or last chunk of more than this part of a manual's pages."""
ADDRESS = re.compile(r" \((?:https?|ftps?|mailto|tel):[^)\s]*\)")
SIGNS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Manual:
    """A manual, and where its generator puts the main text."""

    name: str
    folder: str
    main: str
    """XPath of the elements of the main text."""
    beside: str = "false()"
    """XPath predicate of elements in it that are not main text."""


MANUALS = (
    Manual("python", "python3.11-doc/usr/share/doc/python3.11/html", "//div[@role='main']"),
    Manual("git", "git-doc", "//body", "@id='footer' or @id='footnotes' or @class='toc'"),
    Manual(
        "sqlite",
        "sqlite3-doc",
        "//body",
        "@class='nosearch' or @class='toc' or .//a[@id='mtimelink']",
    ),
    Manual(
        "postgresql",
        "postgresql-doc-15",
        "//body",
        "@class='navheader' or @class='navfooter' or @class='toc'",
    ),
    Manual(
        "apache",
        "apache2-doc/usr/share/doc/apache2-doc/manual/en",
        "//div[@id='page-content']",
        "@id='quickview' or @class='toplang'",
    ),
)


@dataclass
class Result:
    """The counts of one manual."""

    pages: int = 0
    lines: Counter[str] = field(default_factory=Counter)
    chunks: list[tuple[str, Chunk]] = field(default_factory=list)
    sentences: int = 0
    lost: list[tuple[str, str]] = field(default_factory=list)
    terms: int = 0
    parted: list[tuple[str, str]] = field(default_factory=list)


Read = Callable[[Source, bytes], Document]


def measure(manual: Manual, pages: list[Path], compared: int, read: Read) -> Result:
    """Read pages; compare the first of them with their main text."""
    result = Result()
    splitter = StructureSplitter()
    for number, path in enumerate(pages):
        data = path.read_bytes()
        try:
            document = read(Source(str(path), "text/html"), data)
        except ExtractionError as error:
            if error.reason != "empty":
                raise
            continue
        result.pages += 1
        chunks = splitter.split(document)
        result.chunks += ((path.name, chunk) for chunk in chunks)
        edges = chunks if len(chunks) == 1 else (chunks[0], chunks[-1]) if chunks else ()
        result.lines.update({line for chunk in edges for line in _prose_lines(chunk)})
        if number < compared:
            root = _main_text(manual, data)
            passages = [_letters(chunk.passage) for chunk in chunks]
            headings = dict.fromkeys(heading for chunk in chunks for heading in chunk.headings)
            whole = _letters("\n".join((*(chunk.text for chunk in chunks), *headings)))
            for sentence in _sentences(root):
                result.sentences += 1
                if _letters(sentence) not in whole:
                    result.lost.append((path.name, sentence))
            for term, description in _definitions(root):
                result.terms += 1
                if not any(_stand_together(term, description, text) for text in passages):
                    result.parted.append((path.name, term))
    return result


def _main_text(manual: Manual, data: bytes) -> etree._Element:
    """Return a copy of the main text, without what a reader does not see."""
    root = lxml.html.document_fromstring(data, lxml.html.HTMLParser(encoding="utf-8"))
    found = root.xpath(manual.main)
    main = lxml.html.Element("div")
    main.extend(found)
    unseen = ".//script | .//style | .//button | .//comment() | .//a[@class='headerlink']"
    for element in main.xpath(f"{unseen} | .//*[{manual.beside}]"):
        element.drop_tree()
    return main


def _sentences(main: etree._Element) -> Iterator[str]:
    """Yield the sentences of paragraphs and list items, without those of code."""
    for element in main.xpath(".//p | .//li[not(.//p)] | .//dd[not(.//p)] | .//td[not(.//p)]"):
        if element.xpath("ancestor::pre | .//pre | .//li | .//dd | .//table"):
            continue
        text = " ".join(element.text_content().split())
        for start, end in sentence_spans(text, "en"):
            sentence = text[start:end]
            is_navigation = any(pattern.search(sentence) for pattern in NAVIGATION)
            if len(sentence.split()) >= 4 and not is_navigation:
                yield sentence


def _definitions(main: etree._Element) -> Iterator[tuple[str, str]]:
    for description in main.iter("dd"):
        term = description.getprevious()
        while term is not None and term.tag != "dt":
            term = term.getprevious() if term.tag in ("dd", "a") else None
        if term is not None and term.text_content().strip():
            first = next((text for text in description.itertext() if _letters(text)), "")
            yield term.text_content(), first


def _stand_together(term: str, description: str, passage: str) -> bool:
    place = passage.find(_letters(term))
    return place >= 0 and passage.find(_letters(description), place) >= 0


def _letters(text: str) -> str:
    """Return letters and digits alone, so that spaces, marks and link targets do not count."""
    return SIGNS.sub("", unicodedata.normalize("NFKC", ADDRESS.sub("", text))).casefold()


def _prose_lines(chunk: Chunk) -> Iterator[str]:
    for line in chunk.text.splitlines():
        if len(line.split()) >= 3 and not line.startswith(("|", " ")):
            yield line.strip()


def faults(result: Result, chunk: Chunk) -> list[str]:
    """Return the lines of a chunk that are navigation or repeated."""
    lines = chunk.text.splitlines()
    found = [line for line in lines if any(pattern.search(line) for pattern in NAVIGATION)]
    often = {line for line, count in result.lines.items() if count > result.pages * REPEATED}
    return found + [line for line in _prose_lines(chunk) if line in often]


def _by_trafilatura(source: Source, data: bytes) -> Document:
    text = import_module("trafilatura").extract(data, favor_recall=True, include_tables=True) or ""
    return Document(document_id(source.uri), source.uri, "", text)


def _by_text(source: Source, data: bytes) -> Document:
    root = lxml.html.document_fromstring(data, lxml.html.HTMLParser(encoding="utf-8"))
    etree.strip_elements(root, "script", "style", "head", with_tail=False)
    text = "\n".join(line.strip() for line in root.text_content().splitlines())
    return Document(document_id(source.uri), source.uri, "", text)


READERS: dict[str, Read] = {
    "kvasir": HtmlExtractor().extract,
    "trafilatura": _by_trafilatura,
    "text": _by_text,
}


def main() -> int:
    """Measure all manuals in a folder; return 1 if one of the counts is not 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--by", choices=sorted(READERS), default="kvasir")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chunks", type=int, default=200)
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--show", type=int, default=5, help="faults that are printed of each kind")
    options = parser.parse_args()
    print("manual       pages  chunks with faults  sentences lost   terms parted")
    total = Counter[str]()
    for manual in MANUALS:
        files = sorted(path for path in (options.folder / manual.folder).rglob("*.html*"))
        if not files:
            parser.error(f"{options.folder / manual.folder} has no pages: unpack the packages")
        draw = random.Random(f"{options.seed} {manual.name}")
        pages = draw.sample(files, min(len(files), options.pages * 2))
        compared = options.pages // len(MANUALS)
        result = measure(manual, pages, compared, READERS[options.by])
        drawn = draw.sample(result.chunks, options.chunks // len(MANUALS))
        bad = [(name, faults(result, chunk)) for name, chunk in drawn]
        bad = [(name, lines) for name, lines in bad if lines]
        print(
            f"{manual.name:12} {compared:5} {len(bad):9} of {len(drawn):4} "
            f"{len(result.lost):7} of {result.sentences:5} {len(result.parted):5} of {result.terms}"
        )
        for kind, found in (("chunk", bad), ("lost", result.lost), ("parted", result.parted)):
            total[kind] += len(found)
            for name, detail in found[: options.show]:
                print(
                    f"    {kind:7} {name}: {' / '.join(detail) if kind == 'chunk' else detail}"[
                        :220
                    ]
                )
    print(f"in all: {dict(total)}")
    return int(any(total.values()))


if __name__ == "__main__":
    sys.exit(main())
