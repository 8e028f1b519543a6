"""The command line as a person or a program uses it: arguments in, output and exit code out.

A command runs in the test's process, where it shares the embedding model with the commands before
it; ``kvasir_process`` starts a real one where the process itself is what is tested.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kvasir.app import App
from kvasir.core import registry
from kvasir.frontends.api.owner import OwnerServer
from kvasir.frontends.cli.main import main
from kvasir.settings.schema import Settings

DATA = Path(__file__).parents[2].parent / "shared" / "data"


@dataclass(frozen=True)
class Run:
    """One finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Kvasir = Callable[..., Run]

SERVED = (
    "test_answers",
    "test_asking",
    "test_certainty",
    "test_chat",
    "test_command_line",
    "test_explaining",
    "test_filtering",
    "test_moving_collections",
    "test_repairing",
    "test_sources",
    "test_syncing",
    "test_tables",
    "test_web_ingest",
)
"""Modules whose tests run a second time while another one owns the index."""
ALONE = (
    "alone_after_it",
    "before_anything_was_ingested",
    "completion",
    "catalog_that_another_program",
    "ctrl_c",
    "guess_of_the_language_is_interrupted",
    "how_far",
    "language_is_guessed",
    "lost_catalog",
    "needs_no_network",
    "program_that_asked_for_json",
    "reads_the_store_twice",
    "refines_is_checked",
    "settings_",
    "uploaded_is_addressed",
    "values_of_environment",
    "unless_the_answer_is_yes",
    "wrong_setting",
)
"""Parts of the names of tests that are about a process alone, or about no index at all."""
Start = Callable[[Path, tuple[str, ...], str | None, dict[str, str]], Run]


def kvasir_in(folder: Path, start: Start, data_dir: str | None = "kvasir-data") -> Kvasir:
    """Return a function that runs ``kvasir`` in a folder, without settings from outside.

    The data folder is in that folder, where tests look for it; with None where it is found.
    """
    settings = {} if data_dir is None else {"KVASIR__DATA_DIR": data_dir}

    def run(
        *arguments: str, code: int | None = 0, typed: str | None = None, **environment: str
    ) -> Run:
        done = start(folder, arguments, typed, settings | environment)
        assert "Traceback" not in done.err, done.err
        if code is not None:
            assert done.code == code, done.out + done.err
        return done

    return run


def start_process(
    folder: Path, arguments: tuple[str, ...], typed: str | None, environment: dict[str, str]
) -> Run:
    """Run a command in a process of its own."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("KVASIR__")}
    done = subprocess.run(
        [sys.executable, "-m", "kvasir", *arguments],
        cwd=folder,
        env=inherited | environment,
        input=typed,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def start_here(check_shared: Callable[..., Any]) -> Start:
    """Return a function that runs a command in this process, as in a process of its own."""

    def start(
        folder: Path, arguments: tuple[str, ...], typed: str | None, environment: dict[str, str]
    ) -> Run:
        typed_in, out, err = (
            io.TextIOWrapper(io.BytesIO(content), "utf-8", write_through=True)
            for content in ((typed or "").encode(), b"", b"")
        )
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("KVASIR__")]:
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["kvasir", *arguments])
            patch.setattr(sys, "stdin", typed_in)
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            patch.setattr(registry, "check", check_shared)
            # On a busy machine any command may take ten seconds.
            patch.setattr("kvasir.frontends.cli.long_work.LINE_SECONDS", 3600.0)
            with pytest.raises(SystemExit) as ended:
                main()
        written = (stream.buffer.getvalue().decode("utf-8") for stream in (out, err))
        return Run(ended.value.code, *written)

    return start


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests of what a command does a second time through the owner of the index."""
    name = metafunc.function.__name__
    module = metafunc.module.__name__.rpartition(".")[2]
    if "owner" in metafunc.fixturenames and module in SERVED and not any(n in name for n in ALONE):
        # A store that is deleted as a whole must not be open then.
        served = "served closed" if module == "test_repairing" else "served"
        metafunc.parametrize("owner", ["alone", served], indirect=True, scope="session")


