"""Question files are read to the letter, and answers are judged by what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from kvasir.answering.chat import Conversation
from kvasir.core.errors import RequestError, StoppedError
from kvasir.core.run import Run, StopToken
from kvasir.core.types import Answer, Certainty, Chunk, Citation, Hit, document_id
from kvasir.core.wire import to_json
from kvasir.evaluation.metrics import wilson_interval
from kvasir.evaluation.question_sets import (
    GoldPassage,
    JudgedQuestion,
    half_of,
    load_question_set,
    of_half,
    read_questions,
)
from kvasir.evaluation.questions import (
    AskedQuestion,
    Share,
    evaluate_questions,
    figures,
    holds,
    is_document,
    judge,
)
from kvasir.testing.fakes import FakeGenerator

GARDEN = "/notes/garden.md"


def write(folder: Path, *rows: Any) -> Path:
    file = folder / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file


def hit(uri: str, text: str) -> Hit:
    chunk = Chunk("c", document_id(uri), text, 0, len(text), metadata={"source_uri": uri})
    return Hit(chunk, 1.0)


def citing(uri: str) -> Citation:
    return Citation(1, document_id(uri), uri, None, "quote", 0, 5)


def test_a_question_file_is_read_with_alternatives(tmp_path: Path) -> None:
    passage = {"document": "garden.md", "text": "due on 1 February"}
    first, second = load_question_set(
        write(
            tmp_path,
            {
                **{"question": "When is the rent due?", "kind": "fact", "language": "en"},
                **{"passages": [passage], "must": ["1 February", ["rent", "fee"]]},
            },
            {"question": "And the deposit?", "after": "1", "refuse": True, "must_not": ["12"]},
        )
    )
    assert (first.id, first.kind, first.language, first.refuse) == ("1", "fact", "en", False)
    assert first.passages == ((GoldPassage("garden.md", "due on 1 February"),),)
    assert first.must == (("1 February",), ("rent", "fee"))
    assert (second.after, second.refuse, second.must_not) == ("1", True, ("12",))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": " "}, "'question' must be there"),
        ({"question": "a?", "musst": ["b"]}, "'musst' is not known here: use id, question"),
        ({"question": "a?", "must": "b"}, "'must' must be a list"),
        ({"question": "a?", "must": [""]}, "'must' holds an empty text"),
        ({"question": "a?", "must": [[]]}, "'must' has an empty list of alternatives"),
        ({"question": "a?", "must_not": [["b"]]}, "'must_not' must be a list of texts"),
        ({"question": "a?", "passages": ["b"]}, "a passage must be an object"),
        ({"question": "a?", "passages": [{"text": "b"}]}, "a passage must be an object"),
        ({"question": "a?", "refuse": "yes"}, "'refuse' must be true or false"),
        ({"question": "a?", "after": "9"}, "no earlier question has the id '9'"),
        ({"question": "a?", "id": 3}, "'id' must be a text"),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path: Path, row: Any, said: str) -> None:
    with pytest.raises(RequestError, match="line 2: ") as caught:
        load_question_set(write(tmp_path, {"question": "good?"}, row))
    assert said in str(caught.value)


def test_rows_are_read_as_the_lines_of_a_file() -> None:
    rows = [{"question": "a?", "must": ["b"], "refuse": None}, logged(id="l", rating=1)]
    first, second = read_questions(rows)
    assert (first.id, first.must, first.refuse) == ("1", (("b",),), None)
    assert (second.id, second.kind) == ("l", "rated good")
    assert read_questions(to_json([first, second])) == (first, second)
    assert read_questions([]) == ()
    with pytest.raises(RequestError, match="question 2: 'must' must be a list"):
        read_questions([{"question": "a?"}, {"question": "a?", "must": "b"}])


def test_an_empty_id_is_as_good_as_none(tmp_path: Path) -> None:
    rows = [{"id": "", "question": "a?"}, {"id": "", "question": "b?", "after": ""}]
    assert [each.id for each in load_question_set(write(tmp_path, *rows))] == ["1", "2"]
    histories: list[int] = []
    given = [JudgedQuestion("", "a?"), JudgedQuestion("2", "b?")]

    def ask(question: str) -> Answer:
        histories.append(0)
        return Answer("yes")

    evaluate_questions(given, ask, cast(Conversation, None))
    assert histories == [0, 0]


def test_deep_nesting_is_a_fault_of_its_line(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text("[" * 100_000, "utf-8")
    with pytest.raises(RequestError, match="line 1: it is nested too deeply"):
        load_question_set(file)


def test_an_id_stands_once_and_a_file_has_questions(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="second time"):
        load_question_set(write(tmp_path, *[{"id": "x", "question": "a?"}] * 2))
    with pytest.raises(RequestError, match="holds no questions"):
        load_question_set(write(tmp_path))


def logged(**given: Any) -> dict[str, Any]:
    row = {"id": "a1", "user_id": 1, "collection": "default", "question": "a?", "answer": "b"}
    return {**row, "refused": False, "sources": [GARDEN], "rating": None, **given}


def test_ratings_of_the_answers_log_say_what_a_good_answer_is(tmp_path: Path) -> None:
    rows = [
        logged(id="good", rating=1),
        logged(id="rightly refused", rating=1, refused=True),
        logged(id="bad", rating=-1),
        logged(id="open"),
    ]
    good, refused, bad, unrated = load_question_set(write(tmp_path, *rows))
    assert (good.kind, good.refuse, good.passages) == (
        "rated good",
        False,
        ((GoldPassage(GARDEN),),),
    )
    assert (refused.kind, refused.refuse, refused.passages) == ("rated good", True, ())
    assert (bad.kind, bad.refuse, bad.passages) == ("rated bad", None, ())
    assert (unrated.kind, unrated.refuse) == ("not rated", None)
    cited = judge(good, Answer("x [1]", (citing(GARDEN),), (hit(GARDEN, "x"),)))
    assert (cited.satisfying, cited.rank) == (True, 1)
    assert judge(good, Answer("x")).satisfying is False
    assert judge(bad, Answer("x")).satisfying is None


def test_the_halves_are_split_by_document_and_conversations_stay_together() -> None:
    questions = [
        JudgedQuestion(f"{n}", "a?", passages=((GoldPassage(f"{n // 3}.md", "x"),),))
        for n in range(300)
    ]
    questions += [JudgedQuestion(f"after {n}", "b?", after=f"{n}") for n in range(300)]
    halves = half_of(questions)
    assert all(halves[f"{n}"] == halves[f"{n // 3 * 3}"] for n in range(300))
    assert all(halves[f"after {n}"] == halves[f"{n}"] for n in range(300))
    fit, report = of_half(questions, "fit"), of_half(questions, "report")
    assert len(fit) + len(report) == len(of_half(questions, None)) == 600
    assert min(len(fit), len(report)) > 200
    with pytest.raises(RequestError, match="no half 'best'"):
        of_half(questions, "best")


@pytest.mark.parametrize(
    ("text", "wanted", "found"),
    [
        ("It costs 7,450 pounds.", "7,450", True),
        ("It costs 13 pounds.", "3", False),
        ("It costs 3.5 pounds.", "3", False),
        ("Three, or 3.", "3", True),
        ("at 1.5 bar", "1.5", True),
        ("“Gas  Valve”", '"gas valve"', True),
        ("下次会议在9月17日", "9 月 17 日", True),
        ("in July\u00a02025", "July 2025", True),
        ("STRASSE", "straße", True),
    ],
)
def test_strings_are_compared_without_case_spaces_and_within_numbers(
    text: str, wanted: str, found: bool
) -> None:
    assert holds(text, wanted) is found


def test_a_document_is_known_by_the_end_of_its_address() -> None:
    assert is_document("/home/me/notes/garden.md", "garden.md")
    assert is_document("/home/me/notes/garden.md", "notes/garden.md")
    assert is_document(r"C:\notes\garden.md", "notes/garden.md")
    assert not is_document("/home/me/my-garden.md", "garden.md")


def test_the_rank_is_that_of_the_last_passage_and_forms_of_tables_do_not_count() -> None:
    hits = (hit("/a.md", "Rent: due 1 February"), hit("/b.csv", "| July | 233 | 65.24 |"))
    both = ((GoldPassage("b.csv", "July: 233"),), (GoldPassage("a.md", "1 February"),))
    question = JudgedQuestion("1", "a?", passages=both, must=(("x",),))
    assert judge(question, Answer("x", hits=hits)).rank == 2
    assert judge(question, Answer("x", hits=hits[:1])).rank is None
    either = (both[0] + both[1],)
    assert judge(JudgedQuestion("1", "a?", passages=either), Answer("x", hits=hits)).rank == 1


def test_markers_are_no_part_of_an_answer() -> None:
    question = JudgedQuestion("1", "How many?", must=(("2",),))
    answer = Answer("There are some [1] [2].", hits=(hit("/a", "x"), hit("/b", "y")))
    assert judge(question, answer).satisfying is False


def test_a_refusal_is_wrong_where_the_documents_have_the_answer() -> None:
    refusal = Answer("The documents do not say.", refused=True)
    wanted = JudgedQuestion("1", "a?", must=(("documents",),))
    assert judge(wanted, refusal).satisfying is False
    foreign = JudgedQuestion("2", "b?", refuse=True)
    assert judge(foreign, refusal).satisfying is True
    assert judge(foreign, Answer("x")).satisfying is False
    forbidden = JudgedQuestion("3", "c?", must_not=("June",))
    assert judge(forbidden, Answer("In June.")).forbidden == ("June",)


def test_an_answer_that_is_not_sure_asserts_nothing() -> None:
    unsure = Answer("In June [1].", certainty=Certainty.NOT_SURE)
    near = judge(JudgedQuestion("1", "a?", refuse=True), unsure)
    good = judge(JudgedQuestion("2", "b?", must=(("June",),)), unsure)
    bad = judge(JudgedQuestion("3", "c?", must=(("July",),)), unsure)
    assert [each.satisfying for each in (near, good, bad)] == [True, True, False]
    found = figures([near, good, bad])
    assert (found.unsure_rightly, found.unsure_wrongly) == (Share(1, 1), Share(2, 2))
    assert (found.refused_rightly, found.refused_wrongly) == (Share(0, 1), Share(0, 2))


def test_figures_count_the_questions_that_they_apply_to() -> None:
    passages = ((GoldPassage("a.md", "x"),),)
    cases: list[AskedQuestion] = [
        judge(
            JudgedQuestion("1", "a?", passages=passages, must=(("two words",),)),
            Answer("two words", hits=(hit("/b.md", "x"), hit("/a.md", "x"))),
        ),
        judge(
            JudgedQuestion("2", "b?", passages=passages, must=(("y",),)), Answer("", refused=True)
        ),
        judge(
            JudgedQuestion("3", "c?", passages=passages, refuse=True), Answer("no", refused=True)
        ),
        judge(JudgedQuestion("4", "d?", refuse=None), Answer("four words of it")),
    ]
    found = figures(cases)
    assert found.questions == 4
    assert (found.top_1, found.top_3) == (Share(0, 2), Share(1, 2))
    assert found.satisfying == Share(2, 3)
    assert found.words == 3.0
    assert (found.refused_rightly, found.refused_wrongly) == (Share(1, 1), Share(1, 2))
    assert figures([]).satisfying.share is None


def test_wilsons_interval_is_that_of_the_tables() -> None:
    low, high = wilson_interval(8, 10)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
    assert wilson_interval(0, 10)[0] == 0.0
    assert wilson_interval(10, 10)[1] == pytest.approx(1.0)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_a_run_that_is_stopped_asks_no_further_question() -> None:
    stop, asked = StopToken(), list[str]()

    def ask(question: str) -> Answer:
        asked.append(question)
        stop.set()
        return Answer("x")

    conversation = Conversation(FakeGenerator(), lambda: pytest.fail("nothing follows"))
    questions = [JudgedQuestion("1", "a?"), JudgedQuestion("2", "b?")]
    with pytest.raises(StoppedError):
        evaluate_questions(questions, ask, conversation, run=Run(stop))
    assert asked == ["a?"]


@pytest.mark.parametrize(
    ("questions", "problem"),
    [
        ([JudgedQuestion("1", "a?"), JudgedQuestion("1", "b?")], "the id '1' stands here a second"),
        ([JudgedQuestion("2", "b?", after="1"), JudgedQuestion("1", "a?")], "no earlier question"),
        ([JudgedQuestion("1", " ")], "'question' must be there"),
        ([JudgedQuestion("1", "a?", passages=((),))], "empty list of alternatives"),
        ([JudgedQuestion("1", "a?", passages=((GoldPassage(""),),))], "has no document"),
        ([JudgedQuestion("1", "a?", must=((),))], "empty list of alternatives"),
        ([JudgedQuestion("1", "a?", must=((" ",),))], "holds an empty text"),
    ],
)
def test_questions_that_no_file_holds_are_checked_before_one_is_asked(questions, problem):
    conversation = Conversation(FakeGenerator(), lambda: pytest.fail("nothing follows"))
    with pytest.raises(RequestError, match=f"question '[12]': .*{problem}"):
        evaluate_questions(questions, lambda _: pytest.fail("asked"), conversation)
