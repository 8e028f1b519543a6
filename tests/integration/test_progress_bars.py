"""The progress bars of transformers stay off while any thread loads a model."""

import threading

import pytest

logging = pytest.importorskip(
    "transformers.utils.logging", reason="the extra 'torch' is not installed"
)

from kvasir.models.transformers import without_progress_bars  # noqa: E402 - needs transformers


@pytest.mark.parametrize("enabled", [True, False])
def test_the_bars_are_off_until_the_last_thread_has_loaded(enabled):
    before = logging.is_progress_bar_enabled()
    (logging.enable_progress_bar if enabled else logging.disable_progress_bar)()
    loading, finish = threading.Event(), threading.Event()

    def load():
        with without_progress_bars():
            loading.set()
            finish.wait(60)

    other = threading.Thread(target=load)
    try:
        with without_progress_bars():
            other.start()
            assert loading.wait(60)
        assert not logging.is_progress_bar_enabled()
        finish.set()
        other.join()
        assert logging.is_progress_bar_enabled() == enabled
    finally:
        finish.set()
        (logging.enable_progress_bar if before else logging.disable_progress_bar)()
