"""Answers and explanations as a caller may see them.

The operator's filters are for administrators. Notes get what a caller over HTTP can do.
"""

from __future__ import annotations

from dataclasses import replace

from kvasir.core.explanations import SearchExplanation
from kvasir.core.services.accounts import Caller
from kvasir.core.types import KNOWS_ENGLISH_ONLY, Answer, ExplainedSearch

_CHANGE_MODEL = (
    "an administrator can have the collection embedded again with one, by "
    "POST /v1/collections/NAME/model"
)


def search_for(caller: Caller, found: ExplainedSearch) -> ExplainedSearch:
    """Return an explained search as the caller may see it."""
    return replace(found, explanation=_without_filters(caller, found.explanation))


def answer_for(caller: Caller, answer: Answer) -> Answer:
    """Return an answer as the caller may see it."""
    answer = advised(caller, answer)
    if answer.explanation is None:
        return answer
    searches = tuple(_without_filters(caller, each) for each in answer.explanation.searches)
    return replace(answer, explanation=replace(answer.explanation, searches=searches))


def advised(caller: Caller, answer: Answer) -> Answer:
    """Return an answer whose notes say what the caller can do.

    The owner of the data folder is the command line, which has its own commands.
    """
    if caller.user is None or not answer.notes:
        return answer
    notes = (f"{n}: {_CHANGE_MODEL}" if KNOWS_ENGLISH_ONLY in n else n for n in answer.notes)
    return replace(answer, notes=tuple(notes))


def _without_filters(caller: Caller, explanation: SearchExplanation) -> SearchExplanation:
    return explanation if caller.is_admin else replace(explanation, operator_filters=None)
