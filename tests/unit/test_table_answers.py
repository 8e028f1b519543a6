"""Questions about whole tables are computed by code: right, or left to the generator."""

import random
import re
from decimal import Decimal

import pytest
from table_questions import ANALYZER, SALES, asked, found, said

from kvasir.answering.answers import Answerer
from kvasir.answering.table_answers import MOST_LISTED
from kvasir.answering.tables import UnreadableError, read_numbers, tables_at
from kvasir.components.extractors.document_builder import markdown_table
from kvasir.components.generators.extractive import ExtractiveGenerator
from kvasir.core.types import SearchRequest
from kvasir.testing.fakes import FakeEmbedder

ISSUES = [["Issue ID", "Summary"], *([str(1200 + n), f"Fault number {n}"] for n in range(31))]


def test_a_list_that_is_longer_than_its_passage_is_whole():
    hit, version = found(ISSUES, "issues.csv")
    answer = asked("List all issues", (hit, version))
    assert answer.text == f"{version.text}\n[1]"
    (citation,) = answer.citations
    assert citation.quote == version.text[citation.start : citation.end]
    assert citation.quote.count("\n") == 30


def test_rows_are_counted():
    assert said("How many issues are there?", ISSUES) == "Computed: 31 rows. [1]"
    rows = said("How many shops are there in Rome?", SALES)
    assert rows == "Computed: 2 rows with Town = Rome. [1]"
    assert said("How many towns are there?", SALES) is None  # rows, or distinct names?


def test_a_list_of_many_rows_says_how_many_there_are():
    rows = [["Issue", "State"], *([f"A{n}", "open"] for n in range(500))]
    text = said("List all issues", rows)
    assert text.count("\n| A") == MOST_LISTED
    assert text.endswith(f"\n…\n\n{MOST_LISTED} of 500 rows. [1]")


def test_the_lowest_and_the_highest_value_come_with_their_row():
    text = said("Which shop had the highest sales?", SALES)
    assert "| East | Oslo | 2,310 | 7 |" in text
    assert "Computed: the highest value of “Sales” in 4 rows (1 without a value left out)." in text
    assert "North" not in text
    assert "| South | Rome | 980 |" in said("Which shop has the fewest sales?", SALES)


def test_sums_and_averages_are_written_as_the_column_is():
    assert "over 4 rows (1 without a value left out) is 4,490." in said("Total sales?", SALES)
    assert "is 2,180." in said("What are the total sales in Rome?", SALES)
    assert "is 5.00." in said("What is the average of the returns?", SALES)
    assert "is 5.00." in said("What are the average returns per shop?", SALES)
    assert said("What are the average returns per town?", SALES) is None


def test_a_row_and_a_column_are_looked_up():
    assert said("What were the sales in Oslo?", SALES).endswith(
        "\n| East | Oslo | 2,310 | 7 |\n\nOslo: 2,310 [1]"
    )


def test_a_value_is_read_out_with_its_unit():
    rows = [
        ["Month", "Consumption (kWh)", "Cost"],
        ["July", "233", "65 GBP"],
        ["May", "241", "67 GBP"],
    ]
    assert said("What was the consumption in July?", rows).endswith("\n\nJuly: 233 kWh [1]")
    assert said("What was the cost in July?", rows).endswith("\n\nJuly: 65 GBP [1]")


@pytest.mark.parametrize(
    "question",
    [
        "What are the total sales outside Rome?",
        "What are the total sales except Rome?",
        "What are the total sales from Rome to Oslo?",
        "Which shop has the second highest sales?",
        "What are the total sales in Rome and Paris?",
        "What is the total revenue?",
        "Which town has the highest sales?",  # a town has several rows
        "How many shops have more than 1.000 sales?",  # one, or a thousand?
        "What is the highest average of sales?",
        "Which shop has the most sales and returns?",
        "Who has the highest sales in 2024?",
    ],
)
def test_what_is_not_understood_is_not_computed(question):
    assert said(question, SALES) is None


