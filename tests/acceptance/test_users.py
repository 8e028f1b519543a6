"""The operator makes and changes users on the command line, and starts the server safely."""

import os
import re
import signal
import subprocess
import sys

import httpx
import pexpect
import pytest
from free_ports import free_port
from pty_process import PtyProcess

PASSWORD = "correct horse"
OF_DOCUMENT_004 = "6b3d75e968f26f3be3443503efefd761e22d5e173fea95646a3659e673ebb97b"


def create(kvasir, name, *options, password=PASSWORD, **expected):
    command = ("users", "create", name, f"{name}@example.org", "--password-stdin", *options)
    return kvasir(*command, typed=f"{password}\n", **expected)


def test_users_are_made_listed_disabled_enabled_and_given_roles(kvasir):
    made = create(kvasir, "ana", "--role", "admin", "--language", "es", "--json").json
    assert (made["username"], made["role"], made["language"]) == ("ana", "admin", "es")
    assert "password" not in made
    assert create(kvasir, "bo1").out == "user 'bo1' made\n"
    assert [user["username"] for user in kvasir("users", "list", "--json").json] == ["ana", "bo1"]
    assert kvasir("users", "disable", "BO1@example.org").out == "user 'bo1' disabled\n"
    assert re.search(
        r"2 +bo1 +bo1@example.org +user +en +\S+ +disabled", kvasir("users", "list").out
    )
    kvasir("users", "enable", "bo1")
    assert kvasir("users", "set-role", "bo1", "admin", "--json").json["role"] == "admin"
    assert "disabled" not in kvasir("users", "list").out


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (("users", "disable", "ana"), "last administrator"),
        (("users", "set-role", "ana", "user"), "last administrator"),
        (("users", "enable", "nobody"), "there is no user 'nobody'"),
        (("users", "set-role", "ana", "king"), "king"),
        (("users", "create", "bo1", "bo@example.org"), "--password-stdin"),
    ],
)
def test_a_change_that_cannot_be_is_one_sentence(kvasir, command, what):
    create(kvasir, "ana", "--role", "admin")
    assert what in kvasir(*command, code=2).err


def test_a_server_is_not_mistaken_for_this_machine(kvasir):
    server = "https://kb.example.org"
    refused = kvasir("--server", server, "users", "list", code=2)
    assert "'kvasir users list' works on this machine" in refused.err
    assert "List all users" in kvasir("--server", server, "users", "list", "--help").out
    listed = kvasir("users", "list", "--json", KVASIR_SERVER=server)
    assert listed.json == []
    assert listed.err == "KVASIR_SERVER is set, but 'kvasir users list' works on this machine\n"
    kept = kvasir("config", "show", "--json", "--server", server, code=2)
    assert "no such option" in kept.err.lower()
    assert kvasir("completion", "bash", KVASIR_SERVER=server).err == ""


@pytest.mark.parametrize(
    ("name", "password", "what"),
    [("ana", PASSWORD, "is taken"), ("an", PASSWORD, "3 to 50"), ("bo1", "short", "8 to 64")],
)
def test_an_unacceptable_user_is_one_sentence(kvasir, name, password, what):
    create(kvasir, "ana")
    done = create(kvasir, name, password=password, code=2)
    assert what in done.err
    assert password not in done.err


def test_the_password_is_asked_for_twice_and_not_shown(tmp_path):
    command = [sys.executable, "-m", "kvasir", "users", "create", "ana", "ana@example.org"]
    terminal = PtyProcess(command, cwd=tmp_path, timeout=60)
    for prompt in ("Password:", "Repeat"):
        terminal.expect(prompt)
        terminal.sendline(PASSWORD)
    terminal.expect("user 'ana' made")
    shown = terminal.before
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    assert PASSWORD.encode() not in shown


@pytest.mark.parametrize(
    ("setting", "value", "what"),
    [
        ("SERVER__SIGNING_KEY", OF_DOCUMENT_004, "SECRET_KEY that document 004 prints"),
        ("SERVER__SIGNING_KEY", "secret", "fewer than 32 characters"),
        ("ACCOUNTS__RATE_LIMITS__STORAGE", "file://x", "accounts.rate_limits.storage"),
        ("ACCOUNTS__RATE_LIMITS__LOGIN", "often", "accounts.rate_limits.login"),
    ],
)
def test_the_server_does_not_start_with_a_known_key_or_unusable_limits(
    kvasir, setting, value, what
):
    port = str(free_port())
    done = kvasir("serve", "--port", port, code=3, **{f"KVASIR__{setting}": value})
    assert what in done.err
    assert len(done.err.splitlines()) == 1


def test_the_server_prints_a_link_that_makes_the_first_administrator_once(tmp_path):
    port = str(free_port())
    command = [sys.executable, "-m", "kvasir", "serve", "--port", port]
    environment = os.environ | {"KVASIR__SERVER__JOB_WORKERS": "0"}
    server = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        for line in server.stderr:
            found = re.search(r"once: (http://127\.0\.0\.1:\d+/register)#(\S+)", line)
            if found:
                break
        assert found, "the server has ended without a link"
        form = {
            "email": "root@example.org",
            "username": "root",
            "password": PASSWORD,
            "invitation": found[2],
        }
        transport = httpx.HTTPTransport(retries=5)
        with httpx.Client(
            transport=transport, base_url=f"http://127.0.0.1:{port}", timeout=60
        ) as client:
            assert client.get(found[1]).status_code == 200
            assert client.post("/register", data=form).status_code == 201
            login = client.post("/login", data={"username": "root", "password": PASSWORD})
            headers = {"Authorization": f"Bearer {login.json()['access_token']}"}
            assert client.get("/v1/users", headers=headers).json()[0]["role"] == "admin"
            form |= {"email": "bo@example.org", "username": "bo1"}
            assert client.post("/register", data=form).status_code == 403
    finally:
        server.send_signal(signal.SIGTERM)
        rest = server.communicate(timeout=30)[1]
    assert "Traceback" not in rest


def test_config_check_refuses_a_known_key_and_warns_of_known_passwords(kvasir, tmp_path):
    (tmp_path / "kvasir.yaml").write_text("catalog: {url: 'mysql://me:rag-system@localhost/db'}\n")
    done = kvasir("config", "check", KVASIR__QUESTIONS__QUEUE="mongodb://me:secret@localhost/db")
    assert re.findall(r"warning: .* in (\S+):", done.err) == ["catalog.url", "questions.queue"]
    assert "secret" not in done.err.replace("secrets", "")
    done = kvasir("config", "check", code=3, KVASIR__SERVER__SIGNING_KEY=OF_DOCUMENT_004)
    assert "SECRET_KEY that document 004 prints" in done.err
