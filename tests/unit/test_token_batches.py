"""Batches of a token budget."""

from hypothesis import given
from hypothesis import strategies as st

from kvasir.models.openvino_engine import batches

LENGTHS = st.lists(st.integers(min_value=1, max_value=300), max_size=200)


@given(LENGTHS, st.integers(min_value=1, max_value=4096))
def test_every_row_is_in_one_batch_that_keeps_to_the_budget(lengths, budget):
    plan = batches(lengths, budget)
    assert sorted(row for rows in plan for row in rows) == list(range(len(lengths)))
    for rows in plan:
        longest = max(lengths[row] for row in rows)
        assert len(rows) * longest <= budget or len(rows) == 1


def test_rows_of_similar_length_share_a_batch():
    assert batches([1, 9, 2, 10, 1], 20) == [[3, 1], [2, 0, 4]]


@given(LENGTHS, st.integers(min_value=1, max_value=4096))
def test_rows_of_different_length_need_not_share_a_batch(lengths, budget):
    plan = batches(lengths, budget, mixed=False)
    assert sorted(row for rows in plan for row in rows) == list(range(len(lengths)))
    for rows in plan:
        assert len({lengths[row] for row in rows}) == 1
        assert len(rows) * lengths[rows[0]] <= budget or len(rows) == 1
