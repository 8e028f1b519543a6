"""Training sets from the answers log: good answers alone, none of the evaluation, sources found."""

import json
from dataclasses import replace

import pytest
from libraries import library

from kvasir.core.errors import RequestError
from kvasir.core.types import Chunk, Hit, chunk_id, document_id
from kvasir.testing.mail import LOGGED
from kvasir.tuning_dataset import LeakageCheck, PromptForm, make_dataset

prompts = library("kvasir.rwkv.prompts", "torch", extra="torch")

TEXTS = {
    "/tea.md": "Green tea is brewed for two minutes.",
    "/moon.md": "The Moon is far.",
}


def hit_of(uri):
    document, text = document_id(uri), TEXTS[uri]
    chunk = Chunk(
        chunk_id(document, text, 0, len(text)), document, text, 0, len(text),
        metadata={"source_uri": uri},
    )  # fmt: skip
    return Hit(chunk, 0.9, 0.9, None)


HITS = [hit_of(uri) for uri in TEXTS]


def logged(question, answer="Two minutes [1].", sources=("/tea.md",), rating=1, **changes):
    return replace(
        LOGGED, question=question, answer=answer, sources=sources, rating=rating, refused=False,
        collection="default", **changes,
    )  # fmt: skip


def written(tmp_path, log, evaluation=(), hits=HITS):
    target = tmp_path / "data.jsonl"
    form = PromptForm.of_options({"system": "Be brief."})
    report = make_dataset(
        log, lambda _: hits, target, form, collection="default", evaluation=evaluation
    )
    return report, [json.loads(line)["text"] for line in target.read_text().splitlines()]


def test_a_line_is_the_prompt_that_the_generator_has_with_its_numbers(tmp_path):
    log = [
        logged("How long is tea brewed?"),
        logged("Which is far?", "The Moon [4].\n\nIt is [4].", ("/moon.md",)),
        logged("Which two?", "Tea [2] and the Moon [1].", ("/tea.md", "/moon.md")),
    ]
    report, texts = written(tmp_path, log)
    order = prompts.stable_order(HITS)
    number = {uri: order.index(place) + 1 for place, uri in enumerate(TEXTS)}
    tea, moon = number["/tea.md"], number["/moon.md"]
    assert report.written == 3
    for text in texts:
        assert text.startswith("System: Be brief.\n\n[1]\n")
        assert f"[{tea}]\n{TEXTS['/tea.md']}" in text
    assert texts[0].endswith(
        f"\n\nUser: How long is tea brewed?\n\nAssistant: Two minutes [{tea}]."
    )
    assert texts[1].endswith(f"Assistant: The Moon [{moon}].\nIt is [{moon}].")
    assert texts[2].endswith(f"Assistant: Tea [{tea}] and the Moon [{moon}].")


def test_only_good_answers_with_sources_that_are_found_are_learnt(tmp_path):
    log = [
        logged("How long is tea brewed?", "Three minutes [1]."),
        logged("Bad?", rating=-1),
        logged("Nothing said?", rating=None),
        replace(logged("Refused?"), refused=True),
        replace(logged("Elsewhere?"), collection="other"),
        logged("Gone?", sources=("/gone.md",)),
        logged("how long is Tea brewed"),
    ]
    report, texts = written(tmp_path, log)
    assert len(texts) == report.written == 1
    assert texts[0].endswith("Two minutes [1].") or texts[0].endswith("Two minutes [2].")
    assert (report.not_rated_good, report.refused, report.of_other_collections) == (2, 1, 1)
    assert (report.without_source, report.repeated) == (1, 1)


def test_questions_of_the_evaluation_are_left_out_also_in_other_words(tmp_path):
    asked = "At how many degrees is green tea from the garden brewed in winter?"
    near = "At how many degrees is green tea from the garden brewed in summer?"
    turned = "In winter, at how many degrees is brewed green tea from the garden?"
    log = [logged(asked), logged(near), logged(turned.upper()), logged("Why is tea green?")]
    report, texts = written(tmp_path, log, [asked])
    assert (report.leaking, report.written) == (3, 1)
    assert report.leaking_questions == [asked, near, turned.upper()]
    assert "Why is tea green?" in texts[0]


def test_short_questions_about_other_things_do_not_leak():
    check = LeakageCheck(["What is the colour of Mirvak?", "Who?"])
    assert check.leaks("the colour of Mirvak, what is ...")
    assert check.leaks("who")
    assert not check.leaks("What is the colour of Kolvak?")
    assert not check.leaks("Why?")


@pytest.mark.parametrize(
    ("asked", "near", "other"),
    [
        (
            "图书馆星期一早上什么时候开门？",
            "请问图书馆星期一早上什么时候开门？",
            "图书馆里有多少本书可以借回家看？",
        ),
        (
            "図書館は月曜日の朝、何時に開きますか。",
            "では、図書館は月曜日の朝、何時に開きますか？",
            "図書館には本が何冊ありますか。",
        ),
        (
            "ห้องสมุดเปิดกี่โมงในวันจันทร์",
            "ห้องสมุดเปิดกี่โมงในวันจันทร์ครับ",
            "ห้องสมุดมีหนังสือกี่เล่มให้ยืม",
        ),
        ("コーヒーは何度で淹れますか", "ｺｰﾋｰは何度で淹れますか?", "コーヒー豆はどこで買えますか"),
        ("What does the ﬁrst ＡＢＣ test say?", "what does the first ABC test say", "What is ABC?"),
    ],
)
def test_questions_in_scripts_without_spaces_and_in_other_widths_leak(asked, near, other):
    check = LeakageCheck([asked])
    assert check.leaks(asked)
    assert check.leaks(near)
    assert not check.leaks(other)


def test_a_log_without_good_answers_is_one_sentence(tmp_path):
    with pytest.raises(RequestError, match=r"nothing to learn from: 1 answers are not rated"):
        written(tmp_path, [logged("Why?", rating=-1)])
    assert not list(tmp_path.iterdir())
