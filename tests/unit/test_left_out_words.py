"""What the terminal says of candidates that are not among the hits."""

import pytest

from kvasir.core.explanations import LeftOut, LeftOutReason, SearchExplanation
from kvasir.frontends.cli.explanations import _of_left_out


@pytest.mark.parametrize("language", ["en", "es", "vi", "zh"])
def test_one_document_has_no_more_hits_than_there_are(language):
    search = SearchExplanation("tea", language, top_k=2, most_of_one=3)
    said = _of_left_out(LeftOut(LeftOutReason.DOCUMENT, 5), search)
    assert "3" not in said and "2" in said and "5" in said
