"""A pasted mail is searched by the sentences that ask."""

import time

from kvasir.answering.query_parts import LONG_QUERY, MOST_PARTS, query_parts

FILLER = " ".join(f"We met number {n} on the way to the market and talked." for n in range(40))


def test_a_short_query_is_its_only_part():
    query = "How do I clean it? And when? " * 10
    assert len(query) <= LONG_QUERY
    assert query_parts(query) == [query]


def test_the_sentences_that_ask_are_searched_alone_and_with_what_stands_before():
    mail = f"Hello,\n\n{FILLER} I have the model AX. How do I clean its filter? Really? {FILLER}"
    assert query_parts(mail) == [
        "How do I clean its filter?",
        "I have the model AX. How do I clean its filter?",
    ]


def test_lines_of_the_mail_that_is_answered_are_left_out():
    quoted = "\n".join(f"> What is number {n} for?" for n in range(50))
    mail = f"{FILLER} Where is the key kept?\n\n{quoted}\n"
    assert query_parts(mail)[0] == "Where is the key kept?"
    assert not any("number 1 for" in part for part in query_parts(mail))
    assert any("number 1 for" in part for part in query_parts(quoted))


def test_without_a_question_all_sentences_are_searched_in_small_groups():
    parts = query_parts(FILLER)
    assert 1 < len(parts) <= MOST_PARTS
    assert " ".join(parts) == FILLER
    assert len(query_parts(FILLER * 20)) == MOST_PARTS


def test_questions_in_chinese_count_too():
    text = "我们在市场上谈了很多事情。" * 80 + "钥匙在哪里？" + "然后我们回家了。" * 5
    assert query_parts(text)[0] == "钥匙在哪里？"


def test_empty_lines_of_any_number_are_read_in_little_time():
    started = time.process_time()
    assert "Where is the key?" in query_parts("\n" * 20_000 + f"{FILLER}\nWhere is the key?")
    assert time.process_time() - started < 1.0
