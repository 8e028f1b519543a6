"""The file system of the image, built without Docker: from the files that the image's file copies.

Dependencies are those of this environment. The result is read-only, and is used without any right
to write there.
"""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from itertools import islice
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command, **options):
    done = subprocess.run(
        [str(each) for each in command],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    source, home = folder / "source", folder / "opt" / "kvasir"
    source.mkdir()
    text = (ROOT / "deploy/image/Dockerfile").read_text("utf-8")
    build = text.split(" AS build\n")[1].split("\nFROM ")[0]
    for line in build.splitlines():
        if line.startswith("COPY "):
            *files, to = line.split()[1:]
            for name in files:
                copied = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                aim = source / to / ("" if copied is shutil.copytree else name)
                copied(ROOT / name, aim)
    run(sys.executable, "-m", "venv", "--without-pip", home)
    (library,) = (home / "lib").glob("python3.*/site-packages")
    others = [path for path in sys.path if path.endswith("site-packages")]
    lines = [f"import site; site.addsitedir({path!r})" for path in others]
    (library / "dependencies.pth").write_text("\n".join(lines) + "\n")
    pip = (sys.executable, "-m", "pip", "--python", home / "bin" / "python")
    options = ("--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check")
    run(*pip, "install", *options, source)
    data = folder / "data"
    data.mkdir()
    data.chmod(0o770)
    shutil.rmtree(source)
    run("chmod", "-R", "a+rX,a-w", folder / "opt")
    yield folder
    run("chmod", "-R", "u+w", folder)


def test_it_has_kvasir_its_data_files_and_nothing_that_builds(layout):
    home = layout / "opt" / "kvasir"
    names = {path.name for path in (home / "bin").iterdir()}
    assert "kvasir" in names
    assert not names & {"pip", "pip3", "gcc", "cc"}
    (package,) = home.glob("lib/python3.*/site-packages/kvasir")
    assert (package / "py.typed").is_file()
    assert list(package.glob("database/migrations/versions/v0010*.py"))
    assert list(package.glob("rwkv/*.txt"))
    assert not list(package.rglob("tests"))


def test_it_works_without_writing_anywhere_but_in_data(layout):
    if os.getuid() != 0:
        pytest.skip("only root may give up the right to write where it is forbidden")
    home = layout / "opt" / "kvasir"
    before = sorted(home.rglob("*"))
    environment = {
        "PATH": f"{home}/bin:/usr/bin:/bin",
        "HOME": str(layout / "nowhere"),
        "KVASIR__DATA_DIR": str(layout / "data" / "kvasir-data"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    # This Python lies in a folder that another user may not enter; so it is root, but without the
    # rights that let root write anywhere.
    plain = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
    run(*plain, home / "bin" / "kvasir", "users", "list", cwd=layout / "data", env=environment)
    assert (layout / "data" / "kvasir-data" / "service.db").is_file()
    forbidden = subprocess.run([*plain, "touch", home / "x"], capture_output=True, check=False)
    assert forbidden.returncode != 0
    assert sorted(home.rglob("*")) == before


def test_the_bill_of_materials_lists_every_package(tmp_path):
    home, to = tmp_path / "kvasir", tmp_path / "sbom.json"
    run(sys.executable, "-m", "venv", "--without-pip", home)
    (library,) = (home / "lib").glob("python3.*/site-packages")
    # Their metadata is what the program reads; reading that of hundreds takes a minute.
    known = {each.name.lower(): each for each in reversed(list(distributions()))}
    chosen = [known[name] for name in islice(sorted(known), 25)]
    for each in chosen:
        metadata = Path(str(each._path))
        shutil.copytree(metadata, library / metadata.name)
    installed = {(each.name.lower(), each.version) for each in chosen}
    program = Path(sys.executable).parent / "cyclonedx-py"
    options = ("--output-format", "JSON", "--output-file", to)
    run(program, "environment", *options, home / "bin" / "python")
    found = json.loads(to.read_text("utf-8"))
    assert found["bomFormat"] == "CycloneDX"
    assert {(each["name"].lower(), each["version"]) for each in found["components"]} == installed
