"""The classroom preset with the environment of document 004, from the first start to the mail.

The databases are real, and so is the SMTP server; a server on loopback speaks Ollama's protocol.
MongoDB is not there, so the queue is in the database.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml
from chat_servers import Script, serving
from databases import database
from smtp_server import SmtpServer, body_of
from sqlalchemy import create_engine, make_url, text

# The loopback needs no TLS.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

PRESET = Path(__file__).parents[2] / "presets" / "classroom.yaml"
PRINTED_KEY = "6b3d75e968f26f3be3443503efefd761e22d5e173fea95646a3659e673ebb97b"
ACCOUNT = "curso@escuela.example"
PASSWORDS = {
    "forgot_password": "email-recovery-password",
    "smtp_password": "smtp_password",
    "imap_password": "imap_password",
}
COURSE = (
    "# Fotosíntesis\n\nLa fotosíntesis ocurre en los cloroplastos de las células vegetales. "
    "La clorofila absorbe la luz solar.\n\n# Mitosis\n\nLa mitosis tiene cuatro fases: profase, "
    "metafase, anafase y telofase.\n"
)
PASSWORD = "una-clave-larga-7"


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with the preset, ``passwords.json`` and the course's folder."""
    folder = tmp_path_factory.mktemp("escuela")
    (folder / "kvasir.yaml").write_bytes(PRESET.read_bytes())
    secret = folder / "passwords.json"
    secret.write_text(json.dumps(PASSWORDS))
    secret.chmod(0o600)
    (folder / "resources" / "files").mkdir(parents=True)
    (folder / "resources" / "files" / "biologia.md").write_text(COURSE, "utf-8")
    return folder


@pytest.fixture(scope="module")
def mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables ``DB_*`` of a database with a user of its own."""
    with database("mariadb", tmp_path_factory.mktemp("db")) as url:
        made = make_url(url)
        user = f"rag_{uuid4().hex[:12]}"
        admin = create_engine(made.set(drivername="mysql+pymysql"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            for host in ("localhost", "127.0.0.1"):
                connection.execute(
                    text(f"CREATE USER '{user}'@'{host}' IDENTIFIED BY 'rag-system'")
                )
                connection.execute(text(f"GRANT ALL ON {made.database}.* TO '{user}'@'{host}'"))
        try:
            yield {
                "DB_NAME": str(made.database),
                "DB_USER": user,
                "DB_PASS": "rag-system",
                "DB_HOST": "localhost",
                "DB_PORT": str(made.port or 3306),
            }
        finally:
            with admin.connect() as connection:
                for host in ("localhost", "127.0.0.1"):
                    connection.execute(text(f"DROP USER '{user}'@'{host}'"))
            admin.dispose()


@pytest.fixture(scope="module")
def smtp() -> Iterator[SmtpServer]:
    accounts = {ACCOUNT: PASSWORDS["smtp_password"]}
    with SmtpServer(accounts=accounts, smtps=True) as server:
        yield server


@pytest.fixture(scope="module")
def printed(mysql: dict[str, str], smtp: SmtpServer) -> dict[str, str]:
    """The document's environment, and what it does not name: the mail server."""
    return mysql | {
        "ACCESS_TOKEN_EXPIRE_MINUTES": "1440",
        "MONGO_HOST": "localhost",
        "MONGO_PORT": "27017",
        "MONGO_USER": "mongoadmin",
        "MONGO_PASS": "secret",
        "MONGO_DB_NAME": "test_nosql",
        "API_URL": "http://127.0.0.1:8000",
        "DOCUMENT_LOCATION": "resources/files",
        "PYTHONUNBUFFERED": "1",
        "KVASIR__QUESTIONS__QUEUE": "null",
        "KVASIR__SERVER__PORT": "0",
        "KVASIR__SERVER__FOLDER_SECONDS": "0.3",
        "KVASIR__MAIL__HOST": "127.0.0.1",
        "KVASIR__MAIL__PORT": str(smtp.port),
        "KVASIR__MAIL__SECURITY": "none",
        "KVASIR__MAIL__USERNAME": ACCOUNT,
    }


