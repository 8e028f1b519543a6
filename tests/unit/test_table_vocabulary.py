"""Questions name columns and rows by verbs, dates and other words; or nothing is computed."""

import pytest
from table_questions import said

from kvasir.answering.table_dates import Day, dates_of, day_in

RIDES = [
    ["Date", "Route", "Distance (km)", "Climb (m)", "Duration (min)", "Weather"],
    ["2026-03-01", "Canal path", "24.5", "60", "72", "cloudy"],
    ["2026-03-08", "Moor loop", "48.2", "720", "168", "rain"],
    ["2026-03-14", "Canal path", "24.5", "60", "69", "sunny"],
    ["2026-04-05", "Moor loop", "47.9", "715", "161", "sunny"],
    ["2026-04-11", "Old railway", "36.4", "95", "", "cloudy"],
]
INVOICES = [
    ["Invoice", "Customer", "Issued", "Due", "Net (£)", "VAT (£)", "Status"],
    ["F-301", "Penrose Bakery", "2026-01-12", "2026-02-11", "1,240.00", "248.00", "paid"],
    ["F-302", "Tidewater Yoga", "2026-01-30", "2026-03-01", "385.50", "77.10", "paid"],
    ["F-303", "Penrose Bakery", "2026-02-16", "2026-03-18", "2,105.00", "421.00", "open"],
    ["F-305", "Quarry Dental", "2026-03-20", "2026-04-19", "3,480.00", "696.00", "open"],
]
STAFF = [
    ["Name", "Role", "Office", "Extension", "Hours per week", "Start year"],
    ["Ines Falk", "Accountant", "B2", "4417", "30", "2015"],
    ["Peter Quill", "Caretaker", "G1", "4402", "38", "2009"],
    ["Mara Osei", "Librarian", "B4", "4431", "20", "2019"],
    ["Tom Harrow", "Librarian", "B4", "4432", "35", "2021"],
]
VANS = [
    ["Monat", "Fahrzeug", "Kilometer", "Kosten (€)", "Werkstatt"],
    ["Januar", "Transporter", "1.840", "268,94", "nein"],
    ["Januar", "Kombi", "1.120", "114,75", "nein"],
    ["März", "Transporter", "2.430", "346,97", "nein"],
    ["März", "Kombi", "", "134,13", "ja"],
]
FLAT = [
    ["Fecha", "Concepto", "Categoría", "Importe (€)", "Pagado por"],
    ["03/02/2026", "Alquiler febrero", "Vivienda", "850,00", "Lucía"],
    ["15/02/2026", "Luz", "Suministros", "71,20", "Lucía"],
    ["21/02/2026", "Frutería", "Comida", "18,90", "Marta"],
    ["11/03/2026", "Supermercado", "Comida", "92,10", "Marta"],
    ["27/03/2026", "Cena de cumpleaños", "Ocio", "120,50", "Marta"],
]
SHOP = [
    ["Produit", "Rayon", "Quantité", "Prix unitaire (€)", "Recette (€)", "Fournisseur"],
    ["Miel", "Épicerie", "18", "9,50", "171,00", "Rucher"],
    ["Tomme", "Fromages", "25", "16,20", "405,00", "Lapeyre"],
    ["Savon", "Hygiène", "60", "3,90", "234,00", "Atelier"],
    ["Jus", "Boissons", "75", "3,20", "240,00", "Vidal"],
    ["Cidre", "Boissons", "33", "5,10", "168,30", "Vidal"],
]
CUPS = [
    ["月份", "产品", "销量（件）", "单价（元）", "销售额（元）"],
    ["一月", "保温杯", "120", "59", "7080"],
    ["一月", "雨伞", "85", "39", "3315"],
    ["三月", "保温杯", "75", "62", "4650"],
    ["三月", "雨伞", "210", "36", "7560"],
]

