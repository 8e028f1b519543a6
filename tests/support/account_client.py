"""The requests of clients of the accounts' routes."""

PASSWORD = "correct horse"
OWNER = "owner-token-of-the-data-folder"
NO_LIMITS = dict.fromkeys(("login", "registration", "recovery", "questions"), "")


def register(client, name, **more):
    body = {"email": f"{name}@example.org", "username": name, "password": PASSWORD} | more
    return client.post("/user/", json=body)


def log_in(client, name, password=PASSWORD):
    return client.post("/login", data={"username": name, "password": password})


def as_user(client, name, password=PASSWORD):
    answer = log_in(client, name, password)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def forget(client, name, language="es"):
    form = {"username_or_email": name, "language": language}
    return client.post("/auth/forgot-password/", data=form)


def change_password(client, headers, old, new, again=None):
    body = {"password": old, "new_password": new, "rewrite_password": again or new}
    return client.post("/auth/change-password/", json=body, headers=headers)


def mailed(app):
    """Return the content of the next mail."""
    return app.services.outbox.claim(lease_seconds=60).mail
