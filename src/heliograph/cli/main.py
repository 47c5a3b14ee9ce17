"""The command `heliograph`: its groups, and what every error looks like to the person who typed it."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from heliograph import __version__
from heliograph.cli import (
    account,
    audit,
    callback,
    carrier,
    config,
    db,
    demo,
    doctor,
    explain,
    inbound,
    listen,
    message,
    serve,
    simulator,
    smsc,
)
from heliograph.cli.common import BUG, NO, UNUSABLE, WRONG, CommandError
from heliograph.config import ConfigError
from heliograph.kit.keys import KeysError
from heliograph.messaging.errors import HeliographError
from heliograph.store.interface import Conflict, Missing, Refused, StoreError


class _Commands(TyperGroup):
    """All commands. What typer says of a wrong value may be its library's, which knows neither value nor remedy."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = _about_value(error)
            raise


def _about_value(error: typer.BadParameter) -> str:
    """What is wrong with a value, and what it may be."""
    problems = getattr(error.__cause__, "errors", None)
    if problems is None:
        return error.message
    problem = problems()[0]
    value, bounds = f"{str(problem['input'])[:40]!r}", problem.get("ctx", {})
    match problem["type"]:
        case "greater_than_equal":
            return f"{value} is too little; give {bounds['ge']} or more."
        case "less_than_equal":
            return f"{value} is too much; give {bounds['le']} or less."
        case "int_parsing" | "int_from_float":
            return f"{value} is no whole number; write it in digits, like 20."
    return error.message.removeprefix("Value error, ")


app = typer.Typer(
    name="heliograph",
    cls=_Commands,
    help="""A self-hosted SMS platform: the server behind RealTime SMS v.2.

    \b
    heliograph demo                  a server to try on this machine, nothing to set up
    heliograph serve                 a server with settings of your own
    heliograph account create …      another customer, on a running server too
    heliograph message timeline ID   what happened to a message
    heliograph doctor                what is wrong with an installation, and the remedy
    heliograph explain CODE|REQUEST  what an error means, what happened to one request

    \b
    Exit codes: 0 done; 1 the answer is no (no such thing, not enough money, something is wrong with what was checked);
    2 the command or a setting is wrong; 3 the environment is in the way (no data folder, port in use); 70 a bug.
    """,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("serve")(serve.serve)
app.add_typer(account.commands, name="account")
app.add_typer(carrier.commands, name="carrier")
app.add_typer(message.commands, name="message")
app.add_typer(inbound.commands, name="inbound")
app.add_typer(callback.commands, name="callback")
app.command("listen")(listen.listen)
app.command("audit")(audit.audit)
app.add_typer(db.commands, name="db")
app.command("doctor")(doctor.doctor)
app.command("explain")(explain.explain)
app.add_typer(config.commands, name="config")
app.add_typer(simulator.commands, name="simulator")
app.command("smsc")(smsc.smsc)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"heliograph {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line. Only a bug ends in a traceback."""
    try:
        app(prog_name="heliograph")
    except CommandError as error:
        _end(str(error), error.code)
    except ConfigError as error:
        _end("\n".join(error.problems), WRONG)
    except HeliographError as error:
        _end(error.detail, WRONG)
    except StoreError as error:
        _end(str(error), NO if isinstance(error, Conflict | Missing | Refused) else UNUSABLE)
    except KeysError as error:
        _end(str(error), UNUSABLE)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _end(f"{error.filename}: {error.strerror}" if error.filename else str(error), UNUSABLE)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:
        traceback.print_exc()
        _end("this is a bug; please report it with the lines above", BUG)


def _end(message: str, code: int) -> None:
    for line in message.splitlines():
        print(f"heliograph: {line}", file=sys.stderr)
    sys.exit(code)
