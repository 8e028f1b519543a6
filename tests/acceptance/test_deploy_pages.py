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
PAGES = ["docker", "kubernetes", "aws", "cost", "hardware", "concepts", "conceptos", "khai-niem"]


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


@pytest.mark.parametrize("page", ["docker", "kubernetes", "aws", "cost", "hardware"])
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
            if re.match(r"(deploy|scripts|presets)/", word) and not word.endswith(".env"):
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
