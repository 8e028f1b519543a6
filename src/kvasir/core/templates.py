"""Prompt templates: the defaults, and filling placeholders such as ``{{context}}``.

A template is filled in one pass, so ``{{question}}`` in the text of a document is not replaced.

Source of the defaults: the InstructLab proposal "Ingesting and Utilizing RAG Artifacts".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kvasir.core.errors import SettingsError

DEFAULT_PROMPT = """\
Given the following information, answer the question.
Context:
{{context}}
Question: {{question}}
Answer:
"""

DEFAULT_REFINEMENT_PROMPT = """\
You are an assistant helping refine user queries for retrieval from a vector database.
The goal is to extract the most relevant information for answering the user's request.
Rewrite this query to focus on the key concepts and details that will retrieve the most contextually
relevant results from the database.
Make it concise and specific, avoiding conversational context or ambiguity.
Return the refined query in a single sentence. Avoid any undesired comment or consideration.
User query:
{{user_query}}
Refined query:
"""

_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def fill(template: str, values: dict[str, str]) -> str:
    """Replace each ``{{name}}`` in a template by its value; other braces stay unchanged."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)


def missing_placeholders(template: str, needed: Sequence[str]) -> list[str]:
    """Return the placeholders, such as ``{{context}}``, that a template lacks."""
    found = {match[1] for match in _PLACEHOLDER.finditer(template)}
    return ["{{" + name + "}}" for name in needed if name not in found]


def check_template(setting: str, template: str, needed: Sequence[str]) -> None:
    """Raise ``SettingsError`` with the setting and the placeholders that its template lacks."""
    if missing := missing_placeholders(template, needed):
        raise SettingsError(f"{setting} must contain {' and '.join(missing)}")
