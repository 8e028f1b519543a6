"""Rows are selected by months, comparisons, parts of values, yes or no; or nothing is computed."""

from decimal import Decimal

import pytest
from table_questions import SALES, said

from kvasir.answering.table_conditions import comparison_in, month_of, period_in, yes_of

STOCK = [
    ["Article", "Shelf", "In stock", "Supplier", "Dangerous"],
    ["Masking tape 50 mm", "K1", "40", "Ferrand & Sons", "no"],
    ["White spirit 1 l", "K2", "12", "Dolmen", "yes"],
    ["Paint roller", "K3", "25", "Dolmen", "no"],
    ["Sanding discs", "K4", "300", "Dolmen", "no"],
    ["Thinner 5 l", "K5", "6", "Ferrand & Sons", "yes"],
]
MONTHS = {
    "en": ["January", "February", "March", "April", "May", "June", "July"],
    "es": ["enero", "febrero", "marzo", "abril", "mayo", "junio", "julio"],
    "de": ["Januar", "Februar", "März", "April", "Mai", "Juni", "Juli"],
    "fr": ["janvier", "février", "mars", "avril", "mai", "juin", "juillet"],
    "zh": ["一月", "二月", "三月", "四月", "五月", "六月", "七月"],
}
HEADERS = {
    "en": ("Month", "Guests"),
    "es": ("Mes", "Huéspedes"),
    "de": ("Monat", "Gäste"),
    "fr": ("Mois", "Clients"),
    "zh": ("月份", "客人"),
}


def by_month(language):
    rows = ((month, str(10 * n)) for n, month in enumerate(MONTHS[language], 1))
    return [list(HEADERS[language]), *map(list, rows)]


def test_a_comparison_selects_the_rows_and_says_so():
    text = said("How many shops have more than 1,000 sales?", SALES)
    assert text.endswith("Computed: 2 rows with Sales > 1,000. [1]")
    assert "| North |" in text
    assert "| East |" in text
    text = said("Which shops have sales below 1,000?", SALES)
    assert "| South |" in text
    assert "with Sales < 1,000" in text
    assert "| East |" not in text
    assert said("Which shops have sales over 9,000?", SALES) is None


def test_an_adjective_says_which_column_is_compared():
    rows = [["Path", "Length (km)"], ["River", "4.5"], ["Ridge", "12"], ["Lake", "9"]]
    text = said("Which paths are longer than 8 km?", rows)
    assert "| Ridge |" in text
    assert "| Lake |" in text
    assert "| River |" not in text


@pytest.mark.parametrize(
    ("question", "language", "expected"),
    [
        ("more than 1,500 sales", "en", (">", "1500")),
        ("at most 2.5 kg", "en", ("≤", "2.5")),
        ("no more than 3 rooms", "en", ("≤", "3")),
        ("más de 1.500 ventas", "es", (">", "1500")),
        ("no más de 20", "es", ("≤", "20")),
        ("mindestens 2,5 Liter", "de", ("≥", "2.5")),
        ("länger als 10 km", "de", (">", "10")),
        ("plus de 1 500 ventes", "fr", (">", "1500")),
        ("pas plus de 4", "fr", ("≤", "4")),
        ("超过30人", "zh", (">", "30")),
        ("不到30人", "zh", ("<", "30")),
        ("more than 1.500 sales", "en", None),
        ("more than enough", "en", None),
    ],
)
def test_comparisons_are_read_if_their_number_has_one_meaning(question, language, expected):
    found, rest = comparison_in(question, language)
    assert (found and (found.sign, str(found.number).removesuffix(".0"))) == expected
    assert (rest == question) == (expected is None)
    if found:
        assert found.holds(Decimal(31)) == (found.sign in ">≥" and found.number < 31)


@pytest.mark.parametrize(
    ("question", "language", "total"),
    [
        ("How many guests were there in the first half of the year in total?", "en", 210),
        ("How many guests from February to April in total?", "en", 90),
        ("How many guests were there in total between March and May?", "en", 120),
        ("How many guests were there in the second quarter in total?", "en", 150),
        ("¿Cuántos huéspedes hubo en total en el primer semestre?", "es", 210),
        ("¿Cuántos huéspedes hubo en total de marzo a mayo?", "es", 120),
        ("Wie viele Gäste waren es insgesamt im ersten Halbjahr?", "de", 210),
        ("Wie viele Gäste waren es insgesamt von März bis Mai?", "de", 120),
        ("Combien de clients au total au premier semestre ?", "fr", 210),
        ("Combien de clients au total de mars à mai ?", "fr", 120),
        ("上半年客人总共是多少？", "zh", 210),
        ("三月到五月客人总共是多少？", "zh", 120),
    ],
)
def test_a_period_is_added_up_if_the_table_has_all_its_months(question, language, total):
    assert f"{total}" in said(question, by_month(language), language=language)
    gap = [row for row in by_month(language) if row[1] != "40"]
    assert said(question, gap, language=language) is None
    twice = [*by_month(language), by_month(language)[4]]
    assert said(question, twice, language=language) is None


def test_a_sum_over_a_period_needs_no_word_for_it():
    assert "is 210." in said("How many guests in the first half of the year?", by_month("en"))
    assert said("How many guests in the second half of the year?", by_month("en")) is None