def test_a_question_in_one_language_is_not_read_in_another():
    rows = [["Month", "Cost (GBP)"], ["May", "67.48"], ["June", "61.32"]]
    assert said("How much may a hotel room cost on a business trip?", rows) is None
    assert said("Month cost hotel", rows) is None


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("十二月的水费一共是多少？", "zh"),
        ("一月的水费一共是多少？", "zh"),
        ("六月以前的水费一共是多少？", "zh"),
        ("每个月份的水费一共是多少？", "zh"),
        ("除了六月水费一共是多少？", "zh"),
    ],
)
def test_what_is_not_understood_in_chinese_is_not_computed(question, language):
    rows = [["月份", "水费（元）"], ["五月", "20"], ["六月", "30"], ["二月", "10"]]
    assert said(question, rows, language=language) is None
    assert "60" in said("水费一共是多少？", rows, language=language)
    assert "30" in said("六月的水费是多少？", rows, language=language)


def test_a_sum_for_each_of_something_is_not_computed():
    rows = [["Mes", "Gasto"], ["mayo", "20"], ["junio", "30"]]
    assert said("¿Cuál es el gasto total este mes?", rows, language="es") is None
    assert said("¿Cuál es el gasto total del mes?", rows, language="es") is None
    assert "50" in said("¿Cuál es el gasto total?", rows, language="es")


def test_a_word_that_is_also_a_value_is_not_skipped():
    rows = [["Country", "Sales"], ["US", "5"], ["IT", "7"]]
    assert "is 5." in said("What are the total sales in US?", rows)
    assert said("What are the total sales of it?", rows) is None


def test_a_total_row_is_not_added_again():
    rows = [["Month", "Cost"], ["May", "10"], ["June", "20"], ["July", "5"]]
    assert "over 3 rows is 35." in said("Total cost?", [*rows, ["Total", "35"]])
    assert "| June | 20 |" in said("Which month had the highest cost?", [*rows, ["Total", "35"]])
    for unclear in (["", "35"], ["Everything", "35"], ["Total Oil", "3"]):
        assert said("What is the total cost?", [*rows, unclear]) is None


def test_two_tables_with_different_answers_leave_the_question_open():
    first = found([["Month", "Cost"], ["May", "10"]], "a.csv")
    second = found([["Month", "Cost"], ["May", "12"]], "b.csv", first=1)
    assert asked("What is the total cost?", first, second) is None
    copy = found([["Month", "Cost"], ["May", "10"]], "b.csv", first=1)
    assert "is 10." in asked("What is the total cost?", first, copy).text
    assert "is 12." in asked("What is the total cost of b?", first, second).text


def test_a_number_in_brackets_is_no_marker():
    text = said("Which shop has the highest sales?", [["Shop", "Sales"], ["North [2]", "5"]])
    assert "North [ 2 ]" in text


@pytest.mark.parametrize(
    ("cells", "language", "expected"),
    [
        (["1,200", "2,300.50"], "", "3,500.50"),
        (["1.200", "2.300,50"], "", "3.500,50"),
        (["1 200", "2 300"], "", "3 500"),
        (["1'200.5", "10"], "", "1'210.5"),
        (["1,200", "2,300"], "en", "3,500"),
        (["1.200", "2.300"], "de", "3.500"),
        (["0.250", "1.500"], "", "1.750"),
        (["1.25", "2.5"], "de", "3.75"),
        (["-5", "−3", "n/a"], "", "-8"),
        (["€ 5", "€ 7"], "", "€ 12"),
        (["5 kWh", "7 kWh"], "", "12 kWh"),
        (["5%", "7%"], "", "12%"),
        (["5 度", "7 度"], "", "12 度"),
    ],
)
def test_numbers_are_read_in_the_one_way_in_which_they_can_be(cells, language, expected):
    text = markdown_table([["a", "b"], *([f"r{n}", cell] for n, cell in enumerate(cells))])
    (table,) = tables_at(text, 0, len(text))
    numbers = read_numbers(table, table.rows, 1, language)
    assert numbers.written(sum(filter(None, numbers.values), Decimal())) == expected


@pytest.mark.parametrize(
    ("cells", "language"),
    [
        (["1,200", "2,300"], ""),
        (["1.200", "2.300"], "en"),
        (["1.200", "2.300"], "es"),
        (["1.200,5", "2,300.5"], ""),
        (["1,23,456", "1"], "en"),
        (["5 kWh", "7 MWh"], ""),
        (["5 kWh", "7"], ""),
        (["about 5", "7"], ""),
        (["5-7", "7"], ""),
        (["5*", "7"], ""),
        (["(5)", "7"], ""),
        (["007", "8"], ""),
        (["12:30", "13:10"], ""),
        (["2024-05-01", "2024-06-01"], ""),
        (["1e5", "2"], ""),
        (["-", ""], ""),
    ],
)
def test_numbers_that_can_be_read_in_two_ways_are_not_read(cells, language):
    text = markdown_table([["a", "b"], *([f"r{n}", cell] for n, cell in enumerate(cells))])
    (table,) = tables_at(text, 0, len(text))
    with pytest.raises(UnreadableError):
        read_numbers(table, table.rows, 1, language)


