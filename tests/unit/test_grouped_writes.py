import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kvasir.core.errors import ComponentError, RejectedDataError
from kvasir.database.grouping import GroupedWrites


class Table:
    """Keeps what is written; the first transaction lasts until ``go_on`` is set."""

    def __init__(self):
        self.transactions = []
        self.began, self.go_on = threading.Event(), threading.Event()

    def write(self, items):
        self.began.set()
        assert self.go_on.wait(60)
        if "down" in items:
            raise ComponentError("catalog", "writing", "it is down")
        if "bad" in items:
            raise RejectedDataError("catalog", "writing", "too long")
        self.transactions.append(sorted(items))


def add_together(table, items):
    """Add the first item and, while it is being written, the others; return their outcomes."""
    writes = GroupedWrites(table.write)
    with ThreadPoolExecutor() as pool:
        added = [pool.submit(writes.add, items[0])]
        assert table.began.wait(60)
        added += [pool.submit(writes.add, item) for item in items[1:]]
        while len(writes._waiting) < len(items) - 1:
            pass
        table.go_on.set()
        return [each.exception(10) for each in added]


def test_what_waits_for_a_transaction_shares_the_next_one():
    table = Table()
    assert add_together(table, ["a", "b", "c", "d"]) == [None] * 4
    assert table.transactions == [["a"], ["b", "c", "d"]]


def test_a_refused_item_spoils_no_other():
    table = Table()
    errors = add_together(table, ["a", "b", "bad", "c"])
    assert [type(error) for error in errors] == [
        type(None),
        type(None),
        RejectedDataError,
        type(None),
    ]
    assert [item for items in table.transactions for item in items] == ["a", "b", "c"]


def test_a_failure_is_raised_to_everyone_and_ends_with_its_transaction():
    table = Table()
    errors = add_together(table, ["a", "b", "down"])
    assert [type(error) for error in errors[1:]] == [ComponentError] * 2
    writes = GroupedWrites(table.write)
    with pytest.raises(ComponentError):
        writes.add("down")
    writes.add("e")
    assert table.transactions == [["a"], ["e"]]
