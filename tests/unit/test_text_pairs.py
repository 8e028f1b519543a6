"""Pairs are cut as the tokenizers library cuts them."""

import pytest
from cross_encoders import CLASSES, write_cross_encoder
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from kvasir.models.text_pairs import PairTokenizer

TEXTS = st.lists(st.sampled_from(["mead", " hall", "é", " ", "x"]), max_size=30).map("".join)


@pytest.fixture(scope="module", params=CLASSES)
def file(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return str(write_cross_encoder(folder, ["mead hall"], 1, request.param) / "tokenizer.json")


@given(TEXTS, TEXTS, st.integers(min_value=6, max_value=40))
def test_pairs_have_the_ids_and_types_of_the_tokenizer(file, query, text, limit):
    theirs = Tokenizer.from_file(file)
    (pair,) = PairTokenizer(theirs, limit).encode(query, [text])
    theirs.enable_truncation(limit)
    expected = theirs.encode(query, text)
    assert (pair.ids, pair.types) == (expected.ids, expected.type_ids)
