"""The thoughts of a language model are no part of its answer."""

import time

import pytest

from kvasir.answering.thoughts import Retraction, generated, whole, without_thoughts
from kvasir.core.pieces import CutReason, Incomplete
from kvasir.core.types import Prompt

ANSWER = "The gate code is 7713 [1]."


def shown(text, size, **options):
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return list(without_thoughts(pieces, **options))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    "text",
    [
        f"<think>The user asks 42 [2].</think>\n\n{ANSWER}",
        f"\n<think>\n\n</think>\n\n{ANSWER}",
        f"<thinking>a <think> b</thinking> {ANSWER}",
        f"[THINK]hm[/THINK]{ANSWER}",
        f"<reasoning>hm</reasoning>\n<think>more</think>\n{ANSWER}",
        ANSWER,
    ],
)
def test_thoughts_are_removed_however_the_text_is_split(text, size):
    pieces = shown(text, size)
    assert "".join(pieces) == ANSWER
    assert not any(isinstance(piece, Retraction) for piece in pieces)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("text", ["Let me see 42.</think>\n\n", "Let me see.\n</think>"])
def test_thoughts_that_the_template_opened_are_retracted(text, size):
    pieces = shown(text + ANSWER, size)
    assert whole(pieces) == ANSWER
    assert "</think" not in "".join(pieces)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_text_that_ends_with_its_thoughts_has_no_answer(size):
    assert whole(shown("Let me see 42.</think>", size)) == ""
    assert whole(shown("<think>Let me see 42.", size)) == ""


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    "text",
    [
        "Qwen thinks between <think> and </think>\nand answers then.",
        "The tag `</think>` ends the thoughts.",
        "Is 3 <think of it> or </th> so?",
        "a <",
        "  Leading space <t",
    ],
)
def test_a_text_about_the_tags_stays_as_it_is(text, size):
    assert whole(shown(text, size)) == text


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_text_that_is_held_back_is_the_answer_if_no_tag_closes_thoughts(size):
    assert shown(f"Let me see 42.</think>\n{ANSWER}", size, is_open=True)[:1] != ["L"]
    assert "".join(shown(f"Let me see 42.</think>\n{ANSWER}", size, is_open=True)) == ANSWER
    assert "".join(shown(ANSWER, size, is_open=True)) == ANSWER


def test_held_thoughts_are_read_once():
    def seconds(count):
        started = time.process_time()
        list(without_thoughts(["word "] * count, is_open=True))
        return time.process_time() - started

    seconds(10)
    assert seconds(16_000) < 12 * max(seconds(4_000), 0.005)


def test_a_text_that_is_cut_within_its_thoughts_has_only_the_reason():
    end = Incomplete(CutReason.LENGTH)
    for text, is_open in (("<think>The code [1]", False), ("The code [1]", True)):
        assert list(without_thoughts([text, end], is_open=is_open)) == [end]


class Says:
    def __init__(self, text):
        self.text = text

    def generate(self, prompt):
        yield from self.text


def test_the_texts_of_a_model_whose_template_opens_thoughts_are_held_back_later():
    model = Says(f"Let me see 42.</think>\n{ANSWER}")
    first, second = ([*generated(model, Prompt("q", (), ()))] for _ in range(2))
    assert whole(first) == whole(second) == ANSWER
    assert "".join(first) != ANSWER == "".join(second)
