"""Whether a text says what may or must be done, or must not, and whether it excludes something.

Only clear cases are told: a negation that belongs to its modal verb ("must not"), and words of
exclusion ("except"). "No later than", "without charge" and "if it does not print" are neither.
"""

from __future__ import annotations

import re

_NEGATIVE = re.compile(
    r"\b(?:not|cannot|never|neither|nor|no|none|nobody|without|except|excluding|besides|"
    r"(?:other|rather) than|apart from|aside from|forbidden|prohibited|"
    r"nicht|nie|niemals|kein\w*|weder|ohne|außer|ausser|ausgenommen|verboten|"
    r"ni|nunca|jamás|ning[uú]n\w*|sin|excepto|salvo|menos|prohibid\w+|"
    r"pas|jamais|aucun\w*|sans|sauf|hormis|excepté\w*|interdit\w*|"
    r"không|chưa|trừ|cấm)\b|n['’]t\b|n['’]est pas"
    r"|不(?!同|仅|但|过|锈)|没|未(?!来)|除了|除外|禁止",
    re.IGNORECASE,
)
"""Any word that may deny or exclude, in every language."""
_MODAL = re.compile(
    r"\b(?:may|can|cannot|must|shall|should|allowed|permitted|"
    r"darf|dürfen|kann|können|muss|müssen|soll\w*|erlaubt|gestattet|zulässig|"
    r"puede\w*|deben?|permitid\w+|peut|peuvent|doit|doivent|permis\w*|autorisé\w*|"
    r"phải|được phép|có thể)\b|可以|必须|应该|允许",
    re.IGNORECASE,
)
_NEGATED_MODAL = re.compile(
    r"\bcannot\b|\b(?:ca|must|should|may|sha)n?n['’]t\b"
    r"|\b(?:may|can|must|shall|should)(?: (?:i|we|you|one|they|he|she|it))? "
    r"(?:never|neither|under no circumstances|not(?! (?:only|later|more|less)\b))"
    r"(?: be (?:allowed|permitted))?\b"
    r"|(?:\bnot|n['’]t)(?: \w+)? (?:allowed|permitted)\b|\b(?:forbidden|prohibited)\b"
    r"|\b(?:darf|dürfen|kann|können|muss|müssen|soll\w*)\b(?:(?!\bnicht\b)[^.,;:!?\n]){0,60}?"
    r"\b(?:nicht(?! (?:nur|später|mehr als|länger als)\b)|nie|niemals)\b"
    r"|\b(?:darf|dürfen|kann|können) keine?[nrms]?\b"
    r"|\bnicht (?:\w+ ){0,2}(?:erlaubt|gestattet|zulässig)\b|\b(?:verboten|untersagt|unzulässig)\b"
    r"|\b(?:no|nunca) (?:se )?(?:puede\w*|debe\w*|podrá\w*)\b"
    r"|\bno (?:está\w*|es|son|será\w*) (?:permitid\w+)|\bprohibid\w+"
    r"|\bne (?:peut|peuvent|doit|doivent|pouvez|devez) (?:pas|jamais|en aucun cas)\b"
    r"|\b(?:n['’]est|ne sont) pas (?:permis\w*|autorisé\w*)|\binterdit\w*"
    r"|\bkhông (?:được(?: phép)?|thể|phải|nên)\b|\bcấm\b"
    r"|(?<![能可应得])不(?:得(?!不)|能|可以?|应该?|准|许|允许|必须?)|禁止",
    re.IGNORECASE,
)
"""A negation that belongs to a modal verb."""
_SUBORDINATE = re.compile(
    r"\b(?:if|when|whenever|unless|because|wenn|falls|sofern|weil|obwohl|dass|cuando|porque|si|"
    r"quand|lorsque|parce que|nếu|khi)\b[^.,;:!?，。；\n]*|\bs['’]ils?\b[^.,;:!?\n]*"
    r"|(?:如果|若|假如|当)[^，。；！？\n]*"
    r"|(?<=\w )who (?:can|may|must|should|do|does|did)(?: ?not\b|n['’]t\b)",
    re.IGNORECASE,
)
"""A clause of a condition or a reason: its negation is not that of the sentence."""
_SELECTS = re.compile(
    r"\b(?:which|what|who|whom|whose|welche\w*|was|wer|wen|wem|(?<!por )qu[eé]|qui[eé]n\w*|"
    r"cu[aá]l\w*|quel\w*|qui|lesquel\w*|nào|gì|ai)\b|哪|什么|谁",
    re.IGNORECASE,
)
_EXCLUDING = re.compile(
    r"\b(?:except(?:ing)?(?: for)?|excluding|other than|apart from|aside from|"
    r"with the exception of|not (?:in|from|at)|neither (?:in|from|at)|"
    r"außer|ausser|ausgenommen|abgesehen von|mit ausnahme|nicht (?:in|im|aus|bei|am|von)|"
    r"excepto|salvo|a excepción de|aparte de|tod[oa]s (?:\w+ ){0,2}menos|"
    r"no (?:es|son|está|están) (?:en|de|del)|"
    r"sauf|hormis|excepté\w*|à l['’]exception|n['’]est pas (?:à|en|dans|de)|"
    r"ne sont pas (?:à|en|dans|de)|(?<!khấu )trừ|ngoại trừ|không (?:ở|thuộc))\b"
    r"|\b(?:all|every(?:one|body|thing)?|any(?:one|body|thing)?)(?: \w+){0,2} "
    r"but\b(?! (?:also|not|only)\b)"
    r"|除了|除外|(?<![开删清解免])除[^，。？！\s]{1,12}(?:之外|以外)|(?<!在)不在|不属于",
    re.IGNORECASE,
)
_FOLLOWING = re.compile(r"\s*[^\W_]+")


def excludes(question: str, names: str) -> bool:
    """Return True if a question excludes something in other words than the names of a table."""
    folded = names.casefold()
    for found in _EXCLUDING.finditer(question):
        following = _FOLLOWING.match(question, found.end())
        phrase = found[0] + (following[0] if following else "")
        if phrase.casefold() not in folded:
            return True
    return False


def asks_what_may(question: str) -> bool:
    """Return True if a question asks for the thing that may or must do something, or must not."""
    return bool(_SELECTS.search(question) and _MODAL.search(question))


def is_opposite(text: str, question: str) -> bool:
    """Return True if a text permits or demands what such a question denies, or the reverse."""
    forbidden, asked = _forbids(text), _forbids(question)
    return None not in (forbidden, asked) and forbidden != asked


def _forbids(text: str) -> bool | None:
    """Return True if a text says what must not be done, False for what may or must; else None."""
    main = _SUBORDINATE.sub(" ", text)
    rest = _NEGATED_MODAL.sub(" ", main)
    if rest != main:
        return None if _MODAL.search(rest) else True
    return False if _MODAL.search(main) and not _NEGATIVE.search(main) else None
