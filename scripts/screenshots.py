"""Makes the pictures of the web client in ``images`` again, or of every page elsewhere.

    python scripts/screenshots.py              # the pictures of the manual
    python scripts/screenshots.py --all DIR    # every page, in both themes and at a phone's width

It starts a server over the pages of the manual, the web client, and Debian's Chromium.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

from chromium import chromium  # noqa: E402 - from the folder above
from live_server import live_server  # noqa: E402
from web_client import Person, WebClientProcess  # noqa: E402

from kvasir.core.services.accounts import Role  # noqa: E402

IMAGES = ROOT / "images"
DOCUMENTS = ("documents.md", "questions.md")
QUESTION = "What happens to a file that needs a password?"
WIDE, HIGH, PHONE = (1200, 900), (1200, 1360), (390, 844)
"""Sizes of the window; in the high one a whole answer has room."""
PASSWORD = "correct horse"


class Pictures:
    """Takes pictures of the pages as a person sees them."""

    def __init__(self, person: Person, folder: Path) -> None:
        self._person = person
        self._folder = folder

    def look(self, size: tuple[int, int], theme: str) -> None:
        """Use a window of this size, and the light or the dark theme."""
        driver = self._person.browser.driver
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": theme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def take(self, name: str) -> None:
        """Write a picture of the page when it is drawn."""
        self._person.settle()
        shutil.move(self._person.browser.screenshot(name), self._folder / f"{name}.png")

    def of_sign_in(self, name: str) -> None:
        """Take the page to sign in, in both themes."""
        for theme in ("light", "dark"):
            self.look(PHONE, theme)
            self._person.see("//input[@name='username']")
            shutil.move(self._person.browser.screenshot(name), self._folder / f"{theme}-{name}.png")

    def of_answer(self, name: str) -> None:
        """Ask, and take the answer with its sources."""
        person = self._person
        person.go("/")
        person.see("//textarea")
        if self._is_wide():
            person.press("New chat")
        person.ask(QUESTION)
        person.see("//button[contains(., 'Open source')]")
        self.take(name)

    def of_source(self, name: str) -> None:
        """Open the first source of the answer."""
        self._person.press("Open source")
        self._person.see("//mark")
        self.take(name)

    def _is_wide(self) -> bool:
        return bool(self._person.browser.driver.execute_script("return innerWidth > 800"))


def main() -> None:
    """Start everything and take the pictures."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, metavar="DIR")
    chosen = parser.parse_args()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        server = opened.enter_context(
            live_server(folder, rag={}, collection="manual", questions={"workers": 1})
        )
        owner = server.add_user("ana", role=Role.ADMIN)
        server.add_user("bob")
        for name in DOCUMENTS:
            text = (ROOT / "docs" / name).read_text("utf-8")
            server.add_document("manual", f"ana/{name}", text, owner=owner)
        client = opened.enter_context(WebClientProcess(server.url))
        browser = opened.enter_context(chromium(folder))
        person = Person(browser, client.url)
        target = chosen.all or IMAGES
        target.mkdir(parents=True, exist_ok=True)
        pictures = Pictures(person, target)
        pictures.look(WIDE, "light")
        person.go()
        if chosen.all:
            pictures.of_sign_in("sign-in")
        person.sign_in("ana", PASSWORD)
        person.see("//textarea")
        if chosen.all:
            take_all(pictures, person)
        else:
            pictures.look(HIGH, "light")
            pictures.of_answer("ask")
            pictures.look(WIDE, "light")
            pictures.of_source("source")


def take_all(pictures: Pictures, person: Person) -> None:
    """Take every page, in both themes and at both widths."""
    for theme in ("light", "dark"):
        for width, size in (("wide", WIDE), ("phone", PHONE)):
            pictures.look(size, theme)
            kind = f"{theme}-{width}"
            pictures.of_answer(f"{kind}-ask")
            pictures.of_source(f"{kind}-source")
            for page in ("knowledge", "questions", "evaluation", "help"):
                person.go(f"/{page}")
                person.see("//h1")
                pictures.take(f"{kind}-{page}")
            person.go("/knowledge")
            person.press("Open manual")
            person.see("//button[contains(., 'Index documents.md')]")
            pictures.take(f"{kind}-files")
            for section, seen in (("Add", "Paste a text"), ("Share", "May read")):
                person.choose(section)
                person.see(f"//*[contains(text(), '{seen}')]")
                pictures.take(f"{kind}-{section.lower()}")


if __name__ == "__main__":
    main()
