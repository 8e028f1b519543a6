"""The commands of the programs that ``kvasir up`` and ``kvasir ui`` start."""

import pytest
from click.testing import CliRunner

from kvasir.frontends.cli import ui as module
from kvasir.frontends.cli.main import cli


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