BOOKS = [
    ["Title", "Author", "Genre", "Pages", "Borrowed on", "Borrower"],
    ["Dune", "Herbert", "sci-fi", "412", "2026-02-03", "Anna"],
    ["Emma", "Austen", "novel", "474", "2026-02-10", "Ben"],
    ["Solaris", "Lem", "sci-fi", "204", "2026-03-01", "Anna"],
]
COURSES = [
    ["Kurs", "Trainer", "Tag", "Teilnehmer", "Beitrag (€)"],
    ["Yoga", "Mia", "Montag", "14", "12,00"],
    ["Pilates", "Mia", "Mittwoch", "9", "11,00"],
    ["Boxen", "Omar", "Montag", "11", "15,00"],
]
PAY = [
    ["姓名", "部门", "工资（元）", "入职日期"],
    ["张伟", "销售", "8200", "2021-03-01"],
    ["李娜", "技术", "12500", "2019-07-15"],
    ["王芳", "技术", "11800", "2022-01-10"],
]


@pytest.mark.parametrize(
    ("question", "rows", "language", "expected"),
    [
        ("How far did I ride in all?", RIDES, "en", "is 181.5."),
        ("How many rides did I do in April?", RIDES, "en", "2 rows with Date = April."),
        ("How many kilometres did I ride in March?", RIDES, "en", "Date = March is 97.2."),
        ("How often did I ride the Canal path?", RIDES, "en", "2 rows with Route = Canal path."),
        ("How many rides were longer than 40 km?", RIDES, "en", "2 rows with Distance (km) > 40."),
        ("How long did the Moor loop take on 5 April?", RIDES, "en", "Moor loop: 161 min"),
        ("On which day did I climb the most?", RIDES, "en", "| 2026-03-08 |"),
        ("What is the average distance of a ride?", RIDES, "en", "is 36.300."),
        ("How many invoices are still open?", INVOICES, "en", "2 rows with Status = open."),
        ("Which invoices are unpaid?", INVOICES, "en", "| F-303 |"),
        ("Which invoices are due in March?", INVOICES, "en", "| F-302 |"),
        ("What is the largest invoice?", INVOICES, "en", "| F-305 |"),
        ("How much did Penrose Bakery get invoiced net?", INVOICES, "en", "is 3,345.00."),
        (
            "What is the difference between the net amounts of F-305 and F-303?",
            INVOICES,
            "en",
            "the difference in “Net (£)” is 1,375.00.",
        ),
        ("Who works the fewest hours?", STAFF, "en", "| Mara Osei |"),
        ("How many librarians do we have?", STAFF, "en", "2 rows with Role = Librarian."),
        ("How many people sit in office B4?", STAFF, "en", "2 rows with Office = B4."),
        ("Who works in B2?", STAFF, "en", "| Ines Falk |"),
        ("Wie viele Kilometer ist der Transporter gefahren?", VANS, "de", "ist 4.270."),
        ("Welches Fahrzeug hat mehr gekostet?", VANS, "de", "am höchsten: Transporter: 615,91"),
        ("Wann war der Kombi in der Werkstatt?", VANS, "de", "| März | Kombi |"),
        ("Wie oft war der Kombi in der Werkstatt?", VANS, "de", "Berechnet: 1 Zeile mit"),
        ("¿Cuánto gastamos en marzo?", FLAT, "es", "con Fecha = marzo es 212,60."),
        ("¿Cuánto nos hemos gastado en comida?", FLAT, "es", "es 111,00."),
        ("¿Cuál fue el gasto más pequeño?", FLAT, "es", "| 18,90 |"),
        ("¿Quién pagó más veces?", FLAT, "es", "el mayor: Marta: 3 filas."),
        ("¿Quién pagó la luz?", FLAT, "es", "| Lucía |"),
        ("Quel produit s'est le mieux vendu ?", SHOP, "fr", "| Jus |"),
        ("Quel produit rapporte le plus ?", SHOP, "fr", "| Tomme |"),
        ("Quelle est la recette totale des boissons ?", SHOP, "fr", "est 408,30."),
        ("Quels produits coûtent plus de 5 euros ?", SHOP, "fr", "3 lignes avec Prix unitaire"),
        ("雨伞一共卖了多少把？", CUPS, "zh", "总和为 295。"),
        ("哪个月保温杯卖得最多？", CUPS, "zh", "| 一月 | 保温杯 |"),
        ("保温杯平均每月卖多少个？", CUPS, "zh", "平均值为 97.50。"),
        ("How many books did Anna borrow?", BOOKS, "en", "2 rows with Borrower = Anna."),
        ("How many books were borrowed in February?", BOOKS, "en", "2 rows with Borrowed on"),
        ("Who wrote Solaris?", BOOKS, "en", "| Lem |"),
        ("Which books are sci-fi?", BOOKS, "en", "| Dune |"),
        ("Wie viele Kurse gibt Mia?", COURSES, "de", "2 Zeilen mit Trainer = Mia."),
        ("Welche Kurse sind am Montag?", COURSES, "de", "| Boxen |"),
        ("Welcher Kurs ist am billigsten?", COURSES, "de", "| Pilates |"),
        (
            "Wie viele Kurse kosten mehr als 11 Euro?",
            COURSES,
            "de",
            "2 Zeilen mit Beitrag (€) > 11",
        ),
        ("Was kosten Yoga und Pilates zusammen?", COURSES, "de", "ist 23,00."),
        ("谁的工资最高？", PAY, "zh", "| 李娜 |"),
        ("技术部门有几个人？", PAY, "zh", "2 行（部门 = 技术）。"),
        ("工资超过8000的有几个人？", PAY, "zh", "3 行（工资（元） > 8000）。"),
        ("张伟什么时候入职？", PAY, "zh", "| 2021-03-01 |"),
        ("哪种产品销售额更高？", CUPS, "zh", "最多：保温杯: 11730"),
    ],
)
def test_a_question_need_not_use_the_words_of_a_table(question, rows, language, expected):
    assert expected in (said(question, rows, language=language) or "")


