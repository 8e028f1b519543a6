"""Languages are told from a chunk, and from a question where the collection's are known."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kvasir.core.types import BlockKind
from kvasir.language.detect import detect, detect_document
from kvasir.testing.splitters import make_document

DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "retrieval"
LANGUAGES = ["en", "es", "vi", "zh"]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The parliament approved the annual budget yesterday.", "en"),
        ("El Parlamento aprobó ayer el presupuesto anual.", "es"),
        ("Quốc hội đã thông qua ngân sách hàng năm.", "vi"),
        ("Das Parlament hat gestern den Haushalt beschlossen.", "de"),
        ("Парламент вчера утвердил годовой бюджет.", "ru"),
        ("议会昨天批准了年度预算。", "zh"),
        ("議会は昨日、年間予算を承認しました。", "ja"),
        ("의회는 어제 연간 예산을 승인했습니다.", "ko"),
        ("รัฐสภาอนุมัติงบประมาณ", "th"),
        ("Το κοινοβούλιο ενέκρινε τον προϋπολογισμό.", "el"),
        ("NASA 是什么", "zh"),
    ],
)
def test_a_sentence_tells_its_language_without_candidates(text, language):
    assert detect(text) == language


@pytest.mark.parametrize("text", ["", "   ", "12345", "?!…", "🦉"])
def test_a_text_without_letters_is_undetermined(text):
    assert detect(text) == "und"
    assert detect(text, []) == "und"


def test_nothing_to_go_by_means_the_first_candidate():
    assert detect("123", ["es", "en"]) == "es"


def test_a_short_question_is_told_among_candidates():
    assert detect("vacaciones", ["en", "es"]) == "es"
    assert detect("hello", ["en", "es", "zh"]) == "en"


def test_another_script_outweighs_the_candidates():
    assert detect("北京在哪里", ["en", "es"]) == "zh"
    assert detect("Где находится столица России?", ["en"]) == "ru"


def test_an_undetermined_candidate_is_no_candidate():
    assert detect("12", ["und", "vi"]) == "vi"


def test_one_candidate_needs_no_model():
    code = (
        "import sys; from kvasir.language.detect import detect;"
        "assert detect('where is it', ['en']) == 'en' and detect('北京', ['en', 'zh']) == 'zh';"
        "assert 'py3langid' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("language", LANGUAGES)
def test_xquad_is_told_apart(language):
    folder = DATA / f"xquad-{language}"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/retrieval")

    def texts(name):
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["text"] for line in lines]

    assert all(detect(text) == language for text in texts("corpus.jsonl"))
    queries = texts("queries.jsonl")[::5]
    right = sum(detect(query, LANGUAGES) == language for query in queries)
    assert right / len(queries) >= 0.995


def test_a_document_has_the_language_of_its_prose():
    menu = "Home | Next page | Previous page | Table of contents | All of the chapters | " * 15
    code = "if the list is empty then return the first of the items\n" * 20
    notice = "This chapter has been translated in part. You may help us to complete it. " * 5
    prose = "La herramienta se usa para recortar la imagen y para cambiar su tamaño. " * 20
    document = make_document(
        (
            (BlockKind.FURNITURE, menu, None, None),
            (BlockKind.CODE, code, None, None),
            (BlockKind.PARAGRAPH, notice, None, None),
            (BlockKind.PARAGRAPH, prose, None, None),
        )
    )
    assert detect(document.text) == "en"
    assert detect_document(document) == "es"


def test_a_document_without_prose_has_the_language_of_its_tables():
    table = "| Mes | Consumo de la casa |\n|---|---|\n" + "| enero y febrero | bastante |\n" * 9
    document = make_document(((BlockKind.TABLE, table, None, None),))
    assert detect_document(document) == detect(table) == "es"
