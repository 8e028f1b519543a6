"""When a page of the web client is drawn again because work has ended."""

import pytest
import streamlit as st

from kvasir.frontends.ui.session import is_page_outdated, note_work


@pytest.fixture(autouse=True)
def state(monkeypatch):
    monkeypatch.setattr(st, "session_state", {})


def test_a_page_that_is_being_drawn_is_not_drawn_again_whatever_has_ended():
    note_work("files", 2)
    assert not is_page_outdated("files", 0)


def test_a_fragment_alone_has_the_page_drawn_again_when_work_has_ended():
    note_work("files", 2)
    assert not is_page_outdated("files", 2)
    assert not is_page_outdated("files", 2)
    assert is_page_outdated("files", 1)


def test_work_that_is_added_while_a_fragment_is_drawn_counts_when_it_ends():
    note_work("files", 0)
    assert not is_page_outdated("files", 0)
    assert not is_page_outdated("files", 1)
    assert is_page_outdated("files", 0)


def test_lists_are_apart():
    note_work("files", 2)
    note_work("questions", 0)
    assert not is_page_outdated("questions", 0)
    assert not is_page_outdated("files", 1)
    assert not is_page_outdated("questions", 0)
    assert is_page_outdated("files", 1)