@pytest.fixture(scope="session")
def owner(request: pytest.FixtureRequest, check_shared: Callable[..., Any]) -> Any:
    """Return a context that serves the index of a folder, or leaves it to the commands."""
    chosen = getattr(request, "param", "alone")

    @contextmanager
    def own(folder: Path) -> Iterator[None]:
        with ExitStack() as opened:
            if chosen != "alone":
                patch = opened.enter_context(pytest.MonkeyPatch.context())
                patch.setattr(registry, "check", check_shared)
                # A command that does not work through the owner fails, and at once.
                patch.setattr("kvasir.frontends.cli.services.PATIENCE_SECONDS", 0.0)
                app = opened.enter_context(App(Settings(data_dir=folder / "kvasir-data")))
                if chosen == "served":
                    app.keep_open(9)
                server = OwnerServer(app)
                assert server.start()
                opened.callback(server.stop)
            yield

    return own


@pytest.fixture
def kvasir(tmp_path: Path, start_here: Start, owner: Any) -> Iterator[Kvasir]:
    """Run ``kvasir`` in a folder of the test's own."""
    with owner(tmp_path):
        yield kvasir_in(tmp_path, start_here)


@pytest.fixture
def kvasir_at(start_here: Start) -> Callable[..., Run]:
    """Run ``kvasir`` in a folder that is given first, with the data folder where it is found."""

    def run(folder: Path, *arguments: str, **environment: str) -> Run:
        return kvasir_in(folder, start_here, data_dir=None)(*arguments, **environment)

    return run


@pytest.fixture
def kvasir_process(tmp_path: Path) -> Kvasir:
    """Run ``kvasir`` as a process, in the same folder."""
    return kvasir_in(tmp_path, start_process)


def write_moon_and_tea(folder: Path) -> Path:
    """Write two notes about very different things."""
    folder.mkdir()
    (folder / "moon.md").write_text(
        "# The Moon\n\nThe Moon orbits the Earth at a distance of 384,400 kilometres.\n\n"
        "Its surface is covered with craters.\n"
    )
    (folder / "tea.txt").write_text("Green tea is steeped for two minutes at 80 degrees.\n")
    return folder


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Two notes, not ingested."""
    return write_moon_and_tea(tmp_path / "notes")


@pytest.fixture(scope="session")
def run_in(start_here: Start) -> Callable[[Path], Kvasir]:
    """Return a function that runs ``kvasir`` in a folder of the test's choice."""
    return lambda folder: kvasir_in(folder, start_here)


@pytest.fixture(scope="session")
def ingested_folder(
    tmp_path_factory: pytest.TempPathFactory, start_here: Start, owner: Any
) -> Iterator[Path]:
    """A folder where two notes are ingested; for commands that change nothing."""
    folder = tmp_path_factory.mktemp("ingested")
    write_moon_and_tea(folder / "notes")
    with owner(folder):
        kvasir_in(folder, start_here)("ingest", "notes")
        yield folder


@pytest.fixture(scope="session")
def ingested(ingested_folder: Path, start_here: Start) -> Kvasir:
    """Run ``kvasir`` where two notes are ingested; for commands that change nothing."""
    return kvasir_in(ingested_folder, start_here)


@pytest.fixture(scope="session")
def ingested_process(ingested_folder: Path) -> Kvasir:
    """Run ``kvasir`` as a process where two notes are ingested."""
    return kvasir_in(ingested_folder, start_process)


@pytest.fixture(scope="module")
def ingested_for_module(tmp_path_factory: pytest.TempPathFactory, start_here: Start) -> Kvasir:
    """Run ``kvasir`` where two notes are ingested, and where the module may ingest more."""
    folder = tmp_path_factory.mktemp("module")
    write_moon_and_tea(folder / "notes")
    run = kvasir_in(folder, start_here)
    run("ingest", "notes")
    return run


@pytest.fixture
def shared_data() -> Path:
    """The folder of real documents and data sets."""
    if not DATA.is_dir():
        pytest.skip(f"there are no data sets at {DATA}")
    return DATA
