"""A person at a browser: Swagger UI from the registration to the mail, and the pages of links."""

import json
import time

import pytest
from account_client import NO_LIMITS, PASSWORD
from chromium import Browser, chromium, keyboard, locators
from free_ports import free_port
from live_server import live_server
from pdf_files import make_pdf
from smtp_server import SmtpServer, body_of

from kvasir.accounts import passwords

pytestmark = pytest.mark.xdist_group("browser")

TEA = (
    "Green tea is brewed at 80 degrees Celsius for two minutes.",
    "Black tea is brewed at 95 degrees Celsius for four minutes.",
)
QUESTION = "At how many degrees is green tea brewed?"
ANA = {"email": "ana@example.org", "username": "ana", "password": PASSWORD}


@pytest.fixture(scope="module")
def smtp():
    with SmtpServer() as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory, smtp):
    passwords._MEMORY_KIB = 64
    port = free_port()
    with live_server(
        tmp_path_factory.mktemp("service"),
        port=port,
        server={"public_url": f"http://127.0.0.1:{port}"},
        accounts={"rate_limits": NO_LIMITS},
        questions={"workers": 1, "collection": "course"},
        mail={"host": "127.0.0.1", "port": smtp.port, "security": "none", "sender": "k@k.org"},
    ) as running:
        yield running


class Swagger:
    """The operations of Swagger UI."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        browser.driver.get(f"{url}/docs")

    def authorize(self, username: str, password: str) -> None:
        """Log in by user name and password."""
        self._browser.click("//button[contains(@class, 'authorize')]")
        form = self._browser.find("//div[@class='auth-container'][.//input[@id='oauth_username']]")
        self._browser.fill(self._browser.find(".//input[@id='oauth_username']", form), username)
        self._browser.fill(self._browser.find(".//input[@id='oauth_password']", form), password)
        self._browser.click(".//button[contains(@class, 'authorize')]", form)
        self._browser.find(".//button[text()='Logout']", form)
        self._browser.click("//button[contains(@class, 'btn-done')]")

    def call(self, method, path, *, body=None, file=None, **parameters):
        """Fill in an operation's form, execute it, and return status and text of the answer."""
        row = f"//div[contains(@class, 'opblock-{method}')][.//*[@data-path='{path}']]"
        block = self._browser.find(row)
        self._browser.click(".//button[contains(@class, 'opblock-summary-control')]", block)
        self._browser.click(".//button[contains(@class, 'try-out__btn')]", block)
        for name, value in parameters.items():
            field = self._browser.find(f".//tr[@data-param-name='{name}']//input", block)
            self._browser.fill(field, value)
        if body is not None:
            field = self._browser.find(".//textarea[@class='body-param__text']", block)
            self._browser.fill(field, json.dumps(body))
        if file is not None:
            block.find_element(locators.By.XPATH, ".//input[@type='file']").send_keys(str(file))
        self._browser.click(".//button[contains(@class, 'execute')]", block)
        answer = self._browser.find(".//tr[@class='response'][parent::tbody]", self._live(block))
        status = self._browser.find(".//td[contains(@class, 'response-col_status')]", answer)
        text = self._browser.find(".//td[contains(@class, 'response-col_description')]", answer)
        return int(status.text.split()[0]), text.text

    def _live(self, block):
        return self._browser.find(".//table[contains(@class, 'live-responses-table')]", block)


def wait_for_mail(smtp: SmtpServer):
    end = time.monotonic() + 30
    while not smtp.mails and time.monotonic() < end:
        time.sleep(0.05)
    (mail,) = smtp.mails
    return mail


def test_swagger_ui_from_the_registration_to_the_passage_behind_the_mail(tmp_path, server, smtp):
    file = tmp_path / "tea.pdf"
    lines = [(72, 700 - 20 * number, 12, line) for number, line in enumerate(TEA)]
    file.write_bytes(make_pdf([lines]))
    with chromium(tmp_path) as browser:
        swagger = Swagger(browser, server.url)
        assert swagger.call("post", "/user/", body=ANA)[0] == 201
        swagger.authorize("ana", PASSWORD)
        assert swagger.call("post", "/v1/collections", body={"name": "course"})[0] == 201
        place = "/v1/collections/{name}"
        uploading = swagger.call("post", f"{place}/documents", name="course", file=file, wait="30")
        assert uploading[0] == 202, uploading
        assert '"state": "done"' in uploading[1]
        ask = {"question": QUESTION}
        status, answer = swagger.call("post", f"{place}/answers", name="course", body=ask)
        assert status == 200
        assert "80 degrees Celsius" in answer
        browser.screenshot("asked")
        status, stored = swagger.call("post", "/", body={"input": QUESTION})
        assert status == 201
        assert "ana@example.org" in stored
        browser.screenshot("stored")
        assert browser.complaints() == []

        mail = wait_for_mail(smtp)
        assert TEA[0] in body_of(mail, "plain")
        (link,) = (word for word in body_of(mail, "plain").split() if "/read/course/" in word)
        browser.driver.get(link)
        browser.screenshot("signing-in")
        browser.find("//input[@name='username']").send_keys("ana")
        browser.find("//input[@name='password']").send_keys(PASSWORD, keyboard.Keys.ENTER)
        assert browser.find("//mark").text == TEA[0]
        assert TEA[1] in browser.find("//div[@class='passage']").text
        browser.screenshot("passage")
        assert browser.find("//a[contains(@href, '/original')]")
        assert browser.hosts() == {server.url.removeprefix("http://")}
        assert browser.complaints() == []
