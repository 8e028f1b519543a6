"""The extractive generator quotes what the kind of question asks for."""

from dataclasses import replace

import pytest
from quoted_answers import answer, hit

from kvasir.language.detect import detect
from kvasir.language.list_questions import listed_thing
from kvasir.language.polarity import asks_what_may, is_opposite
from kvasir.language.question_kinds import (
    QuestionKind,
    asks_for_option,
    compares_all,
    parts_of,
    question_kind,
)
from kvasir.language.question_sides import (
    defines,
    described_by,
    distinct_parts,
    is_definition,
    is_entry,
    sides_of,
    term_of,
)
from kvasir.language.question_values import announces_a_number, holds_what_is_asked


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How do I change the filter?", QuestionKind.HOW_TO),
        ("¿Cómo descalcifico la cafetera?", QuestionKind.HOW_TO),
        ("Wie fülle ich Salz in den Geschirrspüler?", QuestionKind.HOW_TO),
        ("Comment changer le filtre ?", QuestionKind.HOW_TO),
        ("怎么删掉不用的旧内核？", QuestionKind.HOW_TO),
        ("What is the right way to switch it off?", QuestionKind.HOW_TO),
        ("¿Cuál es la mejor forma de apagarlo?", QuestionKind.HOW_TO),
        ("¿De qué manera se apaga?", QuestionKind.HOW_TO),
        ("Auf welche Weise schaltet man es aus?", QuestionKind.HOW_TO),
        ("Quelle est la bonne façon de l'éteindre ?", QuestionKind.HOW_TO),
        ("¿Cuál es la forma de la Tierra?", None),
        ("¿Cuál es la forma jurídica de la empresa?", None),
        ("¿De qué forma es la hoja del roble?", None),
        ("What is the way to the station called?", QuestionKind.DEFINITION),
        ("有什么办法关掉它？", QuestionKind.HOW_TO),
        ("Which tools are shipped?", QuestionKind.LIST),
        ("Which password authentication methods does it have?", QuestionKind.LIST),
        ("How often is it fed?", QuestionKind.HOW_OFTEN),
        ("¿Con qué frecuencia se limpia?", QuestionKind.HOW_OFTEN),
        ("Wie oft wird es gereinigt?", QuestionKind.HOW_OFTEN),
        ("滤网多久清洗一次？", QuestionKind.HOW_OFTEN),
        ("How hot does it get?", QuestionKind.HOW_MANY),
        ("Welche Programme gibt es?", QuestionKind.LIST),
        ("¿Qué acciones no se pueden deshacer?", QuestionKind.LIST),
        ("Quelles distributions existent ?", QuestionKind.LIST),
        ("有哪些分区工具？", QuestionKind.LIST),
        ("What is a fender?", QuestionKind.DEFINITION),
        ("Was ist UEFI?", QuestionKind.DEFINITION),
        ("¿Qué es un lungo?", QuestionKind.DEFINITION),
        ("Qu'est-ce que le vidage ?", QuestionKind.DEFINITION),
        ("什么是虚拟软件包？", QuestionKind.DEFINITION),
        ("What is the difference between a and b?", QuestionKind.DIFFERENCE),
        ("When does the shop open?", QuestionKind.WHEN),
        ("Wann findet die Sitzung statt?", QuestionKind.WHEN),
        ("How many days are there?", QuestionKind.HOW_MANY),
        ("Combien de jours ?", QuestionKind.HOW_MANY),
        ("Who has the key?", QuestionKind.WHO),
        ("谁有钥匙？", QuestionKind.WHO),
        ("Why does it rain?", QuestionKind.WHY),
        ("Warum regnet es?", QuestionKind.WHY),
        ("为什么下雨？", QuestionKind.WHY),
        ("Which command adds a user?", QuestionKind.HOW_TO),
        ("Quelle commande ajoute un utilisateur ?", QuestionKind.HOW_TO),
        ("Aus welchen Teilen besteht eine Mail?", QuestionKind.LIST),
        ("What can the option be set to?", QuestionKind.LIST),
        ("What are the parts of a mail?", QuestionKind.LIST),
        ("What are the storage classes of the engine?", QuestionKind.LIST),
        ("Was sind die Teile einer Mail?", QuestionKind.LIST),
        ("What are fenders?", QuestionKind.DEFINITION),
        ("In what order are they run when a row is deleted?", QuestionKind.LIST),
        ("In welcher Reihenfolge wird geprüft?", QuestionKind.LIST),
        ("¿En qué formatos se guarda?", QuestionKind.LIST),
        ("À quels formats peut-on exporter ?", QuestionKind.LIST),
        ("What does WAL stand for?", QuestionKind.DEFINITION),
        ("What are foreign keys?", QuestionKind.DEFINITION),
        ("Que veut dire PAM ?", QuestionKind.DEFINITION),
        ("htcacheclean : -a ou -A ?", QuestionKind.DIFFERENCE),
        ("PAM 和 NSS 各管什么？", QuestionKind.DIFFERENCE),
        ("Why is it slow when the list is long?", QuestionKind.WHY),
        ("Does it rain?", None),
    ],
)
def test_the_kind_of_a_question_is_seen_in_its_words(question, kind):
    assert question_kind(question) is kind


