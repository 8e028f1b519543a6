"""The commands of the programs that ``kvasir up`` and ``kvasir ui`` start, and whom clients ask."""

import pytest
from click.testing import CliRunner

from kvasir.frontends.cli import ui as module
from kvasir.frontends.cli.main import cli
from kvasir.frontends.services import web_client
from kvasir.frontends.ui import command


@pytest.mark.parametrize(
    ("options", "host"),
    [(["--host", "127.0.0.2"], "127.0.0.2"), ([], "127.0.0.1")],
)
def test_the_client_listens_where_it_was_told_to_also_beside_its_own_server(
    options, host, monkeypatch, tmp_path
):
    started = []
    monkeypatch.setattr(module, "run_together", lambda programs, *_, **__: started.extend(programs))
    settings = ["--set", "ui.host=127.0.0.1", "--set", "server.port=0"]
    arguments = ["--data-dir", str(tmp_path), *settings, "ui", "--port", "0", *options]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    command = started[1].command
    assert command[command.index("--host") + 1] == host


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8123"),
        ("0.0.0.0", "http://127.0.0.1:8123"),
        ("::", "http://[::1]:8123"),
        ("kb.example.org", "http://kb.example.org:8123"),
    ],
)
def test_the_client_asks_a_server_that_listens_everywhere_at_this_machine(
    host, address, monkeypatch, tmp_path
):
    config = tmp_path / "kvasir.yaml"
    config.write_text(f"server: {{host: '{host}', port: 8123}}\ndata_dir: data\n")
    monkeypatch.setattr(web_client, "_answers", lambda _: True)
    monkeypatch.setattr(command, "parts_for_streamlit", lambda connection, _: {"": connection})
    assert web_client.parts(config)[""].address == address
