"""Makes pictures of the pages Services, Tuning and Models, with a job and its losses.

    python scripts/screenshots_of_services.py DIR    # in both themes and at a phone's width

It starts the services with a small made model, the web client, and Debian's Chromium.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))
sys.path.insert(0, str(ROOT / "scripts"))

from chromium import chromium  # noqa: E402 - from the folder above
from cli_process import CliProcess  # noqa: E402
from screenshots import PHONE, WIDE, Pictures  # noqa: E402
from small_rwkv import random_model, write_model  # noqa: E402
from started_services import StartedServices  # noqa: E402
from web_client import Person  # noqa: E402

TALL = {"wide": (WIDE[0], 1900), "phone": (PHONE[0], 2600)}
"""The whole page in one picture."""
LAST = {
    "services": "//*[contains(text(), 'Settings file')]",
    "tuning": "//*[contains(text(), 'training loss')]",
    "models": "//*[contains(text(), 'all-MiniLM-L6-v2')]",
}
"""What each page shows when it is complete."""


def main() -> None:
    """Start everything and take the pictures."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    target = parser.parse_args().folder
    target.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        opened.enter_context(_services(folder)).start()
        client = CliProcess("ui", folder=folder)
        opened.callback(client.end)
        opened.callback(client.signal)
        url = client.wait_for(r"Open (http://\S+) in a browser")[1]
        person = Person(opened.enter_context(chromium(folder)), url)
        pictures = Pictures(person, target)
        _begin_a_job(person, folder)
        for theme in ("light", "dark"):
            for width, size in TALL.items():
                pictures.look(size, theme)
                for page in LAST:
                    person.go(f"/{page}")
                    person.see(LAST[page])
                    person.gone("//*[@data-testid='stSkeleton']")
                    # It is drawn again and again, so it never settles.
                    taken = person.browser.screenshot(page)
                    shutil.move(taken, target / f"{theme}-{width}-{page}.png")


def _services(folder: Path) -> StartedServices:
    files = folder / "kvasir-data" / "tuning"
    files.mkdir(parents=True)
    base = random_model(7, vocabulary=65_536, layers=2, width=64, head_size=32)
    write_model(base, files / "rwkv7-small.pth")
    lines = [f"User: How long does tea {n} brew?\n\nAssistant: {n % 7} minutes" for n in range(24)]
    text = "".join(json.dumps({"text": line}) + "\n" for line in lines)
    (files / "brewing.jsonl").write_text(text, "utf-8")
    ports = {"server": {"port": 0}, "ui": {"port": 0}}
    return StartedServices(folder, llm={}, index={}, tuning={}, **ports)


def _begin_a_job(person: Person, folder: Path) -> None:
    del folder
    person.go("/tuning")
    person.press("Prepare (J2B)")
    person.read("Examples prepared: 24.")
    person.press("Start State-Tune")
    person.read("training loss")


if __name__ == "__main__":
    main()
