"""What the extractive generator quotes for lists and differences: tables, long lists, sides."""

import pytest
from quoted_answers import answer, hit

from kvasir.components.generators.extractive_blocks import leads_to_list
from kvasir.components.generators.extractive_passages import passages
from kvasir.components.generators.extractive_tables import with_next_table

TABLE = "| glaze | heat |\n|---|---|\n| celadon | 1280 |\n| raku | 980 |\n| tenmoku | 1300 |"


@pytest.mark.parametrize(
    ("question", "lead", "caption", "language"),
    [
        ("Which glazes are kept?", "Three glazes are kept in the shed.", "Table 1. Glazes", "en"),
        ("¿Qué esmaltes se guardan?", "En el taller se guardan tres esmaltes.", "Tabla 1.", "es"),
        ("Welche Glasuren gibt es?", "In der Werkstatt gibt es drei Glasuren.", "", "de"),
        ("Quels émaux y a-t-il ?", "Il y a trois émaux dans l'atelier.", "Tableau 1", "fr"),
        ("工作室有哪些釉料？", "工作室有三种釉料。", "", "zh"),
    ],
)
def test_a_table_is_the_list_that_a_sentence_leads_to(question, lead, caption, language):
    parts = [lead, caption, TABLE] if caption else [lead, TABLE]
    said = answer(question, hit("\n\n".join(parts), language=language))
    assert all(name in said for name in ("celadon", "raku", "tenmoku"))
    assert said.startswith(lead)


def test_a_table_comes_with_the_sentence_before_it_only_where_a_list_is_asked_for():
    text = f"Three glazes are kept in the shed.\n\n{TABLE}"
    assert "celadon" not in answer("Where are the glazes kept?", hit(text), max_sentences=1)
    far = f"Three glazes are kept in the shed.\n\n{'The shed is old. ' * 4}\n\n{TABLE}"
    said = answer("Which glazes are kept in the shed?", hit(far), max_sentences=1)
    assert "celadon" not in said


def test_a_long_table_that_is_asked_for_is_cut_and_says_so():
    rows = "\n".join(f"| glaze {number} | hot |" for number in range(40))
    text = f"These glazes are kept.\n\n| glaze | heat |\n|---|---|\n{rows}\n"
    said = answer("Which glazes are kept?", hit(text), max_words=30)
    assert "| glaze 0 | hot |" in said
    assert "/40)" in said


PADDING = " It is one of the oldest in the shed and has been mended more than once by the potters."
TOOLS = ("Rib", "Trimmer", "Sponge", "Needle", "Wire", "Paddle")


def long_list(explained="is used for clay."):
    items = "\n".join(f"- {tool}: It {explained}{PADDING * 5}" for tool in TOOLS)
    return f"These tools are in the shed:\n\n{items}"


def test_a_list_that_is_too_long_is_quoted_by_the_beginnings_of_its_items():
    said = answer("Which tools are in the shed?", hit(long_list()))
    assert said.startswith("These tools are in the shed:\n- Rib: It is used for clay. …\n")
    assert all(f"- {tool}: It is used for clay. …" in said for tool in TOOLS)
    assert "mended" not in said
    assert said.count("[1]") == 1


def test_a_list_that_fits_is_quoted_to_the_letter():
    items = "\n".join(f"- {tool}: It is used for clay. It is old." for tool in TOOLS)
    text = f"These tools are in the shed:\n\n{items}"
    assert answer("Which tools are in the shed?", hit(text)) == f"{text}\n[1]"


def test_a_list_of_which_even_the_beginnings_are_too_long_is_cut():
    said = answer("Which tools are in the shed?", hit(long_list()), max_words=10)
    assert "Rib" in said
    assert "Paddle" not in said


def test_a_sentence_in_an_item_leads_to_no_list():
    text = (
        "The shed has three things.\n\n- Kiln: It is hot. See the tools for it.\n\n"
        "  It has two doors:\n\n    - a large one\n    - a small one\n\n- Bench: It is long."
    )
    found = passages([hit(text)])
    leads = [found[i].text for i in range(len(found)) if leads_to_list(found, i)]
    assert leads == ["The shed has three things.", "It has two doors:"]
    text = "- Kiln: It is hot. See the tools for it.\n\n- Bench: It is long."
    found = passages([hit(text)])
    assert [found[i].text for i in range(len(found)) if leads_to_list(found, i)] == []


def test_a_long_list_is_not_about_the_words_that_its_items_hold_by_chance():
    chance = "\n".join(
        f"- Rule {number}: {text}"
        for number, text in enumerate(
            ("Warnings are read.", "The brewer is cleaned.", "The kettle is new.")
        )
    )
    listed = "- W1: no water\n- W2: tray full"
    headings = ("Brewer", "Warnings")
    said = answer(
        "Which warnings has the brewer?",
        hit(listed, 0, headings=headings),
        hit(chance, 1, 0.5),
    )
    assert listed in said


@pytest.mark.parametrize(
    ("text", "is_aside"),
    [
        ("word = find(word, 3)\n    return word", True),
        ("for kiln in kilns:\n    kiln.open(kiln)", True),
        ("The kiln is hot\nand the shed is cold.", False),
        ("El horno está caliente\ny el taller, frío.", False),
        ("窑很热，\n工作室很冷。", False),
    ],
)
def test_lines_of_code_are_an_aside_also_without_a_fence(text, is_aside):
    found = passages([hit(f"{text}\n\nThe potters are at work in it every day of the year.")])
    assert found[0].is_secondary == is_aside


def test_a_name_within_another_name_is_a_side_of_its_own():
    both = "saw_all calls saw for every board."
    one = "saw cuts one board."
    other = "saw_all cuts every board."
    question = "What is the difference between saw and saw_all?"
    said = answer(question, hit(both, 0), hit(one, 1, 0.9), hit(other, 2, 0.9))
    assert one.rstrip(".") in said
    assert other.rstrip(".") in said


def test_a_command_that_is_asked_for_is_no_aside():
    row = "| Step | Time |\n|---|---|\n| Stop | 10 s |\n| Copy | 9 min |"
    code = "```\n# stop the kiosk first\nsystemctl stop kiosk\n```\n\nIt takes nine minutes."
    hits = hit(row, 0), hit(code, 1, 0.9)
    said = answer("Which command stops the kiosk?", *hits, max_sentences=1)
    assert "systemctl stop kiosk" in said
    said = answer("Which step is Stop?", *hits, max_sentences=1)
    assert said.startswith("| Step | Time |")


def test_a_table_behind_a_sentence_above_the_budget_is_not_quoted_with_it():
    lead = f"These glazes {'of the old potter ' * 12}are kept."
    rows = "\n".join(f"| glaze {number} | hot |" for number in range(30))
    found = passages([hit(f"{lead}\n\n| glaze | heat |\n|---|---|\n{rows}\n")])
    assert with_next_table(found, 0, 35) is None
    # The count of the rows stands behind them.
    assert with_next_table(found, 0, 70).text.endswith("| glaze 4 | hot |\n… (5/30)")