@pytest.mark.parametrize(
    ("question", "rows", "language"),
    [
        ("How many students sit in office B4?", STAFF, "en"),
        ("How many hours do the librarians work?", STAFF, "en"),  # per week
        ("What is a librarian?", STAFF, "en"),
        ("How much does a librarian cost?", STAFF, "en"),
        ("How many rides were cancelled in April?", RIDES, "en"),
        ("How many kilometres did Bob ride in March?", RIDES, "en"),
        ("How many kilometres did I ride in June?", RIDES, "en"),
        ("How many kilometres did I ride before April?", RIDES, "en"),
        ("How many kilometres did I ride per week in March?", RIDES, "en"),
        ("How many kilometres is the Canal path?", RIDES, "en"),  # not those of two rides
        ("When did I last ride the Canal path?", RIDES, "en"),
        ("What was my longest ride?", RIDES, "en"),  # by distance, or by duration?
        ("How many invoices did Penrose Bakery pay?", INVOICES, "en"),  # those that are "paid"?
        ("What is the sum of all open invoices?", INVOICES, "en"),  # net, or tax?
        ("Which invoices are from March?", INVOICES, "en"),  # issued, or due?
        ("How many invoices are overdue?", INVOICES, "en"),
        ("Wie viele Kilometer fuhr der Kombi im März?", VANS, "de"),  # a gap
        ("Was kostet der Transporter?", VANS, "de"),
        ("¿Cuánto debe Marta a Lucía?", FLAT, "es"),
        ("¿Cuánto gastamos el año pasado?", FLAT, "es"),
        ("Which book is the longest?", BOOKS, "en"),
        ("How many pages did Ben read?", BOOKS, "en"),
        ("When was Emma returned?", BOOKS, "en"),
        ("Wie viele Männer machen Yoga?", COURSES, "de"),
        ("谁的年龄最大？", PAY, "zh"),
        ("张伟的电话是多少？", PAY, "zh"),
        ("去年入职的有几个人？", PAY, "zh"),
        ("本月的销售额是多少？", CUPS, "zh"),
        ("去年一共赚了多少钱？", CUPS, "zh"),
        ("五月雨伞卖了多少？", CUPS, "zh"),
    ],
)
def test_a_word_that_no_column_explains_leaves_the_question_open(question, rows, language):
    assert said(question, rows, language=language) is None