@pytest.mark.parametrize(
    ("question", "count"),
    [
        ("Who plays the piano, and what do we pay?", 2),
        ("Was kostet der Umzug, und wie groß ist der Lastwagen?", 2),
        ("¿Qué teclas deshacen y cuáles rehacen en GIMP?", 2),
        ("培训的讲师是谁，每人收费多少？", 2),
        ("Who plays the piano and the organ?", 1),
    ],
)
def test_several_questions_in_one_are_told_apart(question, count):
    assert len(parts_of(question)) == count


def test_a_short_sentence_may_say_how_many_things_there_are():
    assert announces_a_number("Mail has three parts.")
    assert announces_a_number("e-mail 系统共有三个主要的组成功能。")
    assert announces_a_number("There are 3 of them.")
    assert not announces_a_number("My bike is a Brompton M6L.")
    assert not announces_a_number("It was sold in 1998.")


def test_several_questions_in_one_are_all_answered():
    text = (
        "The piano of the choir is played by Kenji. The piano is old. The piano is black.\n\n"
        "The secretary has ordered the flowers; the bill is paid by Priya."
    )
    said = answer("Who plays the piano, and who pays the bill?", hit(text))
    assert "Kenji" in said
    assert "Priya" in said


@pytest.mark.parametrize(
    ("question", "term"),
    [
        ("What is a fender?", "fender"),
        ("define window function", "window function"),
        ("What does type affinity of a column mean in SQLite?", "type affinity of a column"),
        ("Was ist UEFI?", "UEFI"),
        ("conffile 是什么？", "conffile"),
    ],
)
def test_the_term_of_a_definition_is_read_from_the_question(question, term):
    assert term_of(question).strip() == term


def test_a_definition_begins_with_its_term():
    assert is_definition("A fender is a cushion.", "fender", "en")
    assert is_definition("- fender: a cushion", "fender", "en")
    assert is_definition("UEFI (Unified Interface) ist eine Firmware.", "UEFI", "de")
    assert is_definition("虚拟软件包是一个名称。", "虚拟软件包", "zh")
    assert not is_definition("Many ships have a fender.", "fender", "en")
    assert not is_definition("A fender of rope is a cushion.", "fender", "en")


def test_a_definition_comes_first():
    text = (
        "On a ship with a fender, the fender and the fender rope need care. "
        "A fender is a cushion that keeps a ship off the quay."
    )
    assert answer("What is a fender?", hit(text), max_sentences=1).startswith("A fender is")


STEPS = (
    "1. Open the lower door.\n2. Take out the grey filter. Rinse it.\n3. Press FEED for 3 seconds."
)


def test_steps_are_quoted_whole():
    text = f"The printer is grey.\n\n{STEPS}\n\nThe guarantee is two years."
    assert answer("How do I change the filter?", hit(text), max_sentences=1) == f"{STEPS}\n[1]"


def test_a_command_comes_with_the_sentence_that_leads_to_it():
    code = "```\nhtpasswd -c passwords\n```"
    text = f"Apache is a server.\n\nThe tool makes a file of passwords:\n\n{code}\n\nIt is small."
    said = answer("How do I make a file of passwords?", hit(text), max_sentences=1)
    assert said == f"The tool makes a file of passwords:\n\n{code}\n[1]"


