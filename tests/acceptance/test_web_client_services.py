"""The web client over real ZeroMQ services with Chroma: the preset ``aiirwkv``, as it is shipped.

One browser and one set of processes for all of it: services, tuning, models, and a web search.
"""

import json
import re
import time
from pathlib import Path

import axe
import pytest
import yaml
from chromium import chromium
from cli_process import CliProcess
from libraries import library
from small_rwkv import one_thread, random_model, write_model
from started_services import StartedServices
from web_client import WORDS_OF_FAULTS, Person
from web_site import Page, article, serving_searxng, serving_site

from kvasir.frontends.ui.texts import LANGUAGES, table

library("torch", extra="torch")
library("peft", extra="torch")
library("chromadb", extra="chroma")

pytestmark = pytest.mark.xdist_group("web client of services")

PRESET = Path(__file__).parents[2] / "presets" / "aiirwkv.yaml"
TEA = "# Brewing tea\n\nGreen tea is brewed at 80 degrees Celsius for two minutes.\n"
LINES = [f"User: tea {n}?\n\nAssistant: {n % 7} minutes" for n in range(24)]
LAST = {
    "services": "//*[contains(text(), 'ragq.yml')]",
    "tuning": "//*[contains(text(), 'State-Tune')]",
    "models": "//*[contains(text(), 'all-MiniLM-L6-v2')]",
}
"""What each page shows when it is complete, in every language. They never settle: they look again
and again."""
ENDS = ("front_end", "back_end")
IN_TURN = sorted(LANGUAGES, key="en".__eq__)
"""The languages, English last: the tests behind these speak it."""


@pytest.fixture(scope="module")
def web():
    with serving_site() as site, serving_searxng() as searxng:
        site.pages["/oolong"] = Page(article("Oolong", "Oolong is brewed at 90 degrees."))
        searxng.finds(f"{site.url}/oolong", f"{site.url}/gone")
        yield searxng


@pytest.fixture(scope="module")
def services(tmp_path_factory, web):
    folder = tmp_path_factory.mktemp("services")
    tree = yaml.safe_load(PRESET.read_text("utf-8"))
    del tree["data_dir"]
    for name in ("llm", "index", "tuning"):
        tree[name] = {key: each for key, each in tree[name].items() if key not in ENDS}
    tree["server"]["port"] = tree["ui"]["port"] = 0
    tree["rag"]["web_search"]["base_url"] = web.url
    tree["rag"]["ingest"] |= {"allow_private_urls": True, "workers": 1}
    files = folder / "kvasir-data" / "tuning"
    files.mkdir(parents=True)
    with one_thread():
        base = random_model(7, vocabulary=65_536, layers=2, width=64, head_size=32)
        write_model(base, files / "base.pth")
    with StartedServices(folder, **tree) as started:
        yield started.start()


@pytest.fixture(scope="module")
def person(services, tmp_path_factory):
    """The machine's user, who need not sign in; the client finds the services by itself."""
    running = CliProcess("ui", folder=services.folder)
    try:
        url = running.wait_for(r"Open (http://\S+) in a browser")[1]
        with chromium(tmp_path_factory.mktemp("browser")) as browser:
            yield Person(browser, url)
    finally:
        running.signal()
        assert running.end() == 0, "".join(running.lines)


@pytest.fixture(autouse=True)
def no_traceback(request):
    yield
    person = request.getfixturevalue("person")
    assert not any(each in person.page() for each in WORDS_OF_FAULTS)


def caption(person, pattern):
    """Wait for words on the page; return their match."""
    end = time.monotonic() + 120
    while not (found := re.search(pattern, person.page())):
        assert time.monotonic() < end, f"no {pattern} in {person.page()}"
        time.sleep(0.1)
    return found


def speak(person, language):
    """Choose a language, whichever the page has; return the texts in it."""
    shown = next(each for each in table()["app.language"].values() if each in person.page())
    person.pick(shown, LANGUAGES[language])
    row = {key: each[language] for key, each in table().items()}
    person.read(row["nav.knowledge"])
    person.settle()
    return row


def check(person, language):
    """In another language than English, no English text of the client is shown."""
    if language != "en":
        person.is_translated(language)


def test_a_document_is_uploaded_found_and_asked_about_through_the_services(
    person, services, tmp_path
):
    file = tmp_path / "tea.md"
    file.write_text(TEA)
    person.go("/knowledge")
    person.read("This computer, no sign-in needed")
    person.press("New knowledge base")
    person.write("Name", "tea")
    person.press("Create")
    person.read("No documents yet")
    person.choose("Add")
    person.upload(file)
    person.press("Upload (1)")
    person.read("Uploaded: 1.")
    person.choose("Files")
    person.see("//button[contains(., 'Delete tea.md')]")
    person.go("/")
    person.pick("Knowledge base", "tea")
    person.ask("At how many degrees is green tea brewed?")
    person.press("Open source 1")
    assert "80 degrees" in person.see("//mark").text
    person.see("//*[@role='dialog']//button[@aria-label='Close']").click()
    llm, index = services.group("llm")["queues"], services.group("index")["queues"]
    assert llm["embedder"]["served"] >= 2
    assert llm["generator"]["served"] >= 1
    assert index["store"]["served"] >= 2
    assert list((services.folder / "kvasir-data" / "chroma").glob("chroma.sqlite3"))


