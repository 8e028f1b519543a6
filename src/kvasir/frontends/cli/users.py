"""``kvasir users``: make, list, disable and enable the users of the service."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from kvasir.core.errors import RequestError
from kvasir.core.services.accounts import Role, User
from kvasir.frontends.cli.options import with_app
from kvasir.frontends.cli.rendering import print_result, print_table

if TYPE_CHECKING:
    from kvasir.app import App

_PAGE = 1000

_role = click.Choice([role.value for role in Role])


@click.group()
def users() -> None:
    """Make, list, disable or enable the users of the service."""


@users.command()
@click.argument("username")
@click.argument("email")
@click.option("--role", type=_role, default=Role.USER.value, show_default=True, help="The role.")
@click.option(
    "--language",
    type=click.Choice(["en", "es"]),
    default="en",
    show_default=True,
    help="The language of mails.",
)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@with_app
def create(
    app: App,
    username: str,
    email: str,
    role: str,
    language: str,
    password_stdin: bool,
) -> None:
    """Make a user; asks for the password."""
    password = _read_password(from_stdin=password_stdin)
    made = app.services.accounts.register(
        email, username, password, language=language, role=Role(role)
    )
    _report(made, "made")


@users.command("list")
@with_app
def list_users(app: App) -> None:
    """List all users."""
    found: list[User] = []
    while page := app.services.accounts.users(after=found[-1].id if found else 0, limit=_PAGE):
        found += page
    rows = (
        {
            "id": user.id,
            "name": user.username,
            "e-mail": user.email,
            "role": user.role,
            "language": user.language,
            "made": f"{user.created:%Y-%m-%d}",
            "state": "disabled" if user.disabled else "",
        }
        for user in found
    )
    print_table(found, rows)


@users.command()
@click.argument("name")
@with_app
def disable(app: App, name: str) -> None:
    """Disable a user, by name or e-mail address: all logins and API keys end."""
    _change(app, name, "disabled", disabled=True)


@users.command()
@click.argument("name")
@with_app
def enable(app: App, name: str) -> None:
    """Let a disabled user log in again."""
    _change(app, name, "enabled", disabled=False)


@users.command("set-role")
@click.argument("name")
@click.argument("role", type=_role)
@with_app
def set_role(app: App, name: str, role: str) -> None:
    """Give a user another role; all logins end."""
    _change(app, name, f"now has the role {role}", role=Role(role))


def _change(app: App, name: str, done: str, **change: Any) -> None:
    accounts = app.services.accounts
    _report(accounts.change_user(accounts.user(name).id, **change), done)


def _report(user: User, done: str) -> None:
    print_result(user, f"user '{user.username}' {done}")


def _read_password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise RequestError("there is no terminal to ask for the password: use --password-stdin")
    asked = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return str(asked)