def test_a_list_that_is_asked_for_is_whole_or_says_how_much_of_it_is_there():
    items = "\n".join(f"- tool number {n} of the system" for n in range(31))
    text = f"These tools are shipped:\n\n{items}"
    assert answer("Which tools are shipped?", hit(text)).endswith("number 30 of the system\n[1]")
    said = answer("Which tools are shipped?", hit(text), max_words=10)
    assert said.endswith("- tool number 4 of the system\n… (5/31)\n[1]")


def test_a_question_how_is_answered_with_the_whole_passage():
    text = "Open the lower door. Then take out the grey filter. Do not lose the ring."
    other = hit("The filter of the car is changed by the garage.", 1, 0.5)
    said = answer("How do I change the grey filter?", hit(text), other, max_sentences=1)
    assert said == f"{text} [1]"


def test_both_questions_in_one_are_answered_from_the_whole_passage():
    text = (
        "The removal is on 23 August. Three men come with a lorry. The fixed price is 1,860 euros."
    )
    said = answer("When is the removal, and what must we pay?", hit(text), max_sentences=1)
    assert said == f"{text} [1]"


TABLE = (
    "| type | size | range |\n|---|---|---|\n| smallint | 2 | small |\n"
    "| integer | 4 | usual |\n| bigint | 8 | large |"
)


def test_the_row_that_a_question_names_is_quoted():
    prose = hit("Some numbers are held by types of another size.", 1, 0.9)
    said = answer("Which numbers fit into a smallint?", hit(TABLE), prose, max_sentences=1)
    assert "| smallint | 2 | small |" in said
    assert "bigint" not in said


def test_the_most_or_least_of_a_table_is_shown_by_all_of_its_rows():
    said = answer("Which type needs the smallest size?", hit(TABLE), max_sentences=1)
    assert said == f"{TABLE}\n[1]"


@pytest.mark.parametrize(
    ("question", "is_of_all"),
    [
        ("How much did we spend in February without the rent?", True),
        ("How many hours did Anna not work?", True),
        ("¿Cuánto gastamos en febrero sin el alquiler?", True),
        ("Wie viel wurde bis 9. März bezahlt?", True),
        ("Combien avons-nous dépensé hors loyer ?", True),
        ("除了杯子一共卖了多少件？", True),
        ("How much did the rent cost?", False),
        ("Which option works without a network?", False),
    ],
)
def test_an_amount_without_some_rows_is_shown_by_no_row_alone(question, is_of_all):
    assert compares_all(question) == is_of_all


def test_the_row_that_is_left_out_is_not_quoted_alone():
    table = "| item | cost |\n|---|---|\n| Rent | 850 |\n| Power | 71 |"
    assert "| Power | 71 |" in answer("How much did we spend without the rent?", hit(table))


def test_a_sentence_of_the_document_that_is_asked_about_is_preferred():
    def part(number, text, document, score):
        found = hit(text, number, score)
        return replace(found, chunk=replace(found.chunk, document_id=document))

    asked = [
        part(0, "From: Alan Brandt\n\nThank you for showing us the house.", "brandt", 1.0),
        part(1, "The guarantee of the roof runs for ten years.", "brandt", 0.9),
        part(2, "We give five years of guarantee on the roof and its tiles.", "oakley", 0.9),
    ]
    said = answer("How long is Brandt's guarantee of the roof?", *asked, max_sentences=1)
    assert said == "The guarantee of the roof runs for ten years. [2]"


def test_an_option_is_named_with_its_description():
    text = "Use -a and -A with care.\n\n- -a: lists the addresses\n\n- -A: lists them with sizes"
    assert "-A: lists them with sizes" in answer("What does -A do?", hit(text), max_sentences=1)
    text = "The option --sort is slow.\n\n-s, --size  prints sizes\n\n-t, --sort  sorts by time"
    assert "sorts by time" in answer("What does --sort do?", hit(text), max_sentences=1)


def test_a_difference_has_both_sides():
    text = (
        "The espresso is small and strong. The espresso is served in a cup of glass. "
        "Guests like the espresso.\n\nThe lungo is larger, and more bitter."
    )
    said = answer("What is the difference between an espresso and a lungo?", hit(text))
    assert "espresso" in said
    assert "The lungo is larger, and more bitter." in said


