"""Source code and configuration, cut at their definitions.

A class, function, method or section is a block of code under a heading with its name, together
with the comments directly above it. tree-sitter parses the languages whose grammars are installed
with Kvasir; a file in another language is cut at its blank lines.
``docs/decisions/0035-text-formats.md`` has the measurements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from tree_sitter import Language, Node, Parser

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.encodings import decode
from kvasir.components.extractors.text import without_data_uris
from kvasir.core.media_types import extension
from kvasir.core.types import BlockKind, Document, Source

_GRAMMARS = {
    "tree_sitter_python": "py pyi pyw",
    "tree_sitter_c": "c",
    "tree_sitter_cpp": "h cc cpp cxx hh hpp hxx",
    "tree_sitter_java": "java",
    "tree_sitter_javascript": "js jsx mjs cjs",
    "tree_sitter_typescript": "ts mts cts tsx",
    "tree_sitter_go": "go",
    "tree_sitter_rust": "rs",
    "tree_sitter_c_sharp": "cs",
    "tree_sitter_ruby": "rb",
    "tree_sitter_php": "php",
    "tree_sitter_bash": "sh bash zsh",
}
_MODULES = {name: module for module, names in _GRAMMARS.items() for name in names.split()}
_FUNCTIONS = {"ts": "language_typescript", "tsx": "language_tsx", "php": "language_php"}
"""Names of the function that returns the grammar, if it is not ``language``."""

_NAME_FIELDS = ("name", "declarator", "type")
_BODY_FIELDS = ("body", "value", "type")
_NO_DEFINITIONS = re.compile(r"statement|expression|lambda|arrow|parameter|assignment|argument")
_FUNCTION = re.compile(r"function|method|constructor|destructor|property|accessor")
_NAME = re.compile(r"[^\W\d][\w.:~$]*")
_SECTIONS = {
    **dict.fromkeys(("ini", "cfg", "toml", "conf"), re.compile(r"\[+\s*(.+?)\s*\]+\s*(?:[#;].*)?")),
    **dict.fromkeys(("yaml", "yml"), re.compile(r"([\w\"'][^#:]*):\s*(?:[#&!|>].*)?")),
}
"""First lines of sections, by extension."""
_COMMENT = re.compile(r"\s*(?:#|//|/?\*|@|--|;|\[)")
"""The beginning of a comment, or of a decorator, annotation or attribute."""
_WORDS = re.compile(r"\w")
_LONGEST_NAME = 100
_ENDS = ("end", "fi", "done")

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Definition:
    """Lines ``first`` to ``last`` with the names of the definitions around them and their own."""

    path: Path
    first: int
    last: int


class SourceCodeExtractor:
    """Reads source code and configuration files."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the definitions; see ``Extractor``."""
        builder = DocumentBuilder(source)
        text = without_data_uris(decode(data, source.charset, builder.warn))
        # As tree-sitter counts them: a form feed does not end a line.
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        builder.title = re.split(r"[/\\]", source.uri)[-1]
        definitions = _definitions("\n".join(lines), lines, extension(source.uri))
        _Writer(builder, lines).write(definitions)
        return builder.build()


def _definitions(text: str, lines: Sequence[str], kind: str) -> list[_Definition]:
    if parser := _parser(kind):
        return list(_parsed(parser, text.encode()))
    pattern = _SECTIONS.get(kind)
    return list(_sections(lines, pattern)) if pattern else []


def _sections(lines: Sequence[str], first_line: re.Pattern[str]) -> Iterator[_Definition]:
    """Yield the sections of a configuration file; comments above one belong to it."""
    last = len(lines) - 1
    found: list[_Definition] = []
    for at in range(len(lines) - 1, -1, -1):
        if begins := first_line.fullmatch(lines[at]):
            found.append(_Definition((begins[1].strip("\"'"),), at, last))
            last = at - 1
            while last > 0 and (not lines[last].strip() or _COMMENT.match(lines[last])):
                last -= 1
    return reversed(found)