def test_a_month_that_two_years_have_selects_nothing():
    rows = [*RIDES, ["2025-04-02", "Canal path", "24.5", "60", "70", "rain"]]
    assert said("How many rides did I do in April?", rows) is None
    assert "2 rows" in said("How many rides did I do in April 2026?", rows)


def test_a_question_in_chinese_is_not_read_word_by_word():
    rows = [["体系", "名称", "子体系"], ["A", "mips", "x"], ["A", "mips", "y"], ["B", "i386", "z"]]
    text = said("mips 一共有几个子体系？", rows, language="zh")
    assert text == "计算得出：2 行（名称 = mips）。 [1]"


def test_what_came_in_is_not_what_was_spent():
    rows = [["Month", "Amount (€)"], ["May", "20"], ["June", "30"]]
    question = "How much did we spend in total?"
    assert "is 50." in said(question, rows, name="club.csv")
    assert said(question, rows, name="donations.csv") is None
    assert said(question.replace("spend", "earn"), rows, name="expenses.csv") is None


CASH = [
    ["Date", "Description", "Type", "Amount (€)"],
    ["2026-03-01", "Paint", "Expense", "100"],
    ["2026-03-08", "Membership fees", "Income", "200"],
    ["2026-03-09", "Nails", "Expense", "20"],
    ["2026-04-02", "Glue", "Expense", "5"],
    ["2026-04-03", "Tape", "Expense", "4"],
]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How much did we spend in March?", None),
        ("How much did we spend in total?", None),
        ("How much did we earn in March?", None),
        ("How much did we spend in April?", "is 9."),
    ],
)
def test_money_of_both_sides_is_not_added_up(question, expected):
    signed = [
        [date, name, f"{'' if kind == 'Income' else '-'}{amount}"]
        for date, name, kind, amount in CASH[1:]
    ]
    text = said(question, CASH)
    assert expected in text if expected else text is None
    if expected is None:
        assert said(question, [["Date", "Description", "Amount (€)"], *signed]) is None


def test_a_column_that_is_named_for_one_side_may_have_both_signs():
    rows = [["Date", "Shop", "Sales (€)"], ["2026-03-01", "A", "20"], ["2026-03-02", "B", "-5"]]
    assert "is 15." in said("What are the total sales?", rows)


@pytest.mark.parametrize(
    "question",
    [
        "How far did I ride from March on?",
        "How much did I ride from March?",
        "How many rides did I do from 8 March on?",
    ],
)
def test_a_month_and_all_that_follows_it_are_not_the_month(question):
    assert said(question, RIDES) is None


RENT = [
    ["Date", "Libellé", "Montant (€)", "Payé par"],
    ["2026-03-01", "Loyer", "850", "Luc"],
    ["2026-03-05", "Eau", "20", "Zoé"],
    ["2026-04-05", "Eau", "25", "Luc"],
]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Combien avons-nous dépensé en mars ?", "est 870."),
        ("Combien avons-nous de dépenses en mars ?", "2 lignes avec Date = mars."),
        ("Combien de dépenses y a-t-il en mars ?", "2 lignes avec Date = mars."),
        ("Combien Luc a payé ?", "est 875."),
        ("Combien de fois Luc a payé ?", "2 lignes avec Payé par = Luc."),
    ],
)
def test_how_many_and_how_much_are_one_word_in_french(question, expected):
    assert expected in said(question, RENT, language="fr")


@pytest.mark.parametrize("name", ["Jan", "Jan Meyer"])
def test_a_name_that_is_also_a_month_is_not_taken_for_one(name):
    rows = [["Date", "Name", "Amount (€)"], ["2026-01-03", "Eva", "5"], ["2026-02-03", name, "20"]]
    assert said("How much did Jan pay?", rows) is None
    assert "5" in said("How much did we pay in January?", rows)


def test_what_is_counted_is_not_the_sum_of_another_column():
    rows = [["Date", "Rain (mm)"], ["2026-03-01", "2"], ["2026-03-02", "0"]]
    assert said("How many days did it rain in March?", rows) is None
    assert "is 2." in said("How much did it rain in March?", rows)