@pytest.mark.parametrize("header", ["Water level (cm)", "Height (m)", "Price", "Temperature (°C)"])
def test_levels_of_a_period_are_not_added_up(header):
    rows = [["Month", header], ["January", "12"], ["February", "15"], ["March", "11"]]
    noun = header.partition(" (")[0].lower()
    assert said(f"What was the {noun} from January to March?", rows) is None
    assert said(f"How much was the {noun} from January to March?", rows) is None
    assert "| February |" in said(f"What was the highest {noun} from January to March?", rows)


def test_what_is_named_like_a_period_may_be_a_column():
    rows = [["Shop", "First quarter", "Second quarter"], ["North", "5", "7"], ["South", "6", "9"]]
    text = said("Which shop had the highest value in the first quarter?", rows)
    assert "| South | 6 | 9 |" in text
    assert "“First quarter”" in text


def test_a_part_of_one_value_selects_its_rows():
    text = said("How many articles does Dolmen supply?", STOCK)
    assert text.endswith("Computed: 3 rows with Supplier = Dolmen. [1]")
    text = said("How many articles does Ferrand supply?", STOCK)
    assert text.endswith("Computed: 2 rows with Supplier = Ferrand & Sons. [1]")
    assert said("How many sanding discs are in stock?", STOCK).endswith("Sanding discs: 300 [1]")
    two = [*STOCK, ["Sanding block", "K6", "4", "Dolmen", "no"]]
    assert said("What is the stock of sanding in total?", two) is None


def test_values_joined_by_and_are_both_meant():
    text = said("Total sales in Rome and Oslo?", SALES)
    assert "over 3 rows with Town = Rome / Oslo is 4,490." in text
    assert said("What are the total sales from Rome to Oslo?", SALES) is None
    assert said("What are the total sales in Rome and Paris?", SALES) is None


def test_a_column_of_yes_and_no_is_a_condition():
    text = said("How many articles are dangerous?", STOCK)
    assert text.endswith("Computed: 2 rows with Dangerous = yes. [1]")
    assert said("How many articles are not dangerous?", STOCK) is None
    assert yes_of(["ja", "nein", "ja"]) == {"ja"}
    assert yes_of(["x", "", "x"]) == {"x"}
    assert not yes_of(["yes", "maybe"])
    assert not yes_of(["yes", "yes"])


def test_rows_are_grouped_by_a_value_that_comes_more_than_once():
    text = said("Which supplier delivers the most articles?", STOCK)
    assert "by “Supplier”; the highest: Dolmen: 3 rows. [1]" in text
    text = said("Which town has the highest total sales?", SALES[:-1])
    assert "the highest: Oslo: 2,310 (Sales)" in text
    assert said("Which town has the highest sales?", SALES) is None
    assert said("Which town has the highest total sales?", SALES) is None  # one is missing


def test_a_german_compound_is_known_if_its_parts_are():
    rows = [["Artikel", "Einkauf (EUR)", "Verkauf (EUR)"], ["Tee", "2,10", "4"], ["Saft", "1", "3"]]
    text = said("Welcher Artikel hat den höchsten Einkaufspreis?", rows, language="de")
    assert "| Tee | 2,10 | 4 |" in text
    assert "„Einkauf (EUR)“" in text
    assert said("Welcher Artikel hat das höchste Einkaufsalter?", rows, language="de") is None


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("What is the average monthly cost?", "en"),
        ("¿Cuál es el coste medio mensual?", "es"),
        ("Wie hoch sind die monatlichen Kosten im Durchschnitt?", "de"),
        ("Quel est le coût mensuel moyen ?", "fr"),
    ],
)
def test_an_average_for_each_month_is_one_over_the_months(question, language):
    month, cost = {
        "en": ("Month", "Cost"),
        "es": ("Mes", "Coste"),
        "de": ("Monat", "Kosten"),
        "fr": ("Mois", "Coût"),
    }[language]
    rows = [[month, cost], *([name, str(n)] for n, name in enumerate(MONTHS[language], 2))]
    assert "5" in said(question, rows, language=language)
    assert said(question.replace("average ", ""), rows, language="en") is None or language != "en"
    assert said(question, [["Shop", cost], *rows[1:]], language=language) is None


def test_a_unit_says_what_is_measured():
    rows = [["Monat", "Eingespeist (kWh)"], ["Mai", "386"], ["Juni", "425"]]
    question = "Wie viel Strom haben wir insgesamt eingespeist?"
    assert "ist 811." in said(question, rows, language="de")


def test_folders_say_what_a_table_is_about():
    rows = [["Month", "Cost"], ["May", "10"], ["June", "20"]]
    assert "is 30." in said("Total cost of the boat?", rows, name="boat/2025/costs.csv")
    assert said("Total cost of the boat?", rows, name="costs.csv") is None


def test_months_are_known_with_and_without_a_year():
    assert [month_of(cell) for cell in ("May", "mai 2024", "Sept.", "2024年5月", "Rome")] == [
        *(5, 5, 9, 5),
        None,
    ]
    assert period_in("the first half of the bridge", "fr") == (None, "the first half of the bridge")
