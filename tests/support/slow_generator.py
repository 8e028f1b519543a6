"""A generator of settings that waits for its first token, and says when it was stopped."""

import threading
import time

from kvasir.core.deadline import current_stop


class SlowGenerator:
    """Waits until it is allowed to write; counts how many write at the same time."""

    allowed = threading.Event()
    began = threading.Semaphore(0)
    closed = threading.Semaphore(0)
    running = 0
    most = 0
    _lock = threading.Lock()

    @classmethod
    def reset(cls):
        cls.allowed = threading.Event()
        cls.began, cls.closed = threading.Semaphore(0), threading.Semaphore(0)
        cls.running = cls.most = 0

    def generate(self, prompt):
        cls = type(self)
        with cls._lock:
            cls.running += 1
            cls.most = max(cls.most, cls.running)
        try:
            cls.began.release()
            end = time.monotonic() + 300
            while not cls.allowed.is_set() and time.monotonic() < end:
                stop = current_stop()
                if stop is not None and stop.is_set():
                    return
                time.sleep(0.01)
            yield "Green tea is brewed at 80 degrees. [1]"
        finally:
            with cls._lock:
                cls.running -= 1
            cls.closed.release()


class TimedGenerator:
    """Takes a second for an answer."""

    def generate(self, prompt):
        for word in ["Green", "tea", "is", "brewed", "at", "80", "degrees.", "[1]"]:
            time.sleep(0.1)
            yield f"{word} "


class SentenceGenerator:
    """Writes its first sentence, and the others when it is allowed to; stops between two."""

    sentences = (
        "Green tea is brewed at 80 degrees. [1]",
        "Black tea is brewed at 95 degrees. [1]",
        "White tea needs water of 70 degrees. [1]",
    )
    allowed = threading.Event()

    def generate(self, prompt):
        first, *others = self.sentences
        yield f"{first} "
        end = time.monotonic() + 60
        while not self.allowed.is_set() and time.monotonic() < end:
            stop = current_stop()
            if stop is not None and stop.is_set():
                return
            time.sleep(0.01)
        yield " ".join(others)