@pytest.mark.parametrize(
    ("question", "wanted", "other"),
    [
        ("When is the meeting?", "The meeting is on 3 May.", "The meeting is on the agenda."),
        ("Wann ist die Sitzung?", "Die Sitzung ist am Freitag.", "Die Sitzung ist im Rathaus."),
        ("How many rooms are there?", "There are seven rooms.", "There are rooms too."),
        ("Who has the key?", "Today Priya has the key.", "Today nobody has the key."),
        ("会议什么时候开？", "会议星期五开。", "会议在楼上开。"),
        ("Why is it wet?", "It is wet because it rains.", "It is wet in the car."),
        ("Pourquoi est-ce mouillé ?", "C'est mouillé, car il pleut.", "C'est dans le jardin."),
    ],
)
def test_a_sentence_with_what_is_asked_for_is_preferred(question, wanted, other):
    kind, language = question_kind(question), detect(wanted, ["en", "de", "fr", "zh"])
    assert holds_what_is_asked(kind, wanted, language)
    assert not holds_what_is_asked(kind, other, language) or kind is QuestionKind.WHO


@pytest.mark.parametrize(
    ("question", "sides"),
    [
        ("What is the difference between a ketch and a yawl?", ("ketch", "yawl")),
        ("How do dirty reads and phantom reads differ?", ("dirty reads", "phantom reads")),
        ("--soft or --hard: which one?", ("--soft", "--hard")),
        ("¿En qué se diferencian el té verde y el té negro?", ("té verde", "té negro")),
        ("Worin unterscheiden sich Kerosin und Diesel?", ("Kerosin", "Diesel")),
        ("Le hêtre et le chêne, en quoi diffèrent-ils ?", ("hêtre", "chêne")),
        ("酒精和汽油有什么区别？", ("酒精", "汽油")),
        ("Compare them.", ()),
    ],
)
def test_both_sides_of_a_difference_are_read_from_the_question(question, sides):
    assert sides_of(question) == sides


def test_what_a_question_wants_described_is_known():
    assert described_by("What is a ketch?") == ("ketch",)
    assert described_by("What is the difference between a ketch and a yawl?") == ("ketch", "yawl")
    assert described_by("Who sails a ketch?") == ()
    assert is_entry("- -x, --fast: run without checks", "--fast")
    assert is_entry("phantom read: a row appears", "phantom reads")
    assert is_entry("list.insert_left(a, x): insert x", "insert_left")
    assert not is_entry("git run [--fast | --slow]", "--fast")
    assert not is_entry("Set --fast and wait. Then: go on", "wait")


def test_each_side_of_a_difference_is_described_before_both_are_compared():
    both = "A ketch and a yawl differ, a ketch and a yawl are often compared."
    text = answer(
        "What is the difference between a ketch and a yawl?",
        hit(both, 0),
        hit("A ketch is a boat whose mizzen stands before the rudder.", 1, 0.9),
        hit("A yawl is a boat whose mizzen stands behind the rudder.", 2, 0.9),
    )
    assert "before the rudder" in text
    assert "behind the rudder" in text


def test_the_list_that_is_about_the_question_is_quoted_whole():
    other = "The engine has classes, and the classes of it are kept on disk. They are stored."
    listed = "Each value has one of the following storage classes:\n\n- NULL\n- INTEGER\n- BLOB"
    question = "What are the storage classes of the engine?"
    text = answer(question, hit(other, 0), hit(listed, 1, headings=("Engine",)))
    assert text.startswith(listed)
    alone = "- C1: no water\n- C2: tray full\n- C5: no pressure"
    under = hit(alone, 0, headings=("Coffee machine", "Warnings"))
    notes = hit("A warning is printed. Warnings are printed in red.", 1, 0.6)
    text = answer("Which warnings does the coffee machine show?", under, notes)
    assert alone in text


def test_a_list_with_paragraphs_in_its_items_is_one_list():
    listed = (
        "These tools are there:\n\n- parted: for most people.\n- fdisk: for gurus.\n\n"
        "Beware of old disks.\n- cfdisk: for all others.\n\nOne of them is started."
    )
    text = answer("Which tools are there?", hit(listed))
    assert "- cfdisk: for all others." in text
    assert "One of them is started" not in text


def test_an_inner_list_ends_with_its_items():
    listed = "- reset: The mode is one of these:\n    - soft: none\n    - hard: all\n- clean: it"
    text = answer("Which modes has the reset?", hit(listed))
    assert "    - hard: all" in text


