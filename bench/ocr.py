"""Text recognition: character error rates of printed, degraded and turned pages, and speed.

    python bench/ocr.py [pdf] [pictures] [scripts]

The fonts are those of ``scripts/install_system_packages.sh``. Pages are read the way that
``kvasir ingest`` does it, in an extraction child.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from kvasir.core.types import Document
from kvasir.ingesting.extraction import ExtractionPool
from kvasir.testing import scans

_FONTS = Path("/usr/share/fonts/truetype")
LATIN_FONTS = (
    "dejavu/DejaVuSans.ttf",
    "liberation/LiberationSerif-Regular.ttf",
    "liberation/LiberationSans-Regular.ttf",
)
CHINESE_FONTS = ("wqy/wqy-zenhei.ttc", "arphic/uming.ttc", "arphic/ukai.ttc")
TEXTS = {
    "English": (
        "The harbour master keeps a register of every vessel that enters the port between sunrise "
        "and sunset. Each entry names the ship, its flag, the draught in metres (for example "
        "7.25 m) and the berth. Fees are due within 30 days; a late payment costs 12.5% more, but "
        "never less than $45.00.",
        "Pilots board the ship two miles from the entrance. Whoever wants to leave before 6:30 "
        "must tell the office on the day before, by telephone or by mail to port@example.org.",
    ),
    "Spanish": (
        "El capitán del puerto lleva un registro de cada buque que entra entre la salida y la "
        "puesta del sol. ¿Quién paga la señalización? Según el artículo 14, la compañía abona "
        "1.350,75 € al año; además, los pingüinos y la cigüeña están protegidos por ley.",
        "¡Atención! Los prácticos suben a bordo a dos millas de la bocana. Quien quiera salir "
        "antes de las 6:30 avisará a la oficina el día anterior, por teléfono o por correo.",
    ),
    "Chinese": (
        "港务长登记日出至日落之间进港的每一艘船舶。每条记录写明船名、船旗、吃水和泊位。"
        "费用应在三十天内缴纳，逾期另收百分之十二，但不少于四十五元。所有文件保存十年。",
        "引航员在距港口两海里处登船。需要在清晨六点半以前离港的船舶，应当在前一天通过电话或者"
        "邮件通知办公室。天气不好的时候，港口可能暂时关闭，请注意广播里的通知。",
    ),
    "German": (
        "Der Hafenmeister führt ein Verzeichnis über jedes Schiff. Größere Gebühren müssen "
        "binnen 30 Tagen bezahlt werden; die Straße zum Kai ist für Fußgänger gesperrt.",
    ),
    "French": (
        "Le capitaine du port tient un registre de chaque navire. Les frais sont dus à l'échéance "
        "fixée ; où êtes-vous allés en été, à la fête des élèves, au cœur de la forêt ?",
    ),
    "Vietnamese": (
        "Trưởng cảng ghi lại mọi tàu thuyền vào cảng từ lúc mặt trời mọc đến khi mặt trời lặn. "
        "Phí phải được nộp trong vòng ba mươi ngày; nộp trễ sẽ bị phạt thêm mười hai phần trăm.",
    ),
    "Russian": (
        "Начальник порта ведёт реестр всех судов, которые входят в порт от восхода до заката. "
        "Сборы уплачиваются в течение тридцати дней, опоздание стоит дороже.",
    ),
    "Greek": (
        "Ο λιμενάρχης τηρεί μητρώο για κάθε πλοίο που μπαίνει στο λιμάνι από την ανατολή έως τη "
        "δύση του ηλίου. Τα τέλη καταβάλλονται μέσα σε τριάντα ημέρες.",
    ),
    "Japanese": (
        "港長は日の出から日没までに入港するすべての船を登録します。料金は三十日以内に支払わなければ"
        "なりません。遅れた場合は追加の料金がかかります。",
    ),
    "Korean": (
        "항만장은 해가 뜰 때부터 질 때까지 입항하는 모든 선박을 기록합니다. 요금은 삼십 일 안에 "
        "납부해야 하며 늦으면 더 많이 내야 합니다.",
    ),
}
MEASURED = ("English", "Spanish", "Chinese")
TURNS = (0, 90, 180, 270)
KINDS = {"PNG": "png", "JPEG": "jpg", "TIFF": "tif", "WEBP": "webp"}


def fonts(language: str) -> tuple[str, ...]:
    """Return the font files in which a language is printed."""
    names = CHINESE_FONTS if language in ("Chinese", "Japanese", "Korean") else LATIN_FONTS
    return tuple(str(_FONTS / name) for name in names)


def plan(count: int = 10) -> list[tuple[str, str]]:
    """Return language and font of each page of the scanned PDF."""
    order = [(name, fonts(name)) for name in MEASURED]
    pages = []
    for number in range(count):
        language, files = order[number % len(order)]
        pages.append((language, files[number // len(order) % len(files)]))
    return pages


def page_text(language: str, page: int) -> list[str]:
    """Return the paragraphs of a page; equal first lines on three pages are running heads."""
    first, second = TEXTS[language]
    return [first, second] * 3 if page // len(MEASURED) % 2 else [second, first] * 3


def rate(wanted: list[str], got: str) -> float:
    """Return the character error rate."""
    text = "".join("".join(wanted).split())
    return scans.character_errors(text, got) / len(text)


def text_of_page(document: Document, page: int) -> str:
    """Return the text of a document's page."""
    blocks = (block for block in document.blocks if block.page == page)
    return "".join(document.text[block.start : block.end] for block in blocks)


