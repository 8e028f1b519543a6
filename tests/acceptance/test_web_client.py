"""A person at the web client: signs in, asks, opens a source, adds documents, shares them."""

import io

import axe
import pytest
from account_client import NO_LIMITS, PASSWORD
from chromium import chromium, keyboard
from live_server import TEA, live_server
from pdf_files import make_pdf
from slow_generator import SentenceGenerator
from web_client import Person, WebClientProcess

from kvasir.accounts import passwords
from kvasir.core.services.accounts import Role
from kvasir.core.types import Source
from kvasir.frontends.ui.texts import LANGUAGES, table

pytestmark = pytest.mark.xdist_group("web client")

OOLONG = "Oolong is brewed at 90 degrees Celsius."
QUESTION = "At how many degrees is green tea brewed?"
SECTIONS = ("Files", "Add", "Share", "Delete")
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
FIRST, _, LAST = (each.removesuffix(" [1]") for each in SentenceGenerator.sentences)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    passwords._MEMORY_KIB = 64
    with live_server(
        tmp_path_factory.mktemp("service"),
        generator={"type": "slow_generator:SentenceGenerator"},
        # It holds a sentence back until the next one begins.
        answer={"check_sentences": False},
        accounts={"rate_limits": NO_LIMITS},
        questions={"workers": 1},
    ) as running:
        ana = running.add_user("ana", role=Role.ADMIN)
        running.add_user("bob")
        running.add_document("tea", "tea.md", TEA, owner=ana)
        yield running


