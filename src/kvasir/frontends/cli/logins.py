"""``kvasir login`` and ``kvasir logout``, and the file of tokens."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from kvasir.core.errors import NotAuthenticatedError, RequestError, SettingsError
from kvasir.core.private_files import make_private_folder
from kvasir.frontends.cli.rendering import json_option, print_result
from kvasir.frontends.cli.terminal import echo

if TYPE_CHECKING:
    from kvasir.remote.client import ServerClient

_FILE = "logins.json"


@click.command()
@click.argument("address", metavar="URL")
@click.option("--username", metavar="NAME", help="User name or e-mail address; asked by default.")
@click.option("--password", envvar="KVASIR_PASSWORD", show_envvar=True, help="Asked by default.")
@click.option(
    "--api-key", envvar="KVASIR_API_KEY", show_envvar=True, help="Keep an API key instead."
)
@json_option
def login(address: str, username: str | None, password: str | None, api_key: str | None) -> None:
    """Log in to a server; commands with --server URL, or KVASIR_SERVER, work there.

    The token is kept in the user's configuration folder, for this user only. After a temporary
    password, a new one is asked for.
    """
    server = clean_address(address)
    if api_key:
        _keep(_read() | {server: {"token": api_key, "username": ""}})
        print_result({"server": server}, f"the API key for {server} is kept")
        return
    username = username or click.prompt("User name or e-mail address", err=True)
    password = password or click.prompt("Password", hide_input=True, err=True)
    from kvasir.remote.client import ServerClient

    with closing(ServerClient(server)) as client:
        token = _log_in(client, username, password)
    with closing(ServerClient(server, token=token)) as client:
        must_change = bool(client.get("/v1/users/me", "logging in")["must_change_password"])
        new = _change_password(client, password) if must_change else ""
    if new:
        with closing(ServerClient(server)) as client:
            token = _log_in(client, username, new)
    _keep(_read() | {server: {"token": token, "username": username}})
    print_result({"server": server, "username": username}, f"logged in to {server} as {username}")
    if server.startswith("http://") and not _is_here(server):
        echo("warning: without https, others on the network can read what is sent", err=True)


def _log_in(client: ServerClient, username: str, password: str) -> str:
    form = {"username": username, "password": password}
    answer = client.send("POST", "/login", "logging in", data=form).json()
    return str(answer["access_token"])


def _change_password(client: ServerClient, temporary: str) -> str:
    """Ask for a new password in the place of the temporary one, until it is accepted; return it.

    Raises:
        RequestError: There is no terminal to ask at.
    """
    if not sys.stdin.isatty():
        raise RequestError(
            "this temporary password is used up and was not changed: recover the password again, "
            "and log in at a terminal, which asks for a new one, or at /sign-in of the server"
        )
    echo("this is a temporary password: choose a new one", err=True)
    while True:
        new = str(click.prompt("New password", hide_input=True, confirmation_prompt=True, err=True))
        body = {"password": temporary, "new_password": new, "rewrite_password": new}
        try:
            client.post("/auth/change-password/", "changing the password", body)
        except RequestError as error:
            if error.code != RequestError.code:
                raise
            echo(f"error: {error}", err=True)
            continue
        return new


@click.command()
@click.argument("address", metavar="[URL]", default="")
@json_option
def logout(address: str) -> None:
    """Forget the token of a server, or of all."""
    logins = _read()
    names = [clean_address(address)] if address else list(logins)
    if address and names[0] not in logins:
        raise RequestError(f"there is no login to {names[0]}")
    _keep({server: each for server, each in logins.items() if server not in names})
    print_result({"servers": names}, *(f"logged out of {server}" for server in names))


def token_of(server: str) -> str:
    """Return the token of a server.

    Raises:
        NotAuthenticatedError: There is no login to it.
    """
    given = os.environ.get("KVASIR_API_KEY", "")
    found = given or _read().get(server, {}).get("token", "")
    if not found:
        raise NotAuthenticatedError(f"there is no login to {server}")
    return found


def clean_address(address: str) -> str:
    """Return a server's address without its path's last slash.

    Raises:
        RequestError: It is none, or has a password in it.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RequestError(f"'{address}' is no address of a server, such as http://localhost:8000")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise RequestError("an address of a server has no user name, query or fragment")
    return address.rstrip("/")


def _is_here(server: str) -> bool:
    return urlsplit(server).hostname in ("localhost", "127.0.0.1", "::1")


def _path() -> Path:
    return Path(click.get_app_dir("kvasir")) / _FILE


def _read() -> dict[str, dict[str, str]]:
    try:
        found = json.loads(_path().read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        advice = "delete it, and log in again"
        raise SettingsError(f"'{_path()}' cannot be read ({error}): {advice}") from error
    return found if isinstance(found, dict) else {}


def _keep(logins: Mapping[str, Mapping[str, str]]) -> None:
    """Write the file in one step, for this user only."""
    path = _path()
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        make_private_folder(path.parent)
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(logins, file)
        draft.replace(path)
    except OSError as error:
        raise SettingsError(f"'{path}' cannot be written: {error.strerror}") from error
