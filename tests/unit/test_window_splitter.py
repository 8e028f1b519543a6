"""What the options of the window splitter mean."""

import time

import pytest

from kvasir.components.splitters.chunks import ChunkMaker
from kvasir.components.splitters.window import WindowSplitter
from kvasir.core.errors import SettingsError
from kvasir.core.types import Block, BlockKind, Document, document_id


def document(text, blocks=(), **metadata):
    return Document(document_id("a.txt"), "a.txt", "A", text, tuple(blocks), metadata)


def texts(splitter, text, **metadata):
    return [chunk.text for chunk in splitter.split(document(text, **metadata))]


@pytest.mark.parametrize(
    ("unit", "text", "expected"),
    [
        ("word", "a bb\nc d", ["a ", "bb\nc ", "d"]),
        ("line", "a b\nc\n\nd", ["a b\n", "c\n", "d"]),
        ("passage", "a\nb\n\nc\n\nd", ["a\nb\n\n", "c\n\n", "d"]),
        ("page", "a\n\nb\fc\fd", ["a\n\nb\f", "c\f", "d"]),
        ("sentence", "Dr. A. is in.  He left.\n\nYes", ["Dr. A. is in.  ", "He left.\n\n", "Yes"]),
    ],
)
def test_what_separates_units_stays_with_the_unit_before(unit, text, expected):
    assert texts(WindowSplitter(unit, 1), text) == expected


def test_windows_step_by_length_less_overlap():
    assert texts(WindowSplitter("word", 4, 2), "0 1 2 3 4 5") == ["0 1 2 3 ", "2 3 4 5"]


@pytest.mark.parametrize("words", range(1, 40))
@pytest.mark.parametrize(("length", "overlap"), [(5, 0), (5, 2), (5, 4), (1, 0), (7, 3)])
def test_no_window_only_repeats_an_overlap(words, length, overlap):
    found = texts(WindowSplitter("word", length, overlap), " ".join(map(str, range(words))))
    ends = [text.split()[-1] for text in found]
    assert len(set(ends)) == len(ends)
    assert ends[-1] == str(words - 1)
    assert all(len(text.split()) == length for text in found[:-1])


def test_a_last_window_below_the_threshold_joins_the_one_before_without_repeating_the_overlap():
    splitter = WindowSplitter("word", 4, 1, split_threshold=3)
    assert texts(splitter, "0 1 2 3 4") == ["0 1 2 3 4"]
    assert texts(splitter, "0 1 2 3 4 5") == ["0 1 2 3 ", "3 4 5"]
    assert texts(WindowSplitter("word", 4, 0, split_threshold=3), "0 1") == ["0 1"]


def test_equal_windows_have_ids_of_their_own():
    chunks = WindowSplitter("line", 1).split(document("same\n" * 10))
    assert len({chunk.id for chunk in chunks}) == 10


def test_pages_are_those_of_the_blocks_where_there_is_no_form_feed():
    blocks = [
        Block(BlockKind.PARAGRAPH, 0, 1, page=1),
        Block(BlockKind.PARAGRAPH, 3, 4, page=1),
        Block(BlockKind.PARAGRAPH, 6, 7, page=3),
    ]
    chunks = WindowSplitter("page", 1).split(document("a\n\nb\n\nc", blocks))
    assert [(chunk.text, chunk.page) for chunk in chunks] == [("a\n\nb\n\n", 1), ("c", 3)]


def test_pages_are_counted_by_the_form_feeds_before_them():
    maker = ChunkMaker(document("a\fb\f\fc"))
    assert [maker.page(offset) for offset in range(7)] == [1, 1, 2, 2, 3, 4, 4]
    assert ChunkMaker(document("a\nb")).page(2) is None


def test_the_pages_of_a_long_document_are_counted_once():
    count = 1_000_000
    maker = ChunkMaker(document("\f" * count))
    started = time.process_time()
    assert all(maker.page(offset) == offset + 1 for offset in range(count - 10_000, count))
    assert time.process_time() - started < 1.0


def test_sentences_follow_the_language_of_the_document():
    found = texts(WindowSplitter("sentence", 1), "你好。再见。", language="zh")
    assert found == ["你好。", "再见。"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split_by": "words"}, "did you mean 'word'"),
        ({"split_length": 0}, "split_length must be at least 1"),
        ({"split_length": 5, "split_overlap": 5}, "split_overlap must be .* less than"),
        ({"split_overlap": -1}, "split_overlap must be at least 0"),
        ({"split_threshold": -1}, "split_threshold must be at least 0"),
    ],
)
def test_values_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(SettingsError, match=message):
        WindowSplitter(**options)