def test_short_lines_under_a_colon_are_a_list():
    text = "These words are accepted for the true state:\n\ntrue\n\nyes\n\non\n\nCase is ignored."
    quoted = answer("Which words are accepted for the true state?", hit(text))
    assert "true state:\n\ntrue\n\nyes\n\non\n" in quoted


def test_the_command_in_a_paragraph_of_an_item_is_a_part_of_its_list():
    steps = (
        "Mount the volumes so:\n\n- Plain volumes are mounted by hand.\n  Encrypted volumes are "
        "registered first, by this command:\n\n# /etc/init.d/cryptdisks start"
        "\n\n- The root volume needs a restart."
    )
    assert "cryptdisks start" in answer("How do I mount the volumes?", hit(steps))


def test_a_side_of_a_difference_may_be_defined_by_the_other_one():
    text = "A yar is a small boat with oars. A zab (a word of the north) is a yar with a sail."
    quoted = answer("What is the difference between a yar and a zab?", hit(text))
    assert "oars" in quoted
    assert "sail" in quoted


def test_a_term_is_introduced_in_brackets():
    assert defines("Then the Mail Transfer Agent (MTA) hands it over.", "MTA", "en")
    assert defines("然后是 Mail Transfer Agent (MTA)，用来传递邮件。", "MTA", "zh")
    assert not defines("The agent is quick (see MTA).", "MTA", "en")


@pytest.mark.parametrize(
    ("question", "sides"),
    [
        ("Was unterscheidet Heilen von Klonen?", ("Heilen", "Klonen")),
        ("What distinguishes a ketch from a yawl?", ("ketch", "yawl")),
        ("How does Crop to content differ from Crop?", ("Crop to content", "Crop")),
        ("¿Qué distingue a BOOTP de DHCP?", ("BOOTP", "DHCP")),
    ],
)
def test_what_is_told_from_another_thing_is_a_side(question, sides):
    assert sides_of(question) == sides


def test_all_commands_of_a_section_are_quoted():
    text = (
        "List the snapshots first.\n\n```\nrestic snapshots\n```\n\n"
        "Then restore the file from the backup:\n\n```\nrestic restore 4f2a\n```\n\nThen copy it."
    )
    assert answer("How do I restore a file from the backup?", hit(text)) == f"{text}\n[1]"


def test_steps_under_a_heading_about_the_question_are_quoted():
    steps = "1. Close the tap.\n2. Lay out the tube.\n3. Open the tap slowly."
    text = f"{steps}\n\nDrip irrigation uses two litres an hour. The timer is set to two a day."
    headings = ("Garden", "How to install drip irrigation")
    said = answer("How do I install drip irrigation?", hit(text, headings=headings))
    assert said.startswith(steps)


def test_a_list_named_as_the_things_are_is_preferred():
    text = "For one loaf you need:\n\n- flour\n- water\n\nTools:\n\n- a basket\n- a pot"
    said = answer("Which tools do I need for baking bread?", hit(text))
    assert said == "Tools:\n\n- a basket\n- a pot\n[1]"


def test_a_list_may_begin_after_the_sentence_behind_its_announcement():
    text = (
        "There are several methods of authentication. They differ in how safe they are.\n\n"
        "- scram: Safe.\n- md5: Old.\n- password: Sent as it is."
    )
    said = answer("Which password authentication methods does the server have?", hit(text))
    assert said == f"{text}\n[1]"


def test_each_side_of_a_difference_comes_with_what_is_said_of_it_next():
    text = (
        "The fast disk holds the system. It is an SSD of 500 GB. "
        "The slow disk holds films. It is a hard disk of 8 TB."
    )
    said = answer("What is the difference between the fast disk and the slow disk?", hit(text))
    assert "500 GB" in said
    assert "8 TB" in said


def test_entries_of_both_sides_of_a_difference_are_quoted():
    text = (
        "- apply [--index]: Like pop, but do not remove the state.\n"
        "- pop [--index]: Remove a state and apply it.\n"
        "- list: List the states."
    )
    said = answer("What is the difference between git stash pop and git stash apply?", hit(text))
    assert "do not remove the state" in said
    assert "Remove a state" in said
    assert "List the states" not in said


