"""The ``kvasir`` command, which imports a subcommand's module when it is called.

``kvasir --help`` must start within 0.3 s, without pydantic and the components.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
import threading
import traceback
from contextlib import suppress
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from kvasir.core.errors import KvasirError, OperatorError, RequestError, StoppedError
from kvasir.core.run import LEFT_BEHIND
from kvasir.core.text import printable
from kvasir.frontends.cli.interrupts import EXIT_INTERRUPTED, exit_on_interrupt

EXIT_REQUEST_ERROR = 2
EXIT_OPERATOR_ERROR = 3
EXIT_SOME_FAILED = 4
EXIT_REFUSED = 5
EXIT_DECLINED = 6

COMMANDS = {
    "ingest": ("ingest", "Read files, folders and URLs into a collection."),
    "sync": ("sync", "Ingest the sources of earlier ingests again, or follow their changes."),
    "convert": ("documents", "Convert documents to docling JSON, for ingesting."),
    "search": ("ask", "Find the passages that match a query."),
    "ask": ("ask", "Answer a question from the documents, with citations."),
    "chat": ("chat.command", "Chat with a language model, your documents, or both."),
    "documents": ("documents", "List, show, change or delete documents."),
    "collections": ("collections", "List, copy or delete collections."),
    "doctor": ("collections", "Compare catalog and store, and repair them."),
    "calibrate": ("collections", "Fit the decision to refuse to a collection."),
    "evaluate": ("evaluate", "Measure retrieval, answers or chunking, or ask your own questions."),
    "up": ("ui", "Start everything: the server and the web client."),
    "ui": ("ui", "Serve the web client."),
    "serve": ("serve", "Serve the documents over HTTP."),
    "worker": ("worker", "Do the jobs that a server gives to a broker."),
    "backup": ("backup", "Back up everything, also while a server runs."),
    "restore": ("backup", "Restore a backup."),
    "answer-questions": ("questions", "Answer the questions that wait, until it is stopped."),
    "send-answers": ("questions", "Mail the answers that wait, until it is stopped."),
    "users": ("users", "Make, list, disable or enable users of the service."),
    "services": ("service_commands", "Run components as services that are reached over ZeroMQ."),
    "mcp": ("mcp", "Serve the documents to clients of the Model Context Protocol."),
    "answers": ("answers", "Export the log of answers."),
    "login": ("logins", "Log in to a server."),
    "logout": ("logins", "Forget the login to a server."),
    "models": ("models", "List models, or pull one."),
    "tune": ("tune", "Tune an RWKV model: a state, LoRA or PiSSA."),
    "plan": ("plan", "Say what a load needs: memory, disk, time, processes."),
    "config": ("config", "Show, check or write the settings."),
    "completion": ("main", "Print the shell completion script."),
}

EXIT_CODES = {
    0: "done",
    EXIT_REQUEST_ERROR: "wrong usage or input: the message says what to do",
    EXIT_OPERATOR_ERROR: "the settings, the installation or a component: the message says what to "
    "do",
    EXIT_SOME_FAILED: "done, but some sources failed, or the doctor found faults",
    EXIT_REFUSED: "ask: the documents do not hold the answer",
    EXIT_DECLINED: "collections delete: the answer was no, nothing is deleted",
    EXIT_INTERRUPTED: "interrupted",
}

FAMILIAR = {
    "ls": "documents list",
    "list": "documents list",
    "show": "documents show",
    "rm": "documents delete",
    "delete": "documents delete",
    "remove": "documents delete",
    "add": "ingest",
    "index": "ingest",
    "find": "search",
    "query": "search",
    "init": "config init",
    "status": "doctor",
    "check": "doctor",
    "start": "serve",
    "server": "serve",
    "run": "serve",
    "cp": "collections copy",
    "copy": "collections copy",
}
"""What is typed out of habit of other programs, and the command that does it."""

config_option = click.option(
    "--config",
    metavar="FILE",
    is_eager=True,
    help="Settings file.  [default: kvasir.yaml, found as the data folder is]",
)
data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False),
    metavar="DIR",
    is_eager=True,
    help="Data folder.  [default: kvasir-data here or in a folder above, else the user's]",
)
set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    is_eager=True,
    metavar="KEY=VALUE",
    help="Set one setting.",
)

_SERVER_VARIABLE = "KVASIR_SERVER"
_STATE: dict[str, Any] = {}
"""The command's object in click: the options before it, and whether to print JSON."""
_LONGEST_MESSAGE = 300


