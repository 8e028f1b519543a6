"""Word's equations (Office Math, OMML) as LaTeX, for search and display.

Source: ECMA-376 part 1, chapter 22.1. Unknown elements are written as their text.
"""

from __future__ import annotations

from collections.abc import Callable

from lxml import etree

_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_SYMBOLS = str.maketrans({
    "π": r" \pi ", "∞": r" \infty ", "×": r" \times ", "⋅": r" \cdot ", "·": r" \cdot ",
    "±": r" \pm ", "≤": r" \leq ", "≥": r" \geq ", "≠": r" \neq ", "≈": r" \approx ",
    "∩": r" \cap ", "∪": r" \cup ", "∈": r" \in ", "→": r" \to ", "∂": r" \partial ",
    "α": r" \alpha ", "β": r" \beta ", "γ": r" \gamma ", "δ": r" \delta ", "ϵ": r" \epsilon",
    "ε": r" \epsilon", "θ": r" \theta ", "λ": r" \lambda ", "μ": r" \mu ", "σ": r" \sigma ",
    "φ": r" \phi ", "ω": r" \omega ", "Δ": r" \Delta ", "Σ": r" \Sigma ", "Ω": r" \Omega ",
    "…": r" \ldots ",
})  # fmt: skip
_OPERATORS = {
    "∑": r"\sum", "∏": r"\prod", "∫": r"\int", "∬": r"\iint", "∭": r"\iiint", "∮": r"\oint",
    "∯": r"\oiint", "∰": r"\oiiint", "⋃": r"\bigcup", "⋂": r"\bigcap", "⋀": r"\bigwedge",
    "⋁": r"\bigvee", "∐": r"\coprod",
}  # fmt: skip
_FUNCTIONS = frozenset({
    "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "lim", "max", "min", "sup",
    "inf", "det", "gcd", "arg", "dim", "sinh", "cosh", "tanh",
})  # fmt: skip
_ACCENTS = {"̂": "hat", "̃": "tilde", "̄": "bar", "⃗": "vec", "̇": "dot", "̈": "ddot"}
_BRACES = {"⏟": r"\underbrace", "⏞": r"\overbrace"}
_ROW_END = r" \\ "


def equations(element: etree._Element) -> list[str]:
    """Return the LaTeX of each equation of an ``oMath`` or ``oMathPara`` element, or around one."""
    found = (latex(each).strip() for each in element.iter(f"{_M}oMath"))
    return list(filter(None, found))


def latex(element: etree._Element) -> str:
    """Return the LaTeX of an ``oMath`` element, without dollar signs."""
    return "".join(_node(child) for child in element)


def _node(element: etree._Element) -> str:
    tag = str(element.tag).removeprefix(_M)
    if tag == "r":
        return "".join(map(_piece, element)).translate(_SYMBOLS)
    if tag.endswith("Pr"):
        return ""
    return _RULES.get(tag, latex)(element)


def _piece(child: etree._Element) -> str:
    """Return the text of a part of a run; a line break separates steps of an equation."""
    if child.tag == f"{_M}t":
        return child.text or ""
    return _ROW_END if child.tag == f"{_W}br" else ""


def _part(element: etree._Element, name: str) -> str:
    found = element.find(f"{_M}{name}")
    return latex(found) if found is not None else ""


def _property(element: etree._Element, name: str, default: str) -> str:
    found = element.find(f"{_M}{element.tag.removeprefix(_M)}Pr/{_M}{name}")
    return found.get(f"{_M}val", default) if found is not None else default


def _fraction(element: etree._Element) -> str:
    has_bar = _property(element, "type", "bar") != "noBar"
    command = r"\frac" if has_bar else r"\genfrac{}{}{0pt}{}"
    return f"{command}{{{_part(element, 'num')}}}{{{_part(element, 'den')}}}"


def _nary(element: etree._Element) -> str:
    operator = _property(element, "chr", "∫")
    limits = f"_{{{_part(element, 'sub')}}}^{{{_part(element, 'sup')}}}"
    return _OPERATORS.get(operator, operator) + limits + _part(element, "e")


def _delimited(element: etree._Element) -> str:
    start, end = _property(element, "begChr", "("), _property(element, "endChr", ")")
    separator = _property(element, "sepChr", "|")
    inside = separator.join(latex(part) for part in element.iterfind(f"{_M}e"))
    escaped = {"{": r"\{", "}": r"\}", "": "."}
    return rf"\left{escaped.get(start, start)}{inside}\right{escaped.get(end, end)}"


def _named(name: str) -> str:
    bare = name.strip()
    return f"\\{bare}" if bare.partition("_")[0] in _FUNCTIONS else bare


def _group(element: etree._Element) -> str:
    brace = _BRACES.get(_property(element, "chr", "⏟"))
    return f"{brace}{{{_part(element, 'e')}}}" if brace else _part(element, "e")


def _root(element: etree._Element) -> str:
    degree = _part(element, "deg")
    return rf"\sqrt{f'[{degree}]' if degree else ''}{{{_part(element, 'e')}}}"


def _accent(element: etree._Element) -> str:
    name = _ACCENTS.get(_property(element, "chr", "̂"), "hat")
    return rf"\{name}{{{_part(element, 'e')}}}"


def _rows(element: etree._Element) -> str:
    rows = map(latex, element.iterfind(f"{_M}e"))
    return rf"\begin{{array}}{{l}}{_ROW_END.join(rows)}\end{{array}}"


def _matrix(element: etree._Element) -> str:
    rows = (" & ".join(map(latex, row.iterfind(f"{_M}e"))) for row in element.iterfind(f"{_M}mr"))
    return rf"\begin{{matrix}}{_ROW_END.join(rows)}\end{{matrix}}"


_RULES: dict[str, Callable[[etree._Element], str]] = {
    "f": _fraction,
    "nary": _nary,
    "d": _delimited,
    "func": lambda e: _named(_part(e, "fName")) + _part(e, "e"),
    "limLow": lambda e: f"{_named(_part(e, 'e'))}_{{{_part(e, 'lim')}}}",
    "limUpp": lambda e: rf"\overset{{{_part(e, 'lim')}}}{{{_part(e, 'e')}}}",
    "groupChr": _group,
    "rad": _root,
    "acc": _accent,
    "eqArr": _rows,
    "m": _matrix,
    "sSup": lambda e: f"{_part(e, 'e')}^{{{_part(e, 'sup')}}}",
    "sSub": lambda e: f"{_part(e, 'e')}_{{{_part(e, 'sub')}}}",
    "sSubSup": lambda e: f"{_part(e, 'e')}_{{{_part(e, 'sub')}}}^{{{_part(e, 'sup')}}}",
    "sPre": lambda e: f"{{}}_{{{_part(e, 'sub')}}}^{{{_part(e, 'sup')}}}{_part(e, 'e')}",
    "bar": lambda e: rf"\overline{{{_part(e, 'e')}}}",
}
