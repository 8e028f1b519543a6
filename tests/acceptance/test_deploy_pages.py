"""The pages on deploying are linked, and their commands name what is there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from manual_commands import commands_of

from kvasir.frontends.cli.main import cli

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *("docker", "kubernetes", "aws", "cost", "hardware", "benchmark"),
    *("concepts", "conceptos", "khai-niem"),
]


def commands(page):
    return commands_of((DOCS / f"{page}.md").read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_linked_from_the_index_and_its_links_lead_somewhere(page):
    assert f"({page}.md)" in (DOCS / "index.md").read_text("utf-8")
    text = (DOCS / f"{page}.md").read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]+\.md)", text):
        assert (DOCS / target).is_file(), target
    for target, heading in re.findall(r"\]\(([\w-]*\.?m?d?)#([\w-]+)\)", text):
        aim = (DOCS / (target or f"{page}.md")).read_text("utf-8")
        slugs = {
            re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in aim.splitlines()
            if line.startswith("#")
        }
        assert heading in slugs, heading


@pytest.mark.parametrize("page", ["docker", "kubernetes", "aws", "cost", "hardware", "benchmark"])
def test_the_commands_of_a_page_are_sound(page):
    found = commands(page)
    assert found
    script = "\n".join(found)
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in found:
        words = shlex.split(command.split(" && ")[0].replace("$(", "(").replace(")", ")"))
        for word in words:
            # Sources of ours; what a command writes need not be there.
            is_written = word.endswith(".env") or word.startswith("bench/results/")
            if re.match(r"(deploy|scripts|presets|bench)/", word) and not is_written:
                assert (ROOT / word).exists(), word
        if words[0] == "kvasir":
            check_arguments(words[1:])


def check_arguments(words):
    """Parse a command of ours without running it."""
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None, words
    command.make_context(words[0], words[1:], resilient_parsing=False, obj={})


def test_the_image_s_targets_and_compose_s_profiles_are_those_of_the_pages():
    image = (ROOT / "deploy/image/Dockerfile").read_text("utf-8")
    for target in re.findall(r"--target (\w+)", (DOCS / "aws.md").read_text("utf-8")):
        assert f" AS {target}\n" in image
    text = (DOCS / "docker.md").read_text("utf-8")
    stack = (ROOT / "deploy/compose/celery.yaml").read_text("utf-8")
    table = text.split("| profile | service |")[1].split("\n\n")[0]
    profiles = set(re.findall(r"^\| `([\w-]+)`", table, re.MULTILINE))
    assert profiles == set(re.findall(r"profiles: \[([\w-]+)\]", stack))


def test_the_databases_sessions_of_document_004_are_on_the_spanish_page():
    text = (DOCS / "servicio-para-docentes.md").read_text("utf-8")
    for line in (
        "docker exec -it rag-database-1 bash",
        "mysql -u rag-system -p",
        "use test_sql;",
        "SELECT * FROM users;",
        "docker exec -it rag-mongodb-1 bash",
        "mongosh --host localhost --port 27017 -u mongoadmin -p secret "
        "--authenticationDatabase admin",
        "use test_nosql",
        "db.prompts.find().toArray()",
        "docker compose up --build",
    ):
        assert line in text, line


def test_kvasir_plan_prints_what_a_load_needs(tmp_path):
    command = shlex.split(commands("cost")[1])
    assert command[:2] == ["kvasir", "plan"]
    done = subprocess.run(
        [sys.executable, "-m", *command, "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"requests_per_second": 57.87' in done.stdout
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "57.9 requests a second" in done.stdout


# Suites for servers

_VARIABLE = re.compile(r"KVASIR_TEST_\w+")
_NO_SERVERS = {
    *("KVASIR_TEST_EVERYTHING", "KVASIR_TEST_WAYS", "KVASIR_TEST_KILLS", "KVASIR_TEST_HOLD"),
    *("KVASIR_TEST_CHUNKS", "KVASIR_TEST_THREADS_SECONDS"),
}
"""What the tests read that is not the address, the key or the model of a server."""


def server_variables():
    """Return the variables of servers by the file of the tests that reads them."""
    found = {}
    for file in sorted((ROOT / "tests").rglob("*.py")):
        if file != Path(__file__):
            for name in _VARIABLE.findall(file.read_text("utf-8")):
                found.setdefault(name, set()).add(str(file.relative_to(ROOT)))
    return {name: files for name, files in found.items() if name not in _NO_SERVERS}


def test_the_manual_says_of_every_server_of_the_tests_when_its_suite_was_run_on_which_version():
    rows = [
        line.strip("|").split("|")
        for line in (DOCS / "stores.md").read_text("utf-8").splitlines()
        if line.startswith("| `KVASIR_TEST_")
    ]
    named = [name for row in rows for name in _VARIABLE.findall(row[0])]
    assert sorted(named) == sorted(server_variables())
    for *_, run in rows:
        dated = r"(\d{4}-\d\d-\d\d|every run): .+"
        assert re.search(rf"not yet run on a (server|cluster)|{dated}", run), run


def test_one_command_runs_every_suite_that_asks_a_server_of_ones_own():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    recipe = makefile.partition("\ntest-servers:")[2].partition("\n\n")[0]
    for name, files in server_variables().items():
        if name.endswith("_URL"):
            assert files - {"tests/conftest.py"} <= set(re.findall(r"tests/\S+\.py", recipe)), name