def test_another_column_shows_what_a_comma_means():
    rows = [["Shop", "Sales", "Price"], ["North", "1,200", "3.50"], ["South", "2,300", "4.25"]]
    assert "is 3,500." in said("Total sales?", rows, language="")


def test_an_unreadable_column_is_refused_with_the_reason(tmp_path):
    pair = found([["Shop", "Sales"], ["North", "5 kg"], ["South", "7 t"]])

    class Finds:
        def retrieve(self, request):
            return [pair[0]]

    answer = Answerer(
        Finds(),
        ExtractiveGenerator(FakeEmbedder(), ANALYZER),
        analyzer=ANALYZER,
        embedder=FakeEmbedder(),
        find_version={"d0": pair[1]}.get,
    ).ask(SearchRequest("Which shop had the highest sales?"))
    assert answer.refused
    assert answer.citations == ()
    assert any("'Sales'" in note and "different units" in note for note in answer.notes)


PLACES = {
    language: (place, count, names.split())
    for language, place, count, names in (
        ("en", "Town", "Visitors", "Ashby Bolton Corby Derby Epsom Frome Goole Hythe"),
        ("de", "Ort", "Besucher", "Aalen Bonn Celle Dachau Emden Fulda Gera Halle"),
        ("es", "Pueblo", "Visitas", "Alba Burgos Cuenca Denia Elche Gijón Huesca Ibi"),
        ("fr", "Ville", "Visiteurs", "Albi Brest Caen Dax Évian Foix Gap Hyères"),
        ("zh", "城市", "游客数", "北京 上海 广州 成都 杭州 南京 武汉 西安"),
    )
}
QUESTIONS = {
    "en": (
        "Which town had the fewest visitors?",
        "Which town had the most visitors?",
        "How many visitors were there altogether?",
        "What is the average of visitors?",
        "How many towns are there?",
    ),
    "de": (
        "Welcher Ort hatte am wenigsten Besucher?",
        "Welcher Ort hatte die meisten Besucher?",
        "Wie viele Besucher gab es insgesamt?",
        "Wie viele Besucher waren es im Durchschnitt?",
        "Wie viele Orte gibt es?",
    ),
    "es": (
        "¿Qué pueblo tuvo menos visitas?",
        "¿Qué pueblo tuvo más visitas?",
        "¿Cuántas visitas hubo en total?",
        "¿Cuál es la media de visitas?",
        "¿Cuántos pueblos hay?",
    ),
    "fr": (
        "Quelle ville a eu le moins de visiteurs ?",
        "Quelle ville a eu le plus de visiteurs ?",
        "Combien de visiteurs au total ?",
        "Quelle est la moyenne des visiteurs ?",
        "Combien de villes y a-t-il ?",
    ),
    "zh": (
        "哪个城市的游客数最少？",
        "哪个城市的游客数最多？",
        "游客数总共是多少？",
        "平均游客数是多少？",
        "有多少个城市？",
    ),
}
FORMS = {"en": ",.", "de": ".,", "es": ".,", "fr": " ,", "zh": ",."}