def test_a_value_may_stand_in_the_next_sentence():
    text = "The new kiln arrived on Friday. It reaches 1,300 degrees. The old one is sold."
    said = answer("How hot does the new kiln get?", hit(text), max_sentences=1)
    assert said == "The new kiln arrived on Friday. It reaches 1,300 degrees. [1]"
    text = "Our starter lives here since 2011. Feed her every evening."
    said = answer("How often is the starter fed?", hit(text), max_sentences=1)
    assert said == f"{text} [1]"


def test_the_entry_of_an_option_is_preferred_where_one_is_asked_for():
    text = (
        "The number of requests at the same time decides how long the test takes.\n\n"
        "- -c clients: Number of requests at the same time.\n- -q: Say nothing."
    )
    said = answer("Which option sets the number of requests?", hit(text), max_sentences=1)
    assert said == "-c clients: Number of requests at the same time. [1]"


@pytest.mark.parametrize(
    ("question", "thing"),
    [
        ("Which tools do I need?", "tools"),
        ("What are the advantages of WAL?", "advantages"),
        ("Welche Geräte braucht man?", "Geräte"),
        ("¿Cuáles son los requisitos?", "requisitos"),
        ("Quels outils faut-il ?", "outils"),
        ("How many are there?", ""),
    ],
)
def test_the_word_for_the_things_of_a_list_is_known(question, thing):
    assert listed_thing(question) == thing


def test_questions_for_an_option_are_known():
    assert asks_for_option("Which option shows the size?")
    assert asks_for_option("Quelle option d'ab fixe le nombre de requêtes ?")
    assert asks_for_option("哪个选项可以显示大小？")
    assert not asks_for_option("What are my options?")


def test_sides_are_told_apart_by_the_words_that_differ():
    assert distinct_parts(("git stash pop", "git stash apply")) == ("pop", "apply")
    assert distinct_parts(("Mill 3", "Mill 23")) == ("Mill 3", "Mill 23")
    assert distinct_parts(("VACUUM", "VACUUM FULL")) == ("VACUUM", "VACUUM FULL")


def test_the_entry_of_a_setting_that_the_question_names_is_quoted():
    text = (
        "With much memory, a quarter of it is good for shared_buffers if nobody needs it.\n\n"
        "- shared_buffers (integer): Memory of the server. The default is 128 MB.\n"
        "- wal_buffers (integer): Memory of the log. The default is 16 MB."
    )
    said = answer("What is shared_buffers if nobody changes it?", hit(text))
    assert "shared_buffers (integer): Memory of the server. The default is 128 MB. [1]" in said
    said = answer("What are the defaults of shared_buffers and wal_buffers?", hit(text))
    assert "128 MB" in said
    assert "16 MB" in said


def test_one_entry_of_a_list_of_names_answers_how_to_do_something():
    entries = (
        "- -D: Removes a user from the password file.\n"
        "- -v: Checks a password. Wrong ones are reported.\n"
        "- -c: Creates the file. One that is there is replaced.\n"
        "- -B: Encrypts with bcrypt, which is slow and safe."
    )
    padding = " It is one of the oldest tools of the server and has not changed much." * 8
    said = answer("How do I remove a user from the file?", hit(entries + padding))
    assert said == "-D: Removes a user from the password file. [1]"


@pytest.mark.parametrize(
    "marks",
    [
        ("Step 1: ", "Step 2: ", "Step 3: ", "Step 4: "),
        ("First: ", "Next: ", "Then: ", "Finally: "),
        ("Paso 1: ", "Paso 2: ", "Paso 3: ", "Paso 4: "),
        ("Zuerst: ", "Dann: ", "Danach: ", "Zuletzt: "),
        ("第一步：", "第二步：", "第三步：", "第四步："),
    ],
)
def test_steps_with_words_before_them_are_quoted_whole_in_their_order(marks):
    texts = ("Switch the pump off.", "Open the lid.", "Change the filter.", "Switch the pump on.")
    steps = [f"{mark}{text}" for mark, text in zip(marks, texts, strict=True)]
    said = answer(
        "How do I change the filter of the pump?", hit("\n".join(f"- {s}" for s in steps))
    )
    places = [said.find(step.rstrip(".")) for step in steps]
    assert -1 not in places and places == sorted(places)


