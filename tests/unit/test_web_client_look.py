"""Words of Streamlit itself, which it has in English only, are in the page's language."""

import pytest

from kvasir.frontends.ui.look import page_style
from kvasir.frontends.ui.texts import LANGUAGES, chosen, table


@pytest.fixture(params=LANGUAGES)
def row(request):
    token = chosen.set(request.param)
    yield {key: each[request.param] for key, each in table().items()}
    chosen.reset(token)


def test_the_button_to_choose_files_has_the_words_of_the_page(row):
    style = page_style()
    assert f'::after{{content:"{row["app.choose_files"]}"' in style
    assert 'button [data-testid="stMarkdownContainer"]{display:none}' in style
