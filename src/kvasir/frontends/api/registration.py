"""Who may register, and the one-time link for the first administrator."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from fastapi import Request

from kvasir.app import App
from kvasir.core.errors import ForbiddenError
from kvasir.core.services.accounts import Caller, Role, User
from kvasir.frontends.api.limiting import limit_registration
from kvasir.frontends.locality import is_forwarded, is_loopback

Registration = Literal["open", "invitation", "closed"]

_EVERY_ADDRESS = ("0.0.0.0", "::")


def registration_of(kvasir: App, request: Request) -> Registration:
    """Return who may register: as the settings say, or anyone where only this machine can ask."""
    chosen: Registration | None = kvasir.settings.accounts.registration
    if chosen:
        return chosen
    server = kvasir.settings.server
    hosts = [server.host]
    if server.public_url:
        hosts.append(urlsplit(server.public_url).hostname or "?")
    # uvicorn may have been started at another address than the settings name. And a web page may
    # have made its own name resolve to this machine: its requests still say that name.
    listening = request.scope.get("server")
    if listening and _is_address(listening[0]):
        hosts += [listening[0], request.url.hostname or "?"]
    is_local = all(not host or is_loopback(host) for host in hosts)
    return "open" if is_local and not is_forwarded(request.headers) else "closed"


def register(
    kvasir: App,
    request: Request,
    caller: Caller | None,
    *,
    email: str,
    username: str,
    password: str,
    language: str | None = None,
    invitation: str | None = None,
    role: Role | None = None,
) -> User:
    """Add a user, as an administrator, by an invitation, or because anyone may register.

    Raises:
        ForbiddenError: The caller may not.
    """
    accounts = kvasir.services.accounts
    language = language or language_of(request)
    if caller is not None and caller.is_admin:
        role = role or Role.USER
        return accounts.register(email, username, password, language=language, role=role)
    limit_registration(kvasir, request)
    if role is Role.ADMIN:
        raise ForbiddenError("only an administrator may make another one")
    if invitation:
        return accounts.register_invited(invitation, email, username, password, language=language)
    who = registration_of(kvasir, request)
    if who == "invitation":
        raise ForbiddenError("registration needs an invitation: ask an administrator for one")
    if who == "closed":
        raise ForbiddenError("registration is closed: ask an administrator for an account")
    return accounts.register(email, username, password, language=language, role=Role.USER)


def language_of(request: Request) -> str:
    """Return the language of mails that a browser prefers."""
    preferred = request.headers.get("accept-language", "").strip().lower()
    return "es" if preferred.startswith("es") else "en"


def first_admin_link(kvasir: App) -> str | None:
    """Return a one-time link to register as administrator; None if there is an administrator."""
    invitation = kvasir.services.accounts.invite_first_admin()
    return None if invitation is None else invitation_link(kvasir, invitation)


def invitation_link(kvasir: App, invitation: str) -> str:
    """Return the link to register by an invitation, which its fragment keeps out of logs."""
    server = kvasir.settings.server
    host = socket.gethostname() if server.host in _EVERY_ADDRESS else server.host
    host = f"[{host}]" if ":" in host else host
    base = server.public_url or f"http://{host}:{server.port}"
    return f"{base.rstrip('/')}/register#{invitation}"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