class ReaderGone(Exception):  # noqa: N818 - nothing went wrong
    """The reader of our output (head, less) has ended; not an OSError, which click handles."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of ``COMMANDS``."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        with exit_on_interrupt():
            module = importlib.import_module(f"kvasir.frontends.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit codes."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), text) for code, text in EXIT_CODES.items()])

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the arguments before the command, such as ``--help``."""
        try:
            return super().make_context(*args, **extra)
        except BrokenPipeError as error:
            raise ReaderGone from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGone from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest command for an unknown one."""
        from kvasir.core.registry import suggestion

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            familiar = FAMILIAR.get(args[0])
            hint = suggestion(args[0], list(COMMANDS))
            hint = f" (did you mean '{familiar}'?)" if familiar else hint
            ctx.fail(f"no such command '{args[0]}'{hint}")
        name, command, rest = super().resolve_command(ctx, args)
        if ctx.params.get("server") and command is not None and not ctx.resilient_parsing:
            _check_server(ctx, command, [name or "", *rest])
        return name, command, rest


def _check_server(ctx: click.Context, command: click.Command, typed: list[str]) -> None:
    """Refuse a server that was typed before a command that works on this machine only.

    One of the environment is for other commands: it is only said that it is not used.
    """
    if {"-h", "--help"} & set(typed):
        return
    path, rest = typed[:1], typed[1:]
    while isinstance(command, click.Group):
        found = command.commands.get(rest[0]) if rest else None
        if found is None:
            return
        command, path, rest = found, [*path, rest[0]], rest[1:]
    if any(param.envvar == _SERVER_VARIABLE for param in command.params):
        return
    name = " ".join(["kvasir", *path])
    if ctx.get_parameter_source("server") is not ParameterSource.ENVIRONMENT:
        ctx.fail(f"'{name}' works on this machine: no --server may stand before it")
    if any(param.name == "assignments" for param in command.params):
        _say(f"{_SERVER_VARIABLE} is set, but '{name}' works on this machine")


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="kvasir", message="kvasir %(version)s")
@config_option
@data_dir_option
@set_option
@click.option("--collection", metavar="NAME", help="Collection to work on.  [default: default]")
@click.option(
    "--server",
    metavar="URL",
    envvar=_SERVER_VARIABLE,
    show_envvar=True,
    help="Work at this server.",
)
@click.pass_context
def cli(ctx: click.Context, /, **options: Any) -> None:
    """Answer questions from your own documents and show where each answer stands.

    Start with 'kvasir ingest FOLDER', then 'kvasir ask "your question"'.
    """
    ctx.ensure_object(dict).update(options)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the shell completion script.

    For bash, for example, put it into ~/.local/share/bash-completion/completions/kvasir
    """
    from click.shell_completion import get_completion_class

    if complete := get_completion_class(shell):  # click has one for each of them
        click.echo(complete(cli, {}, "kvasir", "_KVASIR_COMPLETE").source())


def main() -> None:
    """Run the command line and end the process with the documented exit code."""
    try:
        code = _run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        # Pressed again during the report of the first one.
        code = EXIT_INTERRUPTED
    except (ReaderGone, BrokenPipeError):
        _silence()
        code = 0
    _end(code)


def exit_code_of(error: KvasirError) -> int:
    """Return the exit code for an error."""
    if isinstance(error, StoppedError):
        return EXIT_INTERRUPTED
    return EXIT_REQUEST_ERROR if isinstance(error, RequestError) else EXIT_OPERATOR_ERROR


def fail(message: str, exit_code: int, code: str = StoppedError.code) -> int:
    """Report an error, also as JSON if that was asked for; return the exit code."""
    _say(printable(message))
    return _print_json_error(message.removeprefix("error: "), exit_code, code)


def _run() -> int:
    """Run the command; report every error in one line; return the exit code."""
    _STATE.clear()
    try:
        code = cli.main(standalone_mode=False, obj=_STATE)
    except (click.exceptions.Abort, KeyboardInterrupt, StoppedError):
        return fail("interrupted", EXIT_INTERRUPTED)
    except click.ClickException as error:
        with io.StringIO() as said:
            error.show(said)
            _say(said.getvalue().rstrip("\n"))
        # The parser may not have come as far as --json.
        _STATE.setdefault("as_json", isinstance(error, click.UsageError) and "--json" in sys.argv)
        return _print_json_error(error.format_message(), error.exit_code, RequestError.code)
    except KvasirError as error:
        from kvasir.frontends.cli.remedies import explain  # Not needed by most commands.

        return fail(f"error: {explain(error)}", exit_code_of(error), error.code)
    except OSError as error:
        return fail(f"error: {error}", EXIT_OPERATOR_ERROR, OperatorError.code)
    except ReaderGone:
        raise
    except Exception as error:  # noqa: BLE001 - a traceback does not help users
        if os.environ.get("KVASIR_DEBUG"):
            traceback.print_exc()
        what = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_MESSAGE]
        report = "please report it, with what KVASIR_DEBUG=1 prints"
        message = f"error: this was not foreseen ({what}): {report}"
        return fail(message, EXIT_OPERATOR_ERROR, KvasirError.code)
    return code if isinstance(code, int) else 0


def _say(message: str) -> None:
    from kvasir.frontends.cli.terminal import echo  # Imported here, because help needs no rich.

    echo(message, err=True)


def _print_json_error(message: str, exit_code: int, code: str) -> int:
    if _STATE.get("as_json"):
        click.echo(json.dumps({"error": message, "code": code, "exit_code": exit_code}))
    return exit_code


def _silence() -> None:
    """Discard all further output, also at the end of the process."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _end(code: int) -> NoReturn:
    """End the process, even if a call that could not be stopped is still running."""
    if any(thread.name == LEFT_BEHIND for thread in threading.enumerate()):
        # Libraries may crash if the interpreter shuts down during a call.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)
