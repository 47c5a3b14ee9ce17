"""The frame of all commands: help, versions, exit codes, settings, and no traceback for a mistake."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Command

from heliograph import __version__
from heliograph.cli import demo
from heliograph.cli.common import served_url
from heliograph.cli.credentials import KEPT, Credentials
from heliograph.config import Settings


def test_the_version(heliograph: Command) -> None:
    assert heliograph("--version").out == f"heliograph {__version__}\n"


def test_the_program_calls_itself_by_its_name(heliograph: Command) -> None:
    for words in (("--help",), ("account", "topup", "--help")):
        assert heliograph(*words).out.lstrip().startswith("Usage: heliograph ")
    assert "Usage: heliograph " in heliograph("serve", "--nonsense", code=2).err


def test_what_the_demo_cannot_use_is_named_before_anything_is_made(heliograph: Command, tmp_path: Path) -> None:
    assert "--tls-key" in heliograph("demo", "--tls-cert", "cert.pem", code=2).err
    assert "--tls-cert" in heliograph("demo", "--tls-key", "key.pem", code=2).err
    assert "/nonexistent/x" in heliograph("demo", "--credentials", "/nonexistent/x", code=3).err
    assert "is a folder" in heliograph("demo", "--credentials", str(tmp_path), code=3).err
    assert not heliograph.folder.exists()


def test_an_empty_message_id_is_a_usage_error(heliograph: Command) -> None:
    for word in ("show", "timeline"):
        assert "empty" in heliograph("message", word, "", code=2).err


def test_a_misspelt_command_is_exit_code_2_with_a_suggestion(heliograph: Command) -> None:
    assert "demo" in heliograph("demoo", code=2).err
    heliograph("account", "show", code=2)


@pytest.mark.parametrize("command", ["account", "message", "config"])
def test_every_command_has_an_example_in_its_help(heliograph: Command, command: str) -> None:
    listed = heliograph(command, "--help").out.partition("Commands:")[2]
    for line in listed.splitlines()[1:]:
        assert f"  heliograph {command} {line.split()[0]}" in heliograph(command, line.split()[0], "--help").out


@pytest.mark.parametrize("command", ["demo", "serve", "audit"])
def test_so_has_every_single_command(heliograph: Command, command: str) -> None:
    assert f"  heliograph {command}" in heliograph(command, "--help").out


def test_settings_are_written_checked_and_shown(heliograph: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    heliograph("config", "init")
    assert "stays as it is" in heliograph("config", "init", code=1).err
    assert heliograph("config", "check", "--config", "heliograph.toml").out == "ok\n"
    monkeypatch.setenv("HELIOGRAPH_HTTP__PORT", "9000")
    shown = heliograph.json("config", "show", "--config", "heliograph.toml")
    assert shown["http.port"] == {"value": 9000, "from": "HELIOGRAPH_HTTP__PORT"}
    assert shown["data.dir"] == {"value": str(heliograph.folder), "from": "HELIOGRAPH_DATA"}
    assert shown["http.host"] == {"value": "127.0.0.1", "from": "default"}
    assert "http.port" in heliograph("config", "show").out


def test_settings_with_mistakes_are_named_one_a_line(heliograph: Command) -> None:
    Path("bad.toml").write_text("[http]\nprot = 1\nport = 'x'\n")
    assert len(heliograph("config", "check", "--config", "bad.toml", code=1).err.splitlines()) == 2
    for words in (("config", "show"), ("serve",)):
        assert "http.prot" in heliograph(*words, "--config", "bad.toml", code=2).err
    assert not heliograph.folder.exists()


@pytest.mark.parametrize("command", ["demo", "serve"])
def test_a_port_in_use_is_exit_code_3(heliograph: Command, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert str(port) in heliograph(command, "--port", str(port), code=3).err
    assert not heliograph.folder.exists()


def test_a_demo_whose_secret_is_lost_or_damaged_says_what_to_do(heliograph: Command) -> None:
    kept = heliograph.folder / KEPT
    heliograph("account", "create", "--name", "Demo", "--email", "x@example.com", "--id", demo.REF)
    assert "put it back" in heliograph("demo", "--port", str(free_port()), code=3).err
    kept.write_text(
        '{"base_url":"","account_id":"demo","realtime":{"client_id":"rt_x","client_secret":"rts_y"},"webhook_secret":""}'
    )
    assert (
        "does not hold the realtime credentials of account demo"
        in heliograph("demo", "--port", str(free_port()), code=3).err
    )
    for damaged in ("{", '{"realtime":{"client_id":"rt_x"}}'):
        kept.write_text(damaged)
        assert "damaged" in heliograph("demo", "--port", str(free_port()), code=3).err


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_what_the_demo_says_can_be_pasted(tmp_path: Path) -> None:
    clients = {
        "realtime": {"client_id": "rt_x", "client_secret": "rts_y"},
        "sms747": {"api_key": "k7_x", "api_secret": "s7_y"},
    }
    issued = Credentials("https://127.0.0.1:1", "demo", clients, "whsec_z")
    said = demo.welcome(Settings(), issued, 457_000_000)
    for shown in ("rt_x", "rts_y", "k7_x", "s7_y", "whsec_z", "balance 457.00", "1.00 a segment"):
        assert shown in said
    assert said.count("curl -sk https://127.0.0.1:1/api/auth ") == 1
    assert said.count("curl -sk https://127.0.0.1:1/api/v1/auth/token ") == 1
    body = next(line for line in said.splitlines() if line.startswith("  -d '{")).partition("'")[2].partition("'")[0]
    assert json.loads(body)["sender"] == "96000"


def test_a_folder_that_was_never_served_has_no_url(tmp_path: Path) -> None:
    assert served_url(tmp_path) == ""