def made_table(seed):
    """Make a table: its language, rows, true values by place, and whether it can be read."""
    chance = random.Random(seed)
    language = list(PLACES)[seed % 5]
    place, count, names = PLACES[language]
    thousands, point = FORMS[language]
    places = chance.choice((0, 0, 1, 2))
    unit = chance.choice(("", "", " kg", " t", "%", " €"))
    highest = chance.choice((90, 9_000, 4_000_000))
    readable = True
    values, rows = {}, []
    for name in names[: chance.randint(5, 8)]:
        value = Decimal(chance.randint(-highest // 9, highest * 10**places)).scaleb(-places)
        text = f"{value:,.{places}f}".replace(",", "T").replace(".", point).replace("T", thousands)
        if chance.random() < 0.2 and len(values) > 2:
            rows.append([name, chance.choice(("", "-", "n/a"))])
            continue
        values[name] = value
        rows.append([name, f"{text}{unit}"])
    disturbance = seed % 8
    if disturbance == 5 and unit:
        rows[1][1] = rows[1][1].replace(unit, " lb") if values.get(rows[1][0]) else "5 lb"
        readable = False
    elif disturbance == 6:
        rows[2][1] = chance.choice(("about 50", "12-15", "see note", "3/4", "2024-01-05"))
        readable = False
    elif disturbance == 7:
        total = {"en": "Total", "de": "Summe", "es": "Total", "fr": "Total", "zh": "合计"}
        text = f"{sum(values.values()):,.{places}f}".replace(",", "T").replace(".", point)
        rows.append([total[language], text.replace("T", thousands) + unit])
    return language, [[place, count], *rows], values, readable


def number_in(text, language):
    thousands, point = FORMS[language]
    shown = re.findall(r"-?\d[\d., ]*", text.rsplit("[1]", 1)[0])[-1].rstrip("., ")
    return Decimal(shown.replace(thousands, "").replace(point, "."))


def test_forty_tables_are_computed_right_or_not_at_all():
    answered = refused = 0
    for seed in range(40):
        language, rows, values, readable = made_table(seed)
        data = len([row for row in rows[1:] if row[0] in PLACES[language][2]])
        least, most, total, average, count = (
            said(question, rows, language=language) for question in QUESTIONS[language]
        )
        computed = [least, most, total, average]
        if not readable:
            assert not any(computed), (seed, computed)
        for text, best in ((least, min(values.values())), (most, max(values.values()))):
            if text:
                quoted = {name for name in PLACES[language][2] if f"| {name} |" in text}
                assert quoted == {n for n, value in values.items() if value == best}, (seed, text)
        if total:
            assert number_in(total, language) == sum(values.values()), (seed, total)
        if average:
            mean = sum(values.values()) / len(values)
            assert abs(number_in(average, language) - mean) < Decimal("0.01"), (seed, average)
        if count:
            assert re.search(rf"\b{data} |{data}行", count), (seed, count)
        answered += sum(map(bool, (*computed, count)))
        refused += sum(not text for text in computed)
    assert answered >= 130, (answered, refused)


BLOOD = [["Group", "Donors"], ["O+", "38"], ["O-", "7"], ["A+", "34"], ["AB", "3"]]
SKILLS = [
    ["Language", "Course", "Hours"],
    ["C", "beginners", "10"],
    ["C++", "beginners II", "20"],
    ["C#", "St. John", "30"],
    ["C++/C#", "5-8", "40"],
]
AGED = [["Age group", "Members"], ["<18", "5"], ["18+", "50"], ["65+", "9"]]
TYPED = [["血型", "人数"], ["O+", "38"], ["O-", "7"]]


@pytest.mark.parametrize(
    ("question", "rows", "language", "value"),
    [
        ("How many donors are there in group O-?", BLOOD, "en", "O-: 7"),
        ("How many donors are there in group O+?", BLOOD, "en", "O+: 38"),
        ("How many donors has AB?", BLOOD, "en", "AB: 3"),
        ("What is the number of donors for A+?", BLOOD, "en", "A+: 34"),
        ("How many hours of C?", SKILLS, "en", "C: 10"),
        ("How many hours of C++?", SKILLS, "en", "C++: 20"),
        ("How many hours of C#?", SKILLS, "en", "C#: 30"),
        ("How many hours of St John?", SKILLS, "en", "St. John: 30"),
        ("How many members are <18?", AGED, "en", "<18: 5"),
        ("How many members are 65+?", AGED, "en", "65+: 9"),
        ("O-的人数是多少？", TYPED, "zh", "O-: 7"),
    ],
)
def test_a_value_is_selected_by_its_signs(question, rows, language, value):
    assert said(question, rows, language=language).endswith(f"\n{value} [1]")


@pytest.mark.parametrize(
    ("question", "rows", "language"),
    [
        ("How many donors are there in group O?", BLOOD, "en"),
        ("How many donors are there in group A?", BLOOD, "en"),
        ("How many donors are there in group A-?", BLOOD, "en"),
        ("How many donors are there in group AB+?", BLOOD, "en"),
        ("How many hours of C+?", SKILLS, "en"),
        ("How many hours of 5.8?", SKILLS, "en"),
        ("How many members are 18?", AGED, "en"),
        ("How many members are 65?", AGED, "en"),
        ("O的人数是多少？", TYPED, "zh"),
    ],
)
def test_a_value_with_other_signs_is_not_taken_for_it(question, rows, language):
    assert said(question, rows, language=language) is None


@pytest.mark.parametrize(
    ("header", "value", "shown"),
    [
        ("Population (2021)", "2873000", "2873000"),
        ("Population (millions)", "2.87", "2.87 millions"),
        ("Population (estimate)", "2873000", "2873000"),
        ("Population [per km²]", "2232", "2232 per km²"),
        ("Population （万人）", "287", "287 万人"),
        ("Population (people/km²)", "2232", "2232 people/km²"),
        ("Population (in thousands)", "2232", "2232 thousands"),
        ("Population (in millions)", "2232", "2232 millions"),
        ("Population (July 2021)", "2232", "2232"),
        ("Population (31.12.2023)", "2232", "2232"),
        ("Population (2021/22)", "2232", "2232"),
        ("Population (2021, in thousands)", "2232", "2232 thousands"),
        ("Population (2021年底)", "2232", "2232"),
        ("Population (Q1 2021)", "2232", "2232"),
        ("Population (netto, ohne MwSt.)", "2232", "2232"),
        ("Population (excl. VAT)", "2232", "2232"),
        ("Population (estimación)", "2232", "2232"),
        ("Population (provisoire)", "2232", "2232"),
        ("Population (ước tính)", "2232", "2232"),
        ("Population (EUR, net)", "2232", "2232 EUR"),
        ("Population (1)", "2232", "2232"),
        ("Population (1,000)", "2232", "2232 1,000"),
        ("Population (%)", "5%", "5%"),
    ],
)
def test_what_is_in_brackets_in_a_header_is_written_if_it_is_a_unit(header, value, shown):
    rows = [["Town", header], ["Rome", value], ["Oslo", value]]
    text = said("What is the population in Rome?", rows)
    assert text.endswith(f"\n\nRome: {shown} [1]")


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "million EUR",
            "Mio. €",
            "Mio. EUR",
            "$ million",
            "USD million",
            "€m",
            "k€",
            "T€",
            "TEUR",
        ),
        *("l/100 km", "sq km", "kWh/m²a", "centimetres", "cubic metres", "hp", "kgs", "inch", "in"),
    ],
)
def test_a_multiplier_or_unit_of_several_words_is_written(unit):
    rows = [["Year", f"Revenue ({unit})"], ["2022", "280"], ["2023", "310"]]
    text = said("What was the revenue in 2022?", rows)
    assert text.endswith(f"\n\n2022: 280 {unit} [1]")


