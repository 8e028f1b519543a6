"""``kvasir sync`` of a folder, a bucket and a site with a sitemap: only what changed is read."""

from __future__ import annotations

import gzip
import logging.handlers
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from s3_server import s3_bucket
from web_site import Page, Site, serving_site

from kvasir.app import App
from kvasir.settings.loading import load_settings

Kvasir = Callable[..., Any]
_NUMBER = 80
_CHANGED = _NUMBER // 10
_ALLOW = (
    *("--set", "rag.ingest.allow_private_urls=true"),
    *("--set", "rag.web_search.page_timeout=300"),
)


def text_of(name: str, version: int) -> str:
    number = int(name.strip("page.md"))
    return (
        f"# Garden {number}\n\nThe tea of garden {number} is brewed at {40 + number} degrees, "
        f"says edition {version} of the book number {7 * number}.\n"
    )


@dataclass
class World:
    """A folder, a bucket and a site that have the same documents."""

    folder: Path
    bucket: str
    site: Site
    versions: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.s3 = boto3.client("s3")
        self.name = self.bucket.removeprefix("s3://")
        # The lines that the server of the bucket writes for each request.
        self.asked_bucket = logging.handlers.BufferingHandler(1_000_000)
        logging.getLogger("werkzeug").addHandler(self.asked_bucket)

    def write(self, name: str, version: int) -> None:
        self.versions[name] = version
        text = text_of(name, version)
        (self.folder / name).write_text(text)
        self.s3.put_object(Bucket=self.name, Key=f"docs/{name}", Body=text.encode())
        headers = {"ETag": f'"{version}"'}
        self.site.pages[f"/{name}"] = Page(text.encode(), "text/markdown", headers=headers)

    def delete(self, name: str) -> None:
        del self.versions[name], self.site.pages[f"/{name}"]
        (self.folder / name).unlink()
        self.s3.delete_object(Bucket=self.name, Key=f"docs/{name}")

    def publish(self) -> None:
        """Write the site's index of sitemaps and its one sitemap."""
        urls = "".join(f"<url><loc>{self.site.url}/{name}</loc></url>" for name in self.versions)
        space = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
        packed = gzip.compress(f"<urlset {space}>{urls}</urlset>".encode())
        index = f"<sitemap><loc>{self.site.url}/pages.xml.gz</loc></sitemap>"
        self.site.pages["/sitemap.xml"] = Page(
            f"<sitemapindex {space}>{index}</sitemapindex>".encode(), "application/xml"
        )
        self.site.pages["/pages.xml.gz"] = Page(packed, "application/gzip")

    def change(self, number: int) -> tuple[set[str], set[str], set[str]]:
        """Change, add and remove a tenth; return their names."""
        names = sorted(self.versions)
        step = len(names) // _CHANGED
        changed, gone = names[::step][:_CHANGED], names[1::step][:_CHANGED]
        added = [f"page{1000 * number + each}.md" for each in range(_CHANGED)]
        for name in [*changed, *added]:
            self.write(name, number + 1)
        for name in gone:
            self.delete(name)
        self.publish()
        return set(changed), set(added), set(gone)

    def requests(self) -> Counter[str]:
        """Return the number of requests to site and bucket by kind since the last call."""
        found = Counter(
            f"page {status}" for path, status in self.site.asked if path.endswith(".md")
        )
        self.site.asked.clear()
        lines = [record.getMessage() for record in self.asked_bucket.buffer]
        found["object"] = sum("GET /" in line and ".md HTTP" in line for line in lines)
        self.asked_bucket.flush()
        return +found

    def uris(self) -> set[str]:
        places = (f"{self.folder}/", f"{self.bucket}/docs/", f"{self.site.url}/")
        return {place + name for place in places for name in self.versions}


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    (tmp_path / "docs").mkdir()
    # All buckets of a process are in one memory, also after their server has ended.
    name = f"library{abs(hash(request.node.nodeid))}"
    with s3_bucket(name) as bucket, serving_site() as site:
        made = World(tmp_path / "docs", bucket, site)
        for number in range(_NUMBER):
            made.write(f"page{number}.md", 1)
        made.publish()
        made.requests()
        yield made
        logging.getLogger("werkzeug").removeHandler(made.asked_bucket)


