"""``kvasir login`` and ``kvasir logout``, and the file of tokens."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import click

from kvasir.core.errors import NotAuthenticatedError, RequestError, SettingsError
from kvasir.core.private_files import make_private_folder
from kvasir.frontends.cli.rendering import json_option, print_result
from kvasir.frontends.cli.terminal import echo

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

    The token is kept in the user's configuration folder, for this user only.
    """
    server = clean_address(address)
    if api_key:
        _keep(_read() | {server: {"token": api_key, "username": ""}})
        print_result({"server": server}, f"the API key for {server} is kept")
        return
    username = username or click.prompt("User name or e-mail address", err=True)
    password = password or click.prompt("Password", hide_input=True, err=True)
    from kvasir.remote.client import ServerClient

    client = ServerClient(server)
    try:
        form = {"username": username, "password": password}
        token = client.send("POST", "/login", "logging in", data=form).json()["access_token"]
    finally:
        client.close()
    _keep(_read() | {server: {"token": token, "username": username}})
    print_result({"server": server, "username": username}, f"logged in to {server} as {username}")
    if server.startswith("http://") and not _is_here(server):
        echo("warning: without https, others on the network can read what is sent", err=True)


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