@pytest.mark.parametrize("language", IN_TURN)
def test_a_web_search_fills_the_knowledge_base(person, language):
    row = speak(person, language)
    person.go_to(row["nav.knowledge"])
    person.press(row["knowledge.open"].format(name="tea"))
    person.choose(row["knowledge.add"])
    person.write(row["knowledge.search_words"], f"oolong {language}")
    person.press(row["knowledge.search_button"])
    person.read(row["knowledge.search_done"].format(query=f"oolong {language}", count=1))
    refused = row["knowledge.not_uploaded"].format(name="\0", reason="")
    caption(person, r"/gone\s*" + re.escape(refused.partition("\0")[2].strip()))
    check(person, language)
    person.choose(row["knowledge.files"])
    person.see("//p[contains(., 'Oolong')]")
    check(person, language)
    person.press(row["knowledge.back"])


@pytest.mark.parametrize("language", IN_TURN)
def test_services_are_shown_scaled_and_started_again(person, services, language):
    row = speak(person, language)
    person.go_to(row["nav.services"])
    for name in ("llm", "index", "tuning"):
        person.see(f"//h4[.='{name}']")
    before = len(services.group("llm")["workers"])
    after = 3 - before
    ready = rf"{row['services.worker']} · \S*\s*{row['services.ready']}"
    caption(person, ready.format(number=before))
    field = person.write(row["services.workers"].format(name="llm"), str(after))
    field.send_keys("\t")
    person.press(row["services.scale"].format(name="llm"))
    person.read(row["services.scaled"].format(name="llm", count=after))
    check(person, language)
    services.wait_until(
        lambda _: [each["state"] for each in services.group("llm")["workers"]] == ["ready"] * after
    )
    caption(person, ready.format(number=after))
    pids = services.pids("llm")
    person.press(row["services.restart"].format(name="llm"))
    person.read(row["services.restarted"].format(name="llm"))
    check(person, language)
    services.wait_until(lambda _: not set(services.pids("llm")[1:]) & set(pids))
    person.press(row["services.scale"].format(name="index"))
    person.read(row["services.scaled"].format(name="index", count=1))
    check(person, language)


def test_a_model_is_tuned_with_defaults_and_its_losses_are_seen_as_they_come(person, tmp_path):
    file = tmp_path / "tea.jsonl"
    file.write_text("".join(json.dumps({"text": line}) + "\n" for line in LINES))
    person.go_to("Tuning")
    person.read("No jobs yet")
    person.upload(file)
    person.press("Upload the file")
    person.read("was added. Examples: 24.")
    person.press("Prepare (J2B)")
    person.read("Examples prepared: 24.")
    # What was prepared is chosen now.
    person.gone("//button[contains(., 'Prepare (J2B)')]")
    needed = caption(person, r"Needs about (\d+) MB of memory; \d+\.\d GB are free on cpu")
    assert 50 < int(needed[1]) < 5000
    person.press("Start State-Tune")
    person.read("State-Tune is in the queue.")
    first = caption(person, r"Step (\d+) · training loss \d")
    person.see("//*[@data-testid='stVegaLiteChart']//*[name()='canvas' or name()='svg']")
    caption(person, rf"Step (?!{first[1]}\b)\d+ · training loss \d")
    caption(person, r"Step \d+ of 1000")
    person.press("Cancel State-Tune")
    caption(person, r"\bcancelled\b")


def test_a_result_is_used_for_answers_and_another_model_is_chosen(person, services):
    person.go_to("Tuning")
    person.pick("Examples", "tea · prepared")
    person.unfold("Options")
    for label, words in (("Most steps", "4"), ("Steps between two evaluations", "2")):
        person.write(label, words).send_keys("\t")
    person.settle()
    person.press("Start State-Tune")
    caption(person, r"Held-out loss from \d+\.\d+ to \d+\.\d+, after 4 steps")
    person.press("Use the result of State-Tune for answers")
    person.read("The service llm starts again with the result")
    assert "state.pth" in services.file.read_text("utf-8")
    person.go_to("Models")
    caption(person, r"Model in use: base\.pth\. With: tuned state")
    services.wait_until(
        lambda status: all(
            each["state"] == "ready" and not group["is_replacing"]
            for service in status["services"]
            for group in service["groups"]
            for each in group["workers"]
        )
    )
    person.go("/")
    person.pick("Knowledge base", "tea")
    person.ask("At how many degrees is green tea brewed?")
    person.see("//button[contains(., 'Good answer')]")
    assert services.group("llm")["queues"]["generator"]["served"] >= 2
    person.go_to("Models")
    person.pick("Base model", "none, answers quote the documents")
    person.press("Use for answers")
    caption(person, r"Model in use: none")
    person.write("Name of the model", "no/such-model-anywhere")
    person.press("Fetch")
    caption(person, r"The service says|cannot be reached|not")
    person.read("sentence-transformers/all-MiniLM-L6-v2")


@pytest.mark.parametrize("language", IN_TURN)
def test_the_new_pages_are_translated(person, language):
    row = speak(person, language)
    for page in LAST:
        person.go_to(row[f"nav.{page}"])
        person.read(row[f"{page}.title"])
        person.see(LAST[page])
        check(person, language)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_new_pages_have_no_serious_fault_for_people_with_disabilities(person, theme):
    driver = person.browser.driver
    features = [{"name": "prefers-color-scheme", "value": theme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    found = {}
    for page in LAST:
        person.go(f"/{page}")
        person.see(LAST[page])
        found[page] = axe.faults(driver)
    assert {page: each for page, each in found.items() if each} == {}
