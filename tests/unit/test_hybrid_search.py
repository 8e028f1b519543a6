"""How the two legs of a hybrid search are joined."""

from concurrent.futures import Future

import numpy as np
import pytest

from kvasir.components.stores.hybrid import join_legs, resolved, similarities
from kvasir.core.protocols import Candidate

NEAR = {"a": 0.9, "b": 0.8}


def scores_of(known):
    asked = []

    def score(ids):
        asked.append(ids)
        return {chunk_id: known[chunk_id] for chunk_id in ids if chunk_id in known}

    return score, asked


def test_what_only_the_keyword_leg_finds_is_scored_apart():
    score, asked = scores_of({"c": 0.3})
    found = join_legs(dict(NEAR), [("c", 7.0), ("b", 5.0)], 2, score)
    assert found == [Candidate("a", 0.9), Candidate("b", 0.8, 5.0), Candidate("c", 0.3, 7.0)]
    assert asked == [["c"]]


def test_nothing_is_asked_for_where_both_legs_find_the_same():
    score, asked = scores_of({})
    found = join_legs(dict(NEAR), [("b", 5.0), ("a", 1.0)], 2, score)
    assert found == [Candidate("a", 0.9, 1.0), Candidate("b", 0.8, 5.0)]
    assert asked == []


def test_chunks_that_are_gone_make_room_for_the_next_of_the_keyword_ranking():
    score, asked = scores_of({"e": 0.5, "f": 0.4, "g": 0.1})
    words = [("c", 9.0), ("d", 8.0), ("e", 7.0), ("f", 6.0), ("g", 5.0)]
    found = join_legs(dict(NEAR), words, 2, score)
    assert found[2:] == [Candidate("e", 0.5, 7.0), Candidate("f", 0.4, 6.0)]
    assert asked == [["c", "d"], ["e", "f", "g"]]


@pytest.mark.parametrize("top_k", [0, -1])
def test_a_top_k_below_one_gives_no_results(top_k):
    score, asked = scores_of({"c": 0.3})
    assert join_legs({}, [("c", 7.0)], top_k, score) == []
    assert asked == []


def test_vectors_may_be_strided_and_of_any_length():
    query = np.array([2.0, 0.0], dtype=np.float32)
    strided = np.array([3.0, 9.0, 0.0, 9.0], dtype=np.float32)[::2]
    found = similarities(query, {"same": strided, "opposite": -query, "none": 0 * query})
    assert found == pytest.approx({"same": 1.0, "opposite": 0.0, "none": 0.5})
    assert similarities(query, {}) == {}


def test_vectors_still_being_computed_are_waited_for():
    vectors, pending = np.ones((1, 2), dtype=np.float32), Future()
    pending.set_result(vectors)
    assert resolved(pending) is resolved(vectors) is vectors