@pytest.mark.parametrize("sign", "/-–−")
def test_a_season_is_found_with_each_sign_between_its_years(sign):
    rows = [["Season", "Points"], ["2022/23", "61"], ["2023/24", "70"]]
    text = said(f"How many points were there in season 2023{sign}24?", rows)
    assert text is not None and "70" in text


def test_groups_are_the_same_in_every_case_and_a_gap_is_none():
    rows = [["Order", "City"], ["1", "Rome"], ["2", "Oslo"], ["3", "rome"], ["4", "Oslo"]]
    assert "Rome: 3 rows." in said("Which city comes most often?", [*rows, ["5", "ROME"]])
    for gap in ("-", "n/a", "暂无", ""):
        assert said("Which city comes most often?", [*rows, ["5", gap], ["6", gap]]) is None


def test_a_header_may_have_braces():
    rows = [["City", "Sales {net}"], ["Rome", "5"], ["Oslo", "7"], ["Rome", "6"]]
    assert "Rome: 11 (Sales {net})." in said("Which city has the highest total sales?", rows)


def test_rows_beyond_what_one_citation_quotes_are_in_the_next_one():
    rows = [["Issue", "Text"], *([f"A{n}", f"{n} {'word ' * 60}"] for n in range(150))]
    hit, version = found(rows, "issues.csv")
    answer = asked("List all issues", (hit, version))
    quoted = "".join(citation.quote for citation in answer.citations)
    assert len(answer.citations) > 1
    assert all(f"| A{n} |" in quoted for n in range(150))
