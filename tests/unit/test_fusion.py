"""Fusion and the dense share."""

import numpy as np
import pytest

from kvasir.answering.dense_share import (
    KNOWN_LANGUAGE,
    UNCERTAIN_LANGUAGE,
    UNKNOWN_LANGUAGE,
    dense_share,
)
from kvasir.answering.ranking import fuse


class Model:
    """An embedder that only says what it knows."""

    def __init__(self, *languages):
        self.languages = languages


class CountingModel(Model):
    """One that also counts tokens, each of a fixed number of bytes."""

    max_tokens = 256

    def __init__(self, bytes_per_token, *languages):
        super().__init__(*languages)
        self._size = bytes_per_token

    def count_tokens(self, texts):
        return [round(len(text.encode()) / self._size) for text in texts]


def scores(dense, lexical, alpha, noise=0.0):
    return fuse(np.array(dense, float), np.array(lexical, float), alpha, noise).tolist()


def test_fused_scores_are_the_weighted_sum_of_scaled_legs():
    assert scores([0.9, 0.7, 0.5], [0.0, 5.0, 10.0], 0.5) == pytest.approx([0.5, 0.5, 0.5])
    assert scores([0.9, 0.7, 0.5], [0.0, 5.0, 10.0], 0.2) == pytest.approx([0.2, 0.5, 0.8])


def test_the_best_of_both_legs_scores_1_and_nothing_leaves_0_to_1():
    fused = scores([0.9, 0.2, 0.5], [7.0, 0.0, 1.0], 0.3)
    assert fused[0] == pytest.approx(1.0)
    assert fused[1] == pytest.approx(0.0)
    assert all(0.0 <= value <= 1.0 for value in fused)


def test_without_any_keyword_hit_the_dense_leg_decides_alone():
    assert scores([0.9, 0.5, 0.7], [0.0, 0.0, 0.0], 0.2) == pytest.approx([1.0, 0.0, 0.5])


def test_a_single_candidate_scores_1():
    assert scores([0.4], [3.0], 0.5) == [1.0]
    assert scores([0.4], [0.0], 0.5) == [1.0]


def test_a_difference_within_the_noise_does_not_outweigh_a_keyword_match():
    wrong, right = scores([0.6294, 0.6289], [0.29, 2.57], 0.5, noise=0.1)
    assert right == pytest.approx(1.0, abs=0.01)
    assert wrong == pytest.approx(0.5 + 0.5 * 0.29 / 2.57)


def test_a_spread_above_the_noise_is_scaled_as_without_it():
    dense, lexical = [0.9, 0.5, 0.7], [1.0, 4.0, 0.0]
    assert scores(dense, lexical, 0.5, noise=0.3) == scores(dense, lexical, 0.5)


def test_the_noise_keeps_the_order_where_no_term_is_shared():
    found = scores([0.61, 0.6, 0.62], [0.0, 0.0, 0.0], 0.5, noise=0.2)
    assert found == pytest.approx([0.95, 0.9, 1.0])


def test_no_candidates_give_no_scores():
    assert scores([], [], 0.5) == []


@pytest.mark.parametrize(
    ("model", "language", "share"),
    [
        (Model("en"), "en", KNOWN_LANGUAGE),
        (Model("en"), "zh", UNKNOWN_LANGUAGE),
        (CountingModel(9.0, "en"), "zh", UNKNOWN_LANGUAGE),
        (CountingModel(1.0, "en", "zh"), "zh", KNOWN_LANGUAGE),
        (Model("en"), "", UNCERTAIN_LANGUAGE),
        (Model(), "en", UNCERTAIN_LANGUAGE),
        (CountingModel(4.9), "en", KNOWN_LANGUAGE),
        (CountingModel(3.2), "es", UNCERTAIN_LANGUAGE),
        (CountingModel(4.9, "multilingual"), "vi", KNOWN_LANGUAGE),
        (Model("multilingual", "en"), "vi", UNCERTAIN_LANGUAGE),
    ],
    ids=lambda value: getattr(value, "languages", value),
)
def test_the_dense_share_falls_where_the_model_does_not_know_the_language(model, language, share):
    assert dense_share(model, language, ["x" * 4000]) == share


def test_without_text_to_measure_the_share_is_uncertain():
    assert dense_share(CountingModel(4.9), "en", []) == UNCERTAIN_LANGUAGE
