"""Why a file could not be read is said in the language of the page."""

import re

import pytest

from kvasir.core.errors import ExtractionError
from kvasir.frontends.ui import faults
from kvasir.frontends.ui.texts import LANGUAGES, chosen, table

REASONS = re.split(
    r"[,\s]+", re.search(r"stable word: ([\w,\s]+)\.", ExtractionError.__doc__)[1].strip()
)


@pytest.fixture(params=[name for name in LANGUAGES if name != "en"])
def language(request):
    token = chosen.set(request.param)
    yield request.param
    chosen.reset(token)


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_has_a_text_before_the_api_s_sentence(reason, language):
    said = faults.of_file(reason, "page *3* is broken")
    assert said == f"{table()[f'reason.{reason}'][language]} (page \\*3\\* is broken)"


def test_a_reason_that_is_not_known_is_shown_as_the_api_says_it(language):
    assert faults.of_file("haunted", "it moves") == "it moves"


def test_an_english_page_has_the_api_s_sentence_alone():
    assert faults.of_file("empty", "none of its pages has any text") == (
        "none of its pages has any text"
    )