@pytest.fixture(scope="module")
def client(server):
    with WebClientProcess(server.url) as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory, client):
    with chromium(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture
def person(browser, client):
    return Person(browser, client.url)


@pytest.fixture(autouse=True)
def allowed():
    """Let answers go on behind their first sentence; a test may hold them up."""
    SentenceGenerator.allowed.set()
    yield SentenceGenerator.allowed
    SentenceGenerator.allowed.set()


@pytest.fixture
def ana(person):
    """Ana, who is signed in, and sees English whatever the test before did."""
    person.browser.driver.get(person.url)
    person.browser.driver.delete_cookie("kvasir_ui_language")
    person.go()
    if "/sign-in" in person.browser.driver.current_url:
        person.sign_in("ana", PASSWORD)
    person.see("//textarea")
    return person


def test_a_wrong_password_is_words_and_the_right_one_leads_to_the_page_wanted(person):
    person.browser.driver.delete_all_cookies()
    person.go("/knowledge")
    person.sign_in("ana", "wrong")
    assert person.see("//*[@role='alert']").text == "The user name or the password is wrong."
    person.sign_in("ana", PASSWORD)
    person.read("A knowledge base is a set of documents")
    assert person.browser.driver.current_url.endswith("/knowledge")
    cookie = person.browser.driver.get_cookie("kvasir_ui_session")
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")


def test_an_answer_comes_in_pieces_and_its_source_opens_at_the_marked_passage(ana, server, allowed):
    ana.browser.complaints()
    allowed.clear()
    ana.ask(QUESTION)
    ana.read(FIRST)
    assert LAST not in ana.page()
    allowed.set()
    ana.press("Open source 1")
    assert LAST in ana.page()
    assert "80 degrees" in ana.see("//mark").text
    assert "Black tea is brewed at 95 degrees" in ana.see("//*[@role='dialog']").text
    ana.see("//*[@role='dialog']//button[@aria-label='Close']").click()
    ana.press("Good answer")
    ana.read("Thank you. Your rating is kept")
    logged = list(server.app.services.answer_log.export())
    assert [each.rating for each in logged if each.question == QUESTION] == [1]
    assert not ana.browser.complaints()
    assert ana.browser.hosts() == {ana.url.removeprefix("http://")}


def test_a_reload_keeps_the_sign_in_and_the_chat(ana):
    ana.press("New chat")
    ana.ask(QUESTION)
    ana.press("Open source 1")
    ana.browser.driver.refresh()
    ana.read(LAST)
    ana.see("//button[contains(., 'Open source 1')]")


def test_a_click_in_the_middle_of_an_answer_loses_no_text(ana, allowed):
    ana.press("New chat")
    allowed.clear()
    ana.ask(QUESTION)
    ana.read(FIRST)
    ana.unfold("Search options")
    ana.choose("Answer from the documents")
    ana.read(FIRST)
    allowed.set()
    ana.see("//button[contains(., 'Open source 1')]")
    assert [ana.page().count(each) for each in (FIRST, LAST)] == [1, 1]


def test_an_answer_can_be_stopped(ana, allowed):
    ana.press("New chat")
    allowed.clear()
    ana.ask(QUESTION)
    ana.read(FIRST)
    ana.press("Stop")
    ana.read("You stopped this answer.")
    assert FIRST in ana.page() and LAST not in ana.page()
    allowed.set()
    ana.ask(QUESTION)
    ana.see("//button[contains(., 'Open source 1')]")


def test_a_knowledge_base_is_made_filled_shared_and_deleted(ana, server, tmp_path):
    files = [tmp_path / "oolong.pdf", tmp_path / "mate.md", tmp_path / "broken.pdf"]
    files[0].write_bytes(make_pdf([[(72, 700, 12, "A cover.")], [(72, 700, 12, OOLONG)]]))
    files[1].write_text("Mate is drunk from a gourd.")
    files[2].write_bytes(b"%PDF-1.4 and nothing else")
    ana.go_to("Knowledge bases")
    ana.press("New knowledge base")
    ana.write("Name", "drinks")
    ana.press("Create")
    ana.read("Add its first documents")
    ana.read("No documents yet")

    ana.choose("Add")
    ana.upload(*files)
    ana.press("Upload (3)")
    ana.read("Uploaded: 3.")
    ana.write("Title", "Chai")
    ana.write("Text", "Chai has milk, ginger and cardamom.")
    ana.press("Add the text")
    ana.read("Uploaded: 1.")

    ana.choose("Files")
    for name in ("oolong.pdf", "mate.md", "Chai.md"):
        ana.see(f"//button[contains(., 'Delete {name}')]")
    ana.see("//p[contains(., 'broken.pdf') and contains(., 'could not be read')]")
    ana.press("Index mate.md again")
    ana.read("is being indexed again")
    # A document that is deleted before its job has run would come back.
    ana.wait_for_jobs(server, "drinks")
    ana.press("Delete mate.md")
    ana.read("was deleted")
    sources = {each["source_uri"] for each in ana.api(server, "/v1/collections/drinks/documents")}
    assert "upload:ana/mate.md" not in sources and "upload:ana/oolong.pdf" in sources

    ana.choose("Share")
    ana.choose("Shared with some")
    ana.write("May read", "bob")
    ana.press("Save")
    ana.read("The rights are saved.")
    access = ana.api(server, "/v1/collections/drinks/access")
    assert (access["visibility"], access["readers"]) == ("shared", ["bob"])

    ana.choose("Delete")
    ana.write("Type the name drinks to confirm", "drinks")
    ana.press("Delete for good")
    ana.read("was deleted")
    names = {each["collection"] for each in ana.api(server, "/v1/access")}
    assert "drinks" not in names


def test_a_page_of_a_pdf_that_a_filter_lets_pass_is_shown_as_a_picture(ana, server, tmp_path):
    with server.app.collection("scrolls") as collection:
        digest, _ = server.app.services.spool.put(
            io.BytesIO(content := make_pdf([[(72, 700, 12, OOLONG)]])), max_bytes=1 << 20
        )
        assert digest
        collection.ingest((Source("upload:ana/oolong.pdf", "application/pdf"), content))
    ana.go("/")
    ana.see("//textarea")
    for name in ("scrolls", "tea", "scrolls"):
        ana.pick("Knowledge base", name)
        ana.settle()
    ana.unfold("Search options")
    ana.write("Filter", "type=md").send_keys(keyboard.Keys.TAB)
    ana.settle()
    ana.ask("At how many degrees is oolong brewed?")
    ana.see("//button[contains(., 'Good answer')]")
    assert "Open source" not in ana.page()
    ana.write("Filter", "type=pdf").send_keys(keyboard.Keys.TAB)
    ana.settle()
    ana.ask("At how many degrees is oolong brewed?")
    ana.press("Open source 1")
    ana.see("//*[@role='dialog']//img[contains(@alt, 'with the passage marked in yellow')]")
    assert OOLONG in ana.see("//mark").text


def test_the_queue_of_questions_answers_while_the_page_is_open(ana):
    ana.go_to("Questions")
    ana.unfold("Put a question into the queue")
    ana.write("Question", QUESTION)
    ana.press("Ask")
    ana.read("Your question is in the queue.")
    ana.read(FIRST)
    assert "answered" in ana.page()


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_evaluation_has_a_plot_and_its_figures_in_words(ana, tmp_path, language):
    row = {key: each[language] for key, each in table().items()}
    file = tmp_path / "questions.jsonl"
    file.write_text(
        '{"question": "How hot is green tea?", "must": [["80"]]}\n'
        '{"question": "Who won the cup?", "refuse": true}\n'
    )
    speak(ana, LANGUAGES[language])
    ana.go_to(row["nav.evaluation"])
    ana.pick(row["chat.collection"], "tea")
    ana.upload(file)
    ana.press(row["evaluation.run"])
    ana.see("//canvas | //*[contains(@class, 'marks')]")
    figures = ana.see("//table").text
    assert "100% (1/1)" in figures
    assert row["evaluation.passage_found"] in figures
    if language != "en":
        ana.is_translated(language)


@pytest.mark.parametrize(("language", "name"), [("es", "Español"), ("zh", "中文")])
def test_every_page_is_translated(ana, language, name):
    speak(ana, name)
    pages = ("knowledge", "questions", "evaluation", "services", "tuning", "models", "help", "chat")
    for page in pages:
        ana.go_to(table()[f"nav.{page}"][language])
        ana.settle()
        ana.is_translated(language)
        html = ana.browser.driver.find_element("tag name", "html")
        assert html.get_attribute("lang") == language
    ana.go("/sign-in")
    ana.is_translated(language)
    ana.go("/")
    ana.pick(table()["app.language"][language], "English")
    ana.read("Knowledge bases")


def speak(person, name):
    """Choose a language, whichever the page has."""
    shown = next(each for each in table()["app.language"].values() if each in person.page())
    person.pick(shown, name)
    # The browser keeps the choice once the page is drawn in it.
    person.read(table()["nav.knowledge"][next(k for k, v in LANGUAGES.items() if v == name)])
    person.settle()


@pytest.mark.parametrize(("language", "name"), [("es", "Español"), ("zh", "中文")])
def test_documents_are_added_shared_asked_about_and_deleted_in_another_language(
    ana, server, language, name
):
    def say(key, **values):
        return table()[key][language].format(**values)

    speak(ana, name)
    ana.go_to(say("nav.knowledge"))
    ana.press(say("knowledge.new"))
    ana.write(say("knowledge.name"), base := f"drinks{language}")
    ana.press(say("knowledge.create"))
    ana.read(say("knowledge.no_documents"))
    ana.choose(say("knowledge.add"))
    ana.write(say("knowledge.paste_title"), "Green tea")
    ana.write(say("knowledge.paste_text"), "Green tea is brewed at 80 degrees.")
    ana.press(say("knowledge.paste_button"))
    ana.read(say("knowledge.uploaded_ready", count=1, ready=1))
    ana.is_translated(language)
    ana.choose(say("knowledge.files"))
    ana.press(say("knowledge.reindex", name="Green tea.md"))
    ana.read(say("knowledge.reindexed", name="Green tea.md"))
    ana.wait_for_jobs(server, base)
    ana.choose(say("knowledge.share"))
    ana.choose(say("knowledge.shared"))
    ana.write(say("knowledge.readers"), "bob")
    ana.press(say("app.save"))
    ana.read(say("knowledge.shared_now"))
    ana.is_translated(language)

    ana.go_to(say("nav.chat"))
    ana.pick(say("chat.collection"), base)
    ana.press(say("chat.new"))
    ana.unfold(say("chat.options"))
    ana.write(say("chat.filters"), "type=pdf").send_keys(keyboard.Keys.TAB)
    ana.settle()
    opening = f"//button[contains(., '{say('chat.open', marker=1)}')]"
    ana.ask(QUESTION, say("chat.input"))
    ana.press(say("chat.good"))
    ana.read(say("chat.thanks"))
    assert not ana.browser.driver.find_elements("xpath", opening)
    ana.write(say("chat.filters"), "type=md").send_keys(keyboard.Keys.TAB)
    ana.settle()
    ana.ask(QUESTION, say("chat.input"))
    ana.press(say("chat.open", marker=1))
    ana.see("//*[@role='dialog']//mark")
    ana.is_translated(language)
    ana.browser.driver.switch_to.active_element.send_keys(keyboard.Keys.ESCAPE)
    ana.gone("//*[@role='dialog']")

    ana.go_to(say("nav.knowledge"))
    ana.press(say("knowledge.delete_file", name="Green tea.md"))
    ana.read(say("knowledge.deleted_file", name="Green tea.md"))
    ana.choose(say("knowledge.delete"))
    ana.write(say("knowledge.delete_confirm", name=base), "another")
    ana.press(say("knowledge.delete_button"))
    ana.read(say("knowledge.not_deleted", name=base))
    ana.is_translated(language)
    ana.write(say("knowledge.delete_confirm", name=base), base)
    ana.press(say("knowledge.delete_button"))
    ana.read(say("knowledge.deleted", name=base))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_serious_fault_for_people_with_disabilities(ana, theme):
    speak(ana, "English")
    driver = ana.browser.driver
    features = [{"name": "prefers-color-scheme", "value": theme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    ana.go("/")
    ana.pick("Knowledge base", "tea")
    ana.ask(QUESTION)
    ana.press("Open source 1")
    ana.see("//mark")
    found = {"a source": axe.faults(driver)}
    ana.go("/knowledge")
    ana.press("Open tea")
    for section in SECTIONS:
        ana.choose(section)
        ana.settle()
        found[section] = axe.faults(driver)
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    ana.settle()
    found["Delete at a phone"] = axe.faults(driver)
    ana.go("/")
    ana.see("//textarea")
    ana.settle()
    found["Ask at a phone"] = axe.faults(driver)
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    pages = ("", "knowledge", "questions", "evaluation", "services", "tuning", "models", "help")
    for path in (*(f"/{page}" for page in pages), "/sign-in"):
        ana.go(path)
        ana.see("//h1")
        if path != "/sign-in":
            ana.settle()
        found[path] = axe.faults(driver)
    assert {path: each for path, each in found.items() if each} == {}


def test_a_question_is_asked_and_its_source_opened_and_rated_by_keyboard_alone(ana):
    keys = keyboard.Keys
    speak(ana, "English")
    ana.press("New chat")
    ana.settle()
    choice = ana.tab_to(lambda element: "Knowledge base" in labelled(element))
    choice.send_keys("tea", keys.ENTER)
    ana.settle()
    active = ana.tab_to(lambda element: element.tag_name == "textarea")
    active.send_keys(QUESTION, keys.ENTER)
    ana.see("//button[contains(., 'Open source 1')]")
    ana.settle()
    ana.tab_to(
        lambda element: element.tag_name == "button" and "Open source 1" in element.text
    ).send_keys(keys.ENTER)
    assert "80 degrees" in ana.see("//mark").text
    ana.browser.driver.switch_to.active_element.send_keys(keys.ESCAPE)
    ana.gone("//*[@role='dialog']")
    press_by_keyboard(ana, "Good answer")
    ana.read("Thank you. Your rating is kept")


def test_a_knowledge_base_is_filled_and_deleted_by_keyboard_alone(ana, server):
    ana.go("/knowledge")
    press_by_keyboard(ana, "New knowledge base")
    type_by_keyboard(ana, "Name", "keys")
    press_by_keyboard(ana, "Create")
    choose_by_keyboard(ana, "Add")
    type_by_keyboard(ana, "Title", "Chai")
    type_by_keyboard(ana, "Text", "Chai has milk, ginger and cardamom.")
    press_by_keyboard(ana, "Add the text")
    ana.read("Uploaded: 1. Indexing is done.")
    choose_by_keyboard(ana, "Delete")
    type_by_keyboard(ana, "Type the name keys to confirm", "keys")
    press_by_keyboard(ana, "Delete for good")
    ana.read("was deleted")
    assert "keys" not in {each["collection"] for each in ana.api(server, "/v1/access")}


def labelled(element):
    return element.get_attribute("aria-label") or ""


def press_by_keyboard(person, words):
    person.read(words)
    person.settle()
    button = person.tab_to(lambda each: each.tag_name == "button" and names(each, words))
    button.send_keys(keyboard.Keys.ENTER)


def choose_by_keyboard(person, section):
    """Go to the section that is open by Tab, and to another one by the arrow key."""
    person.settle()
    element = person.tab_to(lambda each: any(names(each, name) for name in SECTIONS))
    for _ in SECTIONS:
        if names(element, section):
            break
        element.send_keys(keyboard.Keys.ARROW_RIGHT)
        element = person.browser.driver.switch_to.active_element
    element.send_keys(keyboard.Keys.ENTER)


def names(button, words):
    """Return True if words are what a button shows, behind the name of its icon."""
    return button.text.splitlines()[-1:] == [words]


def type_by_keyboard(person, label, words):
    person.see(f"//*[@aria-label='{label}']")
    person.settle()
    person.tab_to(lambda each: labelled(each) == label).send_keys(words)


def test_a_sign_in_that_does_not_hold_any_more_is_words(ana, server):
    ana.browser.driver.delete_cookie("kvasir_ui_session")
    ana.browser.driver.add_cookie({"name": "kvasir_ui_session", "value": "x.y.z"})
    ana.go("/knowledge")
    ana.read("Your sign-in has expired.")
    ana.see("//form//button[contains(., 'Sign in')]")
    ana.browser.driver.delete_all_cookies()
