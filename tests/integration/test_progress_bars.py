"""The progress bars of transformers stay off while any thread loads a model."""

import threading

import pytest
from libraries import library

logging = library("transformers.utils.logging", extra="torch")
ours = library("kvasir.models.transformers", needs="torch", extra="torch")

pytestmark = pytest.mark.xdist_group("torch")


@pytest.mark.parametrize("enabled", [True, False])
def test_the_bars_are_off_until_the_last_thread_has_loaded(enabled):
    before = logging.is_progress_bar_enabled()
    (logging.enable_progress_bar if enabled else logging.disable_progress_bar)()
    loading, finish = threading.Event(), threading.Event()

    def load():
        with ours.without_progress_bars():
            loading.set()
            finish.wait(60)

    other = threading.Thread(target=load)
    try:
        with ours.without_progress_bars():
            other.start()
            assert loading.wait(60)
        assert not logging.is_progress_bar_enabled()
        finish.set()
        other.join()
        assert logging.is_progress_bar_enabled() == enabled
    finally:
        finish.set()
        (logging.enable_progress_bar if before else logging.disable_progress_bar)()