def test_sync_reads_and_embeds_only_what_changed_and_goes_on_after_a_kill(
    kvasir: Kvasir, world: World, tmp_path: Path
) -> None:
    """Three times a tenth is changed, added and gone; the second run is killed in the middle."""
    sitemap = f"{world.site.url}/sitemap.xml"
    sources = [("docs",), (f"{world.bucket}/docs",), ("--sitemap", sitemap)]
    for given in sources:
        report = kvasir("ingest", *given, "--json", *_ALLOW).json
        assert (len(report["added"]), report["failed"]) == (_NUMBER, [])
    assert world.requests() == {"object": _NUMBER, "page 200": _NUMBER}
    for number in range(1, 4):
        changed, added, gone = world.change(number)
        world.requests()
        before = Counter[str]()
        if number == 2:
            before = killed_in_the_middle(world, tmp_path)
        report = kvasir("sync", "--json", *_ALLOW).json
        asked = world.requests()
        print(number, "killed run:", dict(before), "run:", dict(asked))
        total = before + asked
        kept = _NUMBER - len(changed) - len(gone)
        if number == 2:
            # Folder and bucket were done; of the site, the pages after the kill are fetched now.
            assert asked["object"] == 0
            assert 0 < asked["page 200"] < len(changed | added)
            assert len(changed | added) <= total["page 200"] <= len(changed | added) + 64
        else:
            assert asked == {
                "object": len(changed | added),
                "page 200": len(changed | added),
                "page 304": kept,
            }
            assert report["chunks_embedded"] + report["chunks_reused"] == 3 * len(changed | added)
            assert Counter(map(name_of, report["added"])) == dict.fromkeys(added, 3)
            assert Counter(map(name_of, report["replaced"])) == dict.fromkeys(changed, 3)
            assert Counter(map(name_of, report["removed"])) == dict.fromkeys(gone, 3)
            assert len(report["unchanged"]) == 3 * kept
        assert report["failed"] == []
        check_documents(world, tmp_path)
    report = kvasir("sync", "--json", *_ALLOW).json
    assert world.requests() == {"page 304": _NUMBER}
    assert (len(report["unchanged"]), report["chunks_embedded"]) == (3 * _NUMBER, 0)


def name_of(uri: str) -> str:
    return uri.rpartition("/")[2]


def killed_in_the_middle(world: World, folder: Path) -> Counter[str]:
    """Run ``sync`` until the site's last page is fetched, and kill it; return its requests."""
    last = world.site.pages[f"/{list(world.versions)[-1]}"]
    last.waits = True
    command = [sys.executable, "-m", "kvasir", "sync", *_ALLOW]
    environment = os.environ | {"KVASIR__DATA_DIR": "kvasir-data"}
    process = subprocess.Popen(command, cwd=folder, env=environment)
    end = time.monotonic() + 600
    while not any(status == 0 for _, status in world.site.asked):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    last.waits = False
    return world.requests()


def check_documents(world: World, folder: Path) -> None:
    settings = load_settings({}, {"data_dir": folder / "kvasir-data"}, {})
    with App(settings) as app, app.collection() as collection:
        assert {each.source_uri for each in collection.documents()} == world.uris()
        assert collection.inspect().clean
        for name, version in world.versions.items():
            for place in (f"{world.folder}/", f"{world.bucket}/docs/", f"{world.site.url}/"):
                assert f"edition {version} of" in collection.text(place + name)


def test_a_page_that_is_gone_is_removed_and_a_sitemap_that_fails_removes_nothing(
    kvasir: Kvasir, world: World
) -> None:
    sitemap = f"{world.site.url}/sitemap.xml"
    kvasir("ingest", "--sitemap", sitemap, *_ALLOW)
    page = f"{world.site.url}/page3.md"
    del world.site.pages["/page3.md"]
    assert kvasir("sync", "--json", *_ALLOW).json["removed"] == [page]
    kept = world.site.pages.pop("/pages.xml.gz")
    report = kvasir("sync", "--json", *_ALLOW, code=4).json
    assert (report["removed"], report["unchanged"]) == ([], [])
    assert report["failed"][0]["source_uri"] == f"{world.site.url}/pages.xml.gz"
    world.site.pages["/sitemap.xml"].status = 503
    report = kvasir("sync", "--json", *_ALLOW, code=4).json
    assert report["removed"] == []
    assert "the server answered 503" in report["failed"][0]["message"]
    world.site.pages["/sitemap.xml"].status = 200
    world.site.pages["/pages.xml.gz"] = kept
    report = kvasir("sync", "--json", *_ALLOW, code=4).json
    assert len(report["unchanged"]) == _NUMBER - 1
    assert [each["source_uri"] for each in report["failed"]] == [page]