def kvasir(*arguments: str, folder: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("KVASIR__", "DB_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "kvasir", *arguments],
        cwd=folder,
        env=inherited | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


class Server:
    """A running ``kvasir serve``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[str] = []
        self._process = process
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self.wait_for(lambda: self._find(r"serves at (http://\S+),"))

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines.extend(iter(self._process.stdout.readline, ""))

    def _find(self, pattern: str) -> str | None:
        found = re.search(pattern, "".join(self.lines))
        return found[1] if found else None

    def close(self) -> None:
        """Wait for the end of the process."""
        self._process.wait(60)
        self._reader.join(60)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def wait_for(self, find: Callable[[], Any], seconds: float = 90.0) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if (found := find()) or self._process.poll() is not None:
                break
            time.sleep(0.05)
        assert found, "".join(self.lines)
        return found


@contextmanager
def serve(folder: Path, environment: dict[str, str]) -> Iterator[Server]:
    process = kvasir("serve", folder=folder, environment=environment)
    server: Server | None = None
    try:
        server = Server(process)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        if server is None:
            process.communicate(timeout=60)
        else:
            server.close()


def test_the_printed_key_is_refused_by_name(course: Path, printed: dict[str, str]) -> None:
    process = kvasir("serve", folder=course, environment=printed | {"SECRET_KEY": PRINTED_KEY})
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 3
    assert "the SECRET_KEY that document 004 prints" in output
    assert PRINTED_KEY not in output


def test_config_check_warns_of_the_printed_passwords(course: Path, printed: dict[str, str]) -> None:
    environment = {k: v for k, v in printed.items() if k != "KVASIR__QUESTIONS__QUEUE"}
    process = kvasir("config", "check", folder=course, environment=environment)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "everyone knows the password in database.url" in output
    assert "everyone knows the password in questions.queue" in output


def test_from_the_first_start_without_a_model_to_the_mail(
    course: Path, printed: dict[str, str], smtp: SmtpServer
) -> None:
    script = Script(
        pieces=["La mitosis tiene cuatro fases: profase, metafase, anafase y telofase [1]."],
        missing=True,
        pull_gate=threading.Event(),
    )
    with serving(script) as ollama:
        environment = printed | {"KVASIR__GENERATOR__BASE_URL": ollama}
        with (
            serve(course, environment) as server,
            httpx.Client(base_url=server.url, timeout=60) as client,
        ):
            assert client.get("/").json() == {"Status": "API is up!"}
            spanish = {"Accept-Language": "es-UY,es;q=0.9"}
            ana = {"email": "ana@escuela.example", "username": "ana", "password": PASSWORD}
            assert client.post("/user/", json=ana, headers=spanish).status_code == 201
            login = client.post("/login", data={"username": "ana", "password": PASSWORD}).json()
            client.headers["Authorization"] = f"Bearer {login['access_token']}"
            asked = client.post("/", json={"input": "¿Cuántas fases tiene la mitosis?"})
            assert asked.status_code == 201, asked.text
            assert "ana@escuela.example" in asked.json()["message"]

            assert script.pulling.wait(60)
            server.wait_for(lambda: "50 %" in client.get("/ready").json()["generator"])
            question = client.get(f"/v1/questions/{asked.json()['id']}").json()
            assert (question["state"], question["attempts"]) == ("waiting", 0)
            assert smtp.mails == []
            script.pull_gate.set()

            server.wait_for(lambda: smtp.mails)
            (mail,) = smtp.mails
            assert mail["To"] == "ana@escuela.example"
            for kind in ("plain", "html"):
                body = body_of(mail, kind)
                assert "profase, metafase, anafase y telofase" in body
                assert "biologia.md" in body
            assert smtp.logins[-1] == ACCOUNT
            assert len(script.asked("/api/pull")) == 1
            assert script.asked("/api/pull")[0][0]["model"] == "mistral"
            assert any("fetching the model: downloading, 50 %" in each for each in server.lines)
            assert client.get("/ready").json()["generator"] == "ok"
            server.wait_for(lambda: _row(printed, "SELECT status FROM questions") == "sent")
            assert _row(printed, "SELECT username FROM users") == "ana"

            # Nothing of it is in the course: no model is asked, and the refusal is polite.
            before = len(script.asked("/api/chat"))
            client.post("/", json={"input": "¿Quién ganó el mundial de fútbol de 1950?"})
            server.wait_for(lambda: len(smtp.mails) == 2)
            assert "no encontré" in body_of(smtp.mails[1], "plain")
            assert len(script.asked("/api/chat")) == before

            # A file that is added is found without a restart.
            extra = course / "resources" / "files" / "futbol.md"
            extra.write_text("# Fútbol\n\nUruguay ganó el mundial de fútbol de 1950.\n", "utf-8")
            script.pieces[:] = ["Uruguay ganó el mundial de fútbol de 1950 [1]."]
            documents = "/v1/collections/course/documents"
            server.wait_for(lambda: len(client.get(documents).json()) == 2)
            client.post("/", json={"input": "¿Quién ganó el mundial de fútbol de 1950?"})
            server.wait_for(lambda: len(smtp.mails) == 3)
            assert "Uruguay" in body_of(smtp.mails[2], "plain")
            assert not any("Traceback" in each for each in server.lines)


def _row(printed: dict[str, str], query: str) -> Any:
    address = "mysql+pymysql://{DB_USER}:{DB_PASS}@{DB_HOST}:{DB_PORT}/{DB_NAME}"
    engine = create_engine(address.format(**printed))
    with engine.connect() as connection:
        found = connection.execute(text(query)).scalar()
    engine.dispose()
    return found


def test_the_preset_names_what_the_document_names() -> None:
    tree = yaml.safe_load(PRESET.read_text("utf-8"))
    assert tree["environment"] == "classroom"
    assert tree["generator"]["type"] == "ollama"
    assert tree["generator"]["model"] == "mistral"
    assert tree["server"]["folder"] == "resources/files"
    assert tree["mail"]["passwords_file"] == "passwords.json"