def read(pool: ExtractionPool, path: Path) -> tuple[Document, float]:
    """Return the document and the seconds that it took."""
    started = time.perf_counter()
    _, outcome = pool.extract(path)
    if not isinstance(outcome, Document):
        raise SystemExit(f"{path.name}: {outcome}")
    return outcome, time.perf_counter() - started


def scanned_pdf(pool: ExtractionPool, folder: Path, noise: scans.Noise) -> None:
    """Print the error rates of a degraded PDF of ten pages, and its pages per minute."""
    pages = plan()
    pictures = [
        scans.degrade(scans.print_page(page_text(language, number), font), number, noise)
        for number, (language, font) in enumerate(pages)
    ]
    path = folder / "scan.pdf"
    path.write_bytes(scans.scanned_pdf(pictures))
    document, seconds = read(pool, path)
    rates = defaultdict(list)
    for number, (language, font) in enumerate(pages, 1):
        found = rate(page_text(language, number - 1), text_of_page(document, number))
        rates[language].append(found)
        print(f"  page {number}: {language}, {Path(font).stem}: {found:.2%}")
    every = [one for found in rates.values() for one in found]
    shown = ", ".join(f"{name} {sum(each) / len(each):.2%}" for name, each in rates.items())
    mean = sum(every) / len(every)
    print(f"{noise}: {mean:.2%} ({shown}); {60 * len(pages) / seconds:.1f} pages per minute")


def pictures(pool: ExtractionPool, folder: Path) -> None:
    """Print the error rates of pictures of each format, turned by quarters."""
    text = list(TEXTS["English"])
    page = scans.print_page(text, fonts("English")[0], size=(1400, 700), margin=60)
    for kind, ending in KINDS.items():
        found = []
        for turn in TURNS:
            path = folder / f"page-{turn}.{ending}"
            path.write_bytes(scans.encoded(page.rotate(turn, expand=True), kind))
            found.append(f"{turn}: {rate(text, read(pool, path)[0].text):.2%}")
        print(f"{kind}: {', '.join(found)}")


def scripts(pool: ExtractionPool, folder: Path) -> None:
    """Print the error rates of clean pages in languages of other letters."""
    for language, text in TEXTS.items():
        page = scans.print_page(text, fonts(language)[0], size=(1400, 700), margin=60)
        path = folder / f"{language}.png"
        path.write_bytes(scans.encoded(page, "PNG"))
        _, outcome = pool.extract(path)
        got = outcome.text if isinstance(outcome, Document) else ""
        print(f"{language}: {rate(list(text), got):.2%}  {got[:60]!r}", flush=True)


def main() -> None:
    """Run the measurements that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["pdf", "pictures", "scripts"])
    wanted = parser.parse_args().what
    with tempfile.TemporaryDirectory() as name, ExtractionPool(1, timeout=600) as pool:
        folder = Path(name)
        if "scripts" in wanted:
            scripts(pool, folder)
        if "pictures" in wanted:
            pictures(pool, folder)
        if "pdf" in wanted:
            for noise in ("gaussian", "salt_and_pepper"):
                scanned_pdf(pool, folder, noise)


if __name__ == "__main__":
    main()
