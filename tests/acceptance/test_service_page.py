"""The pages that lead to a first answer of the service: their commands do what they say."""

import json
import os
from pathlib import Path

import pytest
import yaml
from certificates import make_contexts
from chat_servers import Script, serving
from manual_commands import commands_of, file_of, run_as_reader, section_of
from pdf_files import make_pdf
from smtp_server import SmtpServer, body_of

ROOT = Path(__file__).parents[2]
TEACHERS = ROOT / "docs/servicio-para-docentes.md"
LINES = (
    "La mitosis tiene cuatro fases: profase, metafase, anafase y telofase.",
    "La clorofila absorbe la luz solar.",
)

UNTIL_IT_IS_MAILED = (
    'until curl -s -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8000/v1/questions '
    "| grep -q '\"sent\"'; do sleep 0.2; done"
)


def test_the_readmes_six_commands_end_in_an_answer(tmp_path):
    commands = commands_of(section_of(ROOT / "README.md", "As a service"))
    assert 0 < len(commands) <= 6
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    done = run_as_reader(tmp_path, commands, dict(os.environ), pasted=True)
    assert done.returncode == 0, done.stderr
    answer = done.stdout.strip().splitlines()[-1]
    assert "A file that needs a password to open is reported as" in answer, (
        done.stdout + done.stderr
    )
    assert '"citations":[{' in answer


@pytest.fixture
def smtp(tmp_path):
    """The mail server of the page, and the file with the certificate to trust."""
    password = json.loads(file_of(section_of(TEACHERS, "3. El correo"), "json"))["smtp_password"]
    contexts = make_contexts(tmp_path)
    with SmtpServer(tls=contexts[0], accounts={"curso@escuela.example": password}) as server:
        yield server, tmp_path / "trusted.pem"


def test_a_teachers_commands_lead_to_the_first_answer_by_mail(tmp_path, smtp):
    server, trusted = smtp
    material = tmp_path / "material"
    material.mkdir()
    text = [(72, 700 - 20 * number, 12, line) for number, line in enumerate(LINES)]
    (material / "biologia.pdf").write_bytes(make_pdf([text]))
    environment = {name: v for name, v in os.environ.items() if not name.startswith("KVASIR")}
    environment |= {"HOME": str(tmp_path), "SSL_CERT_FILE": str(trusted)}
    course = tmp_path / "asignatura"

    def run(folder, *headings, then=()):
        commands = [
            each.replace("/donde/esté/el/material", str(material)).replace(
                "kvasir serve", "kvasir serve &"
            )
            for heading in headings
            for each in commands_of(section_of(TEACHERS, heading))
        ]
        done = run_as_reader(folder, [*commands, *then], environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    run(tmp_path, "2. Preparar la carpeta de la asignatura")
    mail = section_of(TEACHERS, "3. El correo")
    (course / "passwords.json").write_text(file_of(mail, "json"), "utf-8")
    run(course, "3. El correo")
    # Their own mail server and language model stand in the place of those of the page.
    settings = yaml.safe_load((course / "kvasir.yaml").read_text("utf-8"))
    settings["mail"] |= yaml.safe_load(file_of(mail, "yaml"))["mail"]
    settings["mail"] |= {"host": "127.0.0.1", "port": server.port}
    script = Script(pieces=[LINES[0].removesuffix("."), " [1]."], missing=True)
    with serving(script) as ollama:
        settings["generator"]["base_url"] = ollama
        (course / "kvasir.yaml").write_text(yaml.safe_dump(settings), "utf-8")
        headings = "4. Revisar e iniciar", "5. La primera pregunta"
        done = run(course, *headings, then=[UNTIL_IT_IS_MAILED])
    assert "all settings are known and usable" in done.stdout
    assert '"generator":"' in done.stdout
    assert "la consulta fue almacenada" in done.stdout
    (answer,) = server.mails
    assert answer["To"] == "ana@escuela.example"
    assert LINES[0].removesuffix(".") in body_of(answer, "plain")
    assert "biologia.pdf, página 1" in body_of(answer, "plain")
    assert script.asked("/api/pull")[0][0]["model"] == "mistral"
