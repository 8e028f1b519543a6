"""Explanations as a caller may see them: the operator's filters are for administrators."""

from __future__ import annotations

from dataclasses import replace

from kvasir.core.explanations import SearchExplanation
from kvasir.core.services.accounts import Caller
from kvasir.core.types import Answer, ExplainedSearch


def search_for(caller: Caller, found: ExplainedSearch) -> ExplainedSearch:
    """Return an explained search as the caller may see it."""
    return replace(found, explanation=_without_filters(caller, found.explanation))


def answer_for(caller: Caller, answer: Answer) -> Answer:
    """Return an answer as the caller may see it."""
    if answer.explanation is None:
        return answer
    searches = tuple(_without_filters(caller, each) for each in answer.explanation.searches)
    return replace(answer, explanation=replace(answer.explanation, searches=searches))


def _without_filters(caller: Caller, explanation: SearchExplanation) -> SearchExplanation:
    return explanation if caller.is_admin else replace(explanation, operator_filters=None)