@pytest.mark.parametrize("name", ["new", "other"])
def test_a_redirected_page_that_the_list_names_otherwise_stays_while_its_server_fails(
    kvasir: Kvasir, world: World, tmp_path: Path, name: str
) -> None:
    site, listed = world.site, tmp_path / "pages.txt"
    page = Page(text_of("page5", 1).encode(), "text/markdown", headers={"ETag": '"1"'})
    site.pages["/new"] = page
    for each in ("/old", "/other"):
        site.pages[each] = Page(status=301, headers={"Location": "/new"})
    first = f"{site.url}/page1.md"
    listed.write_text(f"{first}\n{site.url}/old\n")
    kvasir("ingest", "--sitemap", "pages.txt", *_ALLOW)
    listed.write_text(f"{first}\n{site.url}/{name}\n")
    if name == "other":
        page.body, page.headers = text_of("page5", 2).encode(), {"ETag": '"2"'}
    report = kvasir("sync", "--json", *_ALLOW).json
    assert (report["removed"], report["moved"], report["failed"]) == ([], [], [])
    site.pages[f"/{name}"] = Page(status=503)
    report = kvasir("sync", "--json", *_ALLOW, code=4).json
    assert report["removed"] == []
    assert [each["source_uri"] for each in report["failed"]] == [f"{site.url}/{name}"]
    site.pages[f"/{name}"] = Page(status=404)
    report = kvasir("sync", "--json", *_ALLOW).json
    assert report["removed"] == [f"{site.url}/new"]


def test_a_list_of_addresses_in_a_file_and_an_emptied_bucket(
    kvasir: Kvasir, world: World, tmp_path: Path
) -> None:
    pages = [f"{world.site.url}/page{number}.md" for number in range(3)]
    (tmp_path / "pages.txt").write_text("# Our pages\n" + "\n".join(pages) + "\n")
    report = kvasir("ingest", "--sitemap", "pages.txt", "--json", *_ALLOW).json
    assert sorted(report["added"]) == pages
    (tmp_path / "pages.txt").write_text("\n".join(pages[1:]))
    report = kvasir("sync", "--json", *_ALLOW).json
    assert (report["removed"], sorted(report["unchanged"])) == (pages[:1], pages[1:])
    found = kvasir("ingest", f"{world.bucket}/docs/page7.md", "--json").json
    assert found["added"] == [f"{world.bucket}/docs/page7.md"]
    world.s3.delete_object(Bucket=world.name, Key="docs/page7.md")
    report = kvasir("sync", "--json", *_ALLOW, code=4).json
    assert report["removed"] == []
    assert "there is no object" in report["failed"][0]["message"]
    said = kvasir("ingest", "s3://nothing/here", code=4).err
    assert "cannot be listed" in said
    said = kvasir("ingest", "--sitemap", "docs/page1.md", code=4).err
    assert "a line of it is no address: 'The tea of" in said


@pytest.mark.parametrize("owner", ["served"], indirect=True)
def test_a_bucket_and_a_sitemap_are_read_for_a_server_too(
    kvasir: Kvasir, world: World, owner: Any
) -> None:
    for given in [(f"{world.bucket}/docs",), ("--sitemap", f"{world.site.url}/sitemap.xml")]:
        report = kvasir("ingest", *given, "--json", *_ALLOW).json
        place = f"{world.site.url}/" if given[0] == "--sitemap" else f"{world.bucket}/docs/"
        assert Counter(report["added"]) == dict.fromkeys((place + e for e in world.versions), 1)
        assert report["failed"] == []
    changed, added, gone = world.change(1)
    world.requests()
    report = kvasir("sync", "--json", *_ALLOW).json
    fetched = len(changed | added)
    kept = _NUMBER - len(changed | gone)
    assert world.requests() == {"object": fetched, "page 200": fetched, "page 304": kept}
    assert len(report["removed"]) == 2 * len(gone)