def test_an_entry_is_quoted_from_its_name_on():
    entries = (
        "- Close: The window goes away.\n"
        "- Revert: The picture is read again. Its changes are lost for ever, so it asks first. "
        "Answer yes.\n"
        "- Merge: Two layers become one."
    )
    padding = " It is one of the oldest tools of the program and has not changed much." * 8
    said = answer("How do I lose the changes for ever?", hit(entries + padding))
    assert said.startswith("Revert: The picture is read again. Its changes are lost for ever")
    assert "Answer yes." in said
    assert "Merge" not in said


def test_the_sentence_beside_a_quoted_one_is_not_about_another_thing():
    before = "In a transaction you name a savepoint with SAVEPOINT."
    best = "In a transaction, changes after the savepoint are lost with ROLLBACK TO."
    padding = "The tutorial has more about it in its later parts."
    question = "Which changes are lost in a transaction with a savepoint?"
    assert before in answer(question, hit(f"{before} {best} {padding}"))
    assert before not in answer(question, hit(f"{before}\n\n{best} {padding}"))


def test_a_reason_is_quoted_with_what_its_paragraph_says_next():
    text = (
        "Writing self is asked of every method in this language. Local names and those of the "
        "object live apart, and you have to say which of them you mean."
    )
    padding = "\n\nThe tutorial has more about each of these words in its later parts." * 10
    assert "live apart" in answer("Why is writing self asked of every method?", hit(text + padding))


@pytest.mark.parametrize(
    ("question", "allowed", "forbidden", "language"),
    [
        (
            "Which pump {} be used with petrol?",
            (
                "may",
                "The pump PX-200 weighs 18 kg and costs 520 euros. It may be used with petrol.",
            ),
            (
                "must not",
                "The pump PX-100 weighs 12 kg and costs 40 euros. It must not be used with petrol.",
            ),
            "en",
        ),
        (
            "Welche Pumpe {} mit Benzin betrieben werden?",
            ("darf", "Die Pumpe PX-200 wiegt 18 kg. Sie darf mit Benzin betrieben werden."),
            (
                "darf nicht",
                "Die Pumpe PX-100 wiegt 12 kg. Sie darf nicht mit Benzin betrieben werden.",
            ),
            "de",
        ),
        (
            "¿Qué bomba {} usar con gasolina?",
            ("se puede", "La bomba PX-200 pesa 18 kg. Se puede usar con gasolina."),
            ("no se puede", "La bomba PX-100 pesa 12 kg. No se puede usar con gasolina."),
            "es",
        ),
        (
            "Quelle pompe {} être utilisée avec de l'essence ?",
            ("peut", "La pompe PX-200 pèse 18 kg. Elle peut être utilisée avec de l'essence."),
            (
                "ne peut pas",
                "La pompe PX-100 pèse 12 kg. Elle ne peut pas être utilisée avec de l'essence.",
            ),
            "fr",
        ),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_what_may_is_not_answered_by_what_must_not(question, allowed, forbidden, language, order):
    texts = [text for _, text in (forbidden, allowed)][::order]
    # Each sentence that answers says "it" of the one before, under a heading of its own.
    sections = (f"## PX {number}\n{text}\n" for number, text in enumerate(texts))
    passage = hit("# PX\n\n" + "\n".join(sections), language=language)
    for modal, right in (allowed, forbidden):
        said = answer(question.format(modal), passage)
        assert right.split(". ")[1] in said


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Which form must be submitted?", "Form A must be submitted no later than 30 June."),
        ("What must a visitor wear?", "A visitor must wear a helmet, without exception."),
        ("What should I do if it does not print?", "You should open the lid if it stops."),
        ("Was muss ich tun, wenn ich nicht kommen kann?", "Das Amt muss informiert werden."),
        ("¿Qué debo hacer si no puedo ir?", "El alumno debe enviar el formulario."),
        ("游客可不可以带什么？", "游客可以带水。"),
    ],
)
def test_a_negation_beside_the_modal_alone_is_the_opposite(question, text):
    assert not is_opposite(text, question)


@pytest.mark.parametrize(
    ("question", "asks"),
    [
        ("Which pump may be used?", True),
        ("What must not be washed?", True),
        ("哪些可以退货？", True),
        ("Why must it not be washed?", False),
        ("¿Por qué no se puede lavar?", False),
        ("May I wash it?", False),
        ("Which pump is used?", False),
    ],
)
def test_a_question_for_what_may_is_known(question, asks):
    assert asks_what_may(question) is asks
