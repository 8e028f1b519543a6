"""What people give to the web client may be anything; it is said what is wrong with it."""

import pytest

from kvasir.core.errors import RequestError
from kvasir.frontends.ui.adding import distinct_names
from kvasir.frontends.ui.evaluation import _read
from kvasir.frontends.ui.sources import _page_count


@pytest.mark.parametrize("line", [b"[1]", b"7", b"null", b'"a"', b"{"])
def test_a_line_that_is_no_question_is_named(line):
    with pytest.raises(RequestError, match="2"):
        _read(b'{"question": "How hot?"}\n' + line)


def test_a_question_has_its_line_as_id_unless_it_names_one():
    assert _read(b'{"question": "a"}\n\n{"id": "x"}') == [
        {"id": "1", "question": "a"},
        {"id": "x"},
    ]


@pytest.mark.parametrize(
    ("pages", "count"), [(3, 3), ("12-15", None), (["1"], None), (None, None), (2.5, None)]
)
def test_a_number_of_pages_that_is_none_is_unknown(pages, count):
    assert _page_count({"pages": pages}) == count


@pytest.mark.parametrize(
    ("names", "distinct"),
    [
        (["a.md", "b.md"], ["a.md", "b.md"]),
        (["a.md", "a.md", "a.md"], ["a.md", "a (2).md", "a (3).md"]),
        (["a.md", "a.md", "a (2).md"], ["a.md", "a (3).md", "a (2).md"]),
        (["README", "README", ".env", ".env"], ["README", "README (2)", ".env", ".env (2)"]),
        (["v1.2 notes.md", "v1.2 notes.md"], ["v1.2 notes.md", "v1.2 notes (2).md"]),
    ],
)
def test_files_of_one_name_get_numbers(names, distinct):
    assert distinct_names(names) == distinct