@cache
def _parser(kind: str) -> Parser | None:
    if kind not in _MODULES:
        return None
    grammar = getattr(import_module(_MODULES[kind]), _FUNCTIONS.get(kind, "language"))
    return Parser(Language(grammar()))


def _parsed(parser: Parser, data: bytes) -> Iterator[_Definition]:
    """Yield the definitions from top to bottom; those inside of functions are left out."""
    waiting: list[tuple[Node, Path]] = [(parser.parse(data).root_node, ())]
    while waiting:
        node, path = waiting.pop()
        name = _name(node, data)
        if name:
            path = (*path, name)
            yield _Definition(path, node.start_point[0], node.end_point[0])
            if _FUNCTION.search(node.type):
                continue
        waiting += ((child, path) for child in reversed(node.named_children))


def _name(node: Node, data: bytes) -> str:
    """Return the name that a node defines, or empty text."""
    if _NO_DEFINITIONS.search(node.type) or node.start_point[0] == node.end_point[0]:
        return ""
    if not any(node.child_by_field_name(field) for field in _BODY_FIELDS):
        return ""
    named = next(filter(None, map(node.child_by_field_name, _NAME_FIELDS)), None)
    if named is None:
        return ""
    text = data[named.start_byte : named.end_byte].decode("utf-8", "replace")
    found = _NAME.search(text.partition("(")[0])
    return found[0][:_LONGEST_NAME] if found else ""


class _Writer:
    """Appends the lines of a file as blocks under the headings of their definitions."""

    def __init__(self, builder: DocumentBuilder, lines: Sequence[str]) -> None:
        self._builder = builder
        self._lines = lines
        self._path: Path = ()

    def write(self, definitions: Sequence[_Definition]) -> None:
        owners: list[Path] = [()] * len(self._lines)
        for one in definitions:
            first = self._with_comments(one.first, owners)
            owners[first : one.last + 1] = [one.path] * (one.last + 1 - first)
        start = 0
        for end in range(1, len(owners) + 1):
            if end == len(owners) or (
                owners[end] != owners[start] and not self._is_rest(owners, end)
            ):
                self._add(owners[start], self._lines[start:end])
                start = end

    def _with_comments(self, first: int, owners: Sequence[Path]) -> int:
        """Return the first of the lines directly above a definition that belong to no other."""
        around = owners[first]
        while first > 0 and self._lines[first - 1].strip() and owners[first - 1] == around:
            if not _COMMENT.match(self._lines[first - 1]):
                break
            first -= 1
        return first

    def _is_rest(self, owners: list[Path], at: int) -> bool:
        """Return True if a line has no words, or closes a block; it then goes with those above."""
        line = self._lines[at].strip()
        if not _WORDS.search(line) or line in _ENDS:
            owners[at] = owners[at - 1]
            return True
        return False

    def _add(self, path: Path, lines: Sequence[str]) -> None:
        code = "\n".join(lines).strip("\n")
        if not code.strip():
            return
        self._open(path)
        if path:
            self._builder.add(BlockKind.CODE, code)
            return
        for part in re.split(r"\n[^\S\n]*\n\s*?(?=\S|[^\S\n]+\S)", code):
            self._builder.add(BlockKind.CODE, part)

    def _open(self, path: Path) -> None:
        """Append headings so that what follows stands under a path."""
        if path == self._path:
            return
        pairs = zip(path, self._path, strict=False)
        shared = next((at for at, (one, other) in enumerate(pairs) if one != other), None)
        if shared is None:
            shared = min(len(path), len(self._path))
        names = (self._builder.title, *path)
        # A heading that is open closes those below it when it is repeated.
        for level in range(min(shared, len(path) - 1) + 1, len(path) + 1):
            self._builder.add(BlockKind.HEADING, names[level], level=level + 1)
        self._path = path
