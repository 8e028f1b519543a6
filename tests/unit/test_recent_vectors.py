import numpy as np

from kvasir.core.recent_vectors import RecentVectors

VECTOR = np.ones(3, dtype=np.float32)


def test_the_texts_that_were_used_last_are_remembered():
    recent = RecentVectors(2)
    recent.keep({"tea": VECTOR, "mead": 2 * VECTOR})
    assert recent.find(["tea", "honey"]).keys() == {"tea"}
    recent.keep({"honey": VECTOR})
    assert recent.find(["tea", "mead", "honey"]).keys() == {"tea", "honey"}
