import os
import threading
from queue import SimpleQueue

import pytest

from kvasir.core.daemon_threads import _idle, start_daemon


def wait_until_idle(threads):
    while len(_idle) < threads:
        pass


def test_a_thread_that_has_finished_is_used_again():
    _idle.clear()
    ran = SimpleQueue()
    for _ in range(3):
        start_daemon(lambda: ran.put(threading.current_thread()))
        wait_until_idle(1)
    threads = {ran.get(timeout=10) for _ in range(3)}
    assert len(threads) == 1
    assert threads.pop().daemon


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_starts_its_own():
    start_daemon(lambda: None)
    wait_until_idle(1)
    child = os.fork()
    if child == 0:
        ran = threading.Event()
        start_daemon(ran.set)
        os._exit(0 if ran.wait(60) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
