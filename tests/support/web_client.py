"""``kvasir ui`` in a process of its own, and a person at it."""

import re
import string
import time
from functools import cache

import httpx
from chromium import Browser, keyboard, locators
from cli_process import CliProcess
from libraries import library

from kvasir.frontends.ui.texts import table

TimeoutException = library("selenium.common.exceptions").TimeoutException

WORDS_OF_STREAMLIT = {"Upload", "Browse files", "Skip to main content"}
"""Words that Streamlit has in English only, for which a page shows its own."""
WORDS_OF_FAULTS = ("Traceback", "Error:", "Exception")


class WebClientProcess:
    """The web client of a server, at a free port."""

    def __init__(self, server, *options):
        self._arguments = ["ui", "--server", server, "--port", "0", *options]

    def __enter__(self):
        self._running = CliProcess(*self._arguments)
        self.url = self._running.wait_for(r"The web client is at (http://\S+)")[1]
        return self

    def __exit__(self, *_):
        self._running.signal()
        assert self._running.end() == 0, "".join(self._running.lines)


class Person:
    """Somebody who sees the pages, and presses what is written on buttons."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.browser, self.url = browser, url

    def go(self, path="/"):
        self.browser.driver.get(self.url + path)

    def sign_in(self, name, password):
        self.browser.fill(self.see("//input[@name='username']"), name)
        field = self.see("//input[@name='password']")
        self.browser.fill(field, password)
        field.send_keys(keyboard.Keys.ENTER)

    def see(self, path):
        """Return what is shown at a path; a failure has the words of the page, and a picture."""
        try:
            return self.browser.find(path)
        except TimeoutException as error:
            picture = self.browser.screenshot("missing")
            shown = f"the page ({picture}) shows:\n{self.page()}"
            raise AssertionError(f"nothing is shown at {path}; {shown}") from error

    def read(self, words):
        """Wait for words on the page."""
        return self.see(f"//*[text()[contains(., {quoted(words)})]]")

    def press(self, words):
        """Press a button, also one that the page draws again meanwhile."""
        self._again(f"//button[contains(normalize-space(.), {quoted(words)})]")

    def go_to(self, name):
        """Follow the page's name beside the page."""
        self._again(f"//nav//a[contains(., {quoted(name)})] | //li//a[contains(., {quoted(name)})]")

    def choose(self, words):
        """Choose one of several: a radio button, a switch or a section."""
        label = f"//label[contains(., {quoted(words)})]"
        self._again(f"{label} | //button[normalize-space(.)={quoted(words)}]")

    def unfold(self, words):
        """Open what is folded up."""
        self._again(f"//summary[contains(., {quoted(words)})]")

    def _again(self, path):
        for attempt in range(20):
            element = self.see(path)
            try:
                self.browser.driver.execute_script(
                    "arguments[0].scrollIntoView({block: 'center'})", element
                )
                element.click()
                return
            except Exception as error:  # Streamlit replaces elements while it draws.
                if attempt == 19 or not is_redrawn(error):
                    raise
                time.sleep(0.25)

    def write(self, label, words):
        """Write into the field with a label."""
        path = f"//*[@aria-label={quoted(label)}]"
        self.browser.fill(self.see(path), words)
        return self.see(path)

    def ask(self, question, label="Ask a question"):
        field = self.see(f"//textarea[@aria-label={quoted(label)} or @placeholder={quoted(label)}]")
        self.browser.fill(field, question)
        field.send_keys(keyboard.Keys.ENTER)

    def pick(self, label, choice):
        """Choose from the list with a label."""
        self._again(
            f"//*[@data-testid='stSelectbox'][.//*[text()={quoted(label)}]]"
            "//*[@role='combobox' or @data-baseweb='select']"
        )
        self._again(f"//*[@role='option'][contains(., {quoted(choice)})]")

    def upload(self, *files):
        """Give files to the field for them, which is not shown itself."""
        self.see("//*[@data-testid='stFileUploader']")
        (field,) = self._all("//input[@type='file']")
        field.send_keys("\n".join(map(str, files)))

    def api(self, server, path, name="ana"):
        """Return what the API says to a user."""
        headers = {"Authorization": f"Bearer {server.keys[name]}"}
        answer = httpx.get(server.url + path, headers=headers, timeout=60)
        assert answer.is_success, answer.text
        return answer.json()

    def tab_to(self, is_it, most=80):
        """Press Tab until the element that has the focus is the right one; return it."""
        driver, passed = self.browser.driver, []
        for _ in range(most):
            active = driver.switch_to.active_element
            if is_it(active):
                return active
            passed.append(f"{active.tag_name} {active.get_attribute('aria-label')} {active.text!r}")
            active.send_keys(keyboard.Keys.TAB)
        raise AssertionError("Tab comes to these alone:\n" + "\n".join(dict.fromkeys(passed)))

    def gone(self, path, seconds=30.0):
        """Wait until nothing is shown at a path any more."""
        end = time.monotonic() + seconds
        while any(each.is_displayed() for each in self._all(path)):
            assert time.monotonic() < end, f"{path} is still there"
            time.sleep(0.1)

    def _all(self, path):
        return self.browser.driver.find_elements(locators.By.XPATH, path)

    def wait_for_jobs(self, server, collection, seconds=60.0):
        """Wait until nothing is being indexed."""
        end = time.monotonic() + seconds
        path = f"/v1/jobs?collection={collection}&state=waiting&state=running"
        while self.api(server, path):
            assert time.monotonic() < end, "jobs are still at work"
            time.sleep(0.1)

    def settle(self, seconds=30.0):
        """Wait until nothing is drawn any more."""
        end = time.monotonic() + seconds
        path = "//*[@data-test-script-state]"
        while time.monotonic() < end:
            (app,) = self.browser.driver.find_elements(locators.By.XPATH, path)[:1] or (None,)
            if app is not None and app.get_attribute("data-test-script-state") == "notRunning":
                return
            time.sleep(0.1)
        raise AssertionError("the page is still drawn")

    def is_translated(self, language, seconds=60.0):
        """Wait until the page shows no English text of the client, and some of the language."""
        end = time.monotonic() + seconds
        while (left := untranslated(self.page(), language)) and time.monotonic() < end:
            time.sleep(0.2)  # Streamlit draws a page piece by piece.
        assert left == set()
        assert set(self.page().splitlines()) & {row[language] for row in table().values()}

    def page(self):
        """Return the words that the page shows."""
        return self.browser.driver.find_element(locators.By.TAG_NAME, "body").text


def untranslated(page, language):
    """Return the lines of a page that are English texts of the client, also with values in them."""
    own = [pattern(row[language]) for row in table().values()]
    english = [pattern(row["en"]) for row in table().values()]
    return {
        line
        for line in map(str.strip, page.splitlines())
        if (line in WORDS_OF_STREAMLIT or any(each.fullmatch(line) for each in english))
        and not any(each.fullmatch(line) for each in own)
    }


@cache
def pattern(words):
    """Return a pattern for a text with any values; one of few letters has to be there as it is."""
    pieces = list(string.Formatter().parse(words))
    if len(re.findall(r"\w", "".join(each for each, *_ in pieces))) < 4:
        return re.compile(re.escape(words))
    return re.compile(
        "".join(re.escape(each) + ("" if name is None else ".+") for each, name, *_ in pieces)
    )


def is_redrawn(error):
    return type(error).__name__ in (
        "StaleElementReferenceException",
        "ElementClickInterceptedException",
        "ElementNotInteractableException",
    )


def quoted(words):
    """Return an XPath literal."""
    return f'"{words}"' if "'" in words else f"'{words}'"
