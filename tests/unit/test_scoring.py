import numpy as np
import pytest

from kvasir.core.scoring import dense_score, dense_scores, inverse_document_frequency


@pytest.mark.parametrize(("cosine", "score"), [(-1, 0), (0, 0.5), (1, 1), (1.0001, 1), (-2, 0)])
def test_a_dense_score_is_half_of_one_plus_the_cosine_within_bounds(cosine, score):
    assert dense_score(cosine) == score
    assert dense_scores(np.array([cosine], dtype=np.float32)) == pytest.approx([score], abs=1e-4)


def test_a_rarer_term_weighs_more_and_none_weighs_less_than_nothing():
    weights = [inverse_document_frequency(10, containing) for containing in range(11)]
    assert weights == sorted(weights, reverse=True)
    assert weights[-1] > 0
    assert weights[1] == pytest.approx(np.log(1 + 9.5 / 1.5))