def test_numbers_of_rows_are_no_values():
    rows = [
        ["Order", "Date", "Customer", "Total (€)", "Delivered"],
        ["1001", "2026-03-01", "A Ltd", "30", "yes"],
        ["1002", "2026-03-04", "B Ltd", "10", "no"],
        ["1003", "2026-04-04", "A Ltd", "20", "no"],
    ]
    for question in ("How many orders were delivered?", "How many orders are from April?"):
        assert "Computed: 1 row" in said(question, rows)
    assert "| 1001 |" in said("What is the largest order?", rows)


def test_how_often_something_is_due_is_no_number_of_rows():
    rows = [["Part", "Interval (months)"], ["Air filter", "3"], ["Belt", "24"]]
    assert said("How often did we replace the belt?", rows, name="replaced.csv") is None
    rows = [["Part", "Months", "Machine"], ["Belt", "3", "A"], ["Belt", "24", "B"]]
    assert said("How often is the belt replaced?", rows, name="replaced.csv") is None
    assert "2 rows" in said("How often was the belt replaced?", rows, name="replaced.csv")


def test_only_what_is_still_to_come_is_the_opposite_of_done():
    rows = [["Invoice", "Net (£)", "Status"], ["F1", "10", "paid"], ["F2", "20", "refunded"]]
    assert said("Which invoices are unpaid?", rows) is None
    rows[-1][-1] = "pending"
    assert "| F2 |" in said("Which invoices are unpaid?", rows)


def test_a_unit_that_two_columns_share_names_neither():
    rows = [["Item", "Bought (€)", "Sold (€)"], ["Tea", "2", "5"], ["Jam", "3", "4"]]
    assert said("How many euros in total?", rows) is None
    assert "is 9." in said("How many euros were sold in total?", rows)


@pytest.mark.parametrize(
    ("cells", "language", "expected"),
    [
        (["2026-03-01", ""], "", [(2026, 3, 1), None]),
        (["03.04.2026"], "de", [(2026, 4, 3)]),
        (["3/4/2026"], "es", [(2026, 4, 3)]),
        (["3/4/2026", "25/4/2026"], "en", [(2026, 4, 3), (2026, 4, 25)]),
        (["3/4/2026", "3/25/2026"], "en", [(2026, 3, 4), (2026, 3, 25)]),
        (["5 April 2026", "April 6, 2026"], "en", [(2026, 4, 5), (2026, 4, 6)]),
        (["2026年4月5日"], "zh", [(2026, 4, 5)]),
        (["3/4/2026"], "en", None),  # April or March?
        (["25/4/2026", "4/25/2026"], "en", None),
        (["2026-03-01", "soon"], "en", None),
        (["2026-13-01"], "en", None),
        (["", "-"], "en", None),
    ],
)
def test_a_column_of_dates_is_read_in_the_one_way_in_which_it_can_be(cells, language, expected):
    found = dates_of(cells, language)
    read = found and [day and (day.year, day.month, day.day) for day in found]
    assert read == expected


@pytest.mark.parametrize(
    ("question", "language", "expected"),
    [
        ("on 5 April", "en", Day(None, 4, 5, "5 April")),
        ("on April 5th, 2026", "en", Day(2026, 4, 5, "April 5th, 2026")),
        ("in April 2026", "en", Day(2026, 4, None, "April 2026")),
        ("am 3. März", "de", Day(None, 3, 3, "3. März")),
        ("el 3 de marzo de 2026", "es", Day(2026, 3, 3, "3 de marzo de 2026")),
        ("le 1er mars", "fr", Day(None, 3, 1, "1er mars")),
        ("4月5日", "zh", Day(None, 4, 5, "4月5日")),
        ("三月", "zh", Day(None, 3, None, "三月")),
        ("in March or April", "en", None),
        ("how much may it cost", "en", None),
        ("on 32 April", "en", None),
    ],
)
def test_a_question_names_one_day_or_month(question, language, expected):
    day, rest = day_in(question, language)
    assert day == expected
    assert (rest == question) == (expected is None)
