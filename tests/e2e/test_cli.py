"""The command line, as an operator and the operator's scripts use it: with a server running, and without."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from tests.harness.client import Client, phone
from tests.harness.server import Ran, Server, cli_here, environment, free_port

CREDENTIALS = {"base_url", "account_id", "realtime", "sms747", "webhook_secret"}
NUMBERS = itertools.count(1)


def create() -> tuple[str, ...]:
    return ("account", "create", "--name", f"Acme {next(NUMBERS)}", "--email", "sms@acme.example")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("cli") / "data") as started:
        yield started


@pytest.fixture(scope="module")
def client(server: Server) -> Client:
    return Client(server, server.credentials)


@pytest.fixture(scope="module", autouse=True)
def opening_balance(client: Client) -> str:
    return client.balance()


@pytest.fixture(scope="module")
def resting(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A data folder with an account and a delivered message, and no server."""
    server = Server(tmp_path_factory.mktemp("resting") / "data")
    with server:
        client = Client(server, server.credentials)
        server.delivered = client.submit()  # type: ignore[attr-defined]
        client.wait_final(server.delivered)  # type: ignore[attr-defined]
    return server


def refused(ran: Ran, code: int) -> None:
    """An exit code for scripts, and a sentence for people."""
    assert ran.code == code, (ran.out, ran.err)
    assert ran.err.strip()
    assert "Traceback" not in ran.err


# -- accounts


def test_the_demo_account_is_as_described(server: Server, opening_balance: str) -> None:
    credentials = server.credentials
    assert set(credentials) == CREDENTIALS
    assert set(credentials["realtime"]) == {"client_id", "client_secret"}
    assert credentials["base_url"] == server.base_url
    assert opening_balance == "457.00"
    printed = server.printed()
    for shown in (server.base_url, credentials["realtime"]["client_id"], "curl"):
        assert shown in printed, printed


@pytest.mark.parametrize("running", [True, False])
def test_account_create_prints_the_credentials(server: Server, resting: Server, running: bool) -> None:
    command = server.cli if running else resting.cli_here
    made = command(*create(), "--balance", "5.00", "--sender", "Acme").data
    assert set(made) == CREDENTIALS
    assert set(made["realtime"]) == {"client_id", "client_secret"}
    assert made["webhook_secret"].startswith("whsec_")
    if running:
        assert made["base_url"] == server.base_url


def test_an_account_can_send_within_two_seconds_of_its_creation(server: Server) -> None:
    made = server.cli_here(*create(), "--balance", "5.00", "--sender", "Acme").data
    newcomer = Client(server, made).wait_effective(within=2)
    assert newcomer.balance() == "5.00"
    assert newcomer.send(sender="Acme").status == 200
    assert newcomer.send(sender="96000").status == 406


def test_a_new_account_has_the_demos_senders_no_money_and_the_policy_possible(server: Server) -> None:
    newcomer = Client(server, server.cli_here(*create()).data).wait_effective()
    assert newcomer.balance() == "0.00"
    assert newcomer.send(sender="96000").status == 200
    assert newcomer.send(["+123456789"]).status == 400


@pytest.mark.slow
def test_an_account_made_without_a_server_is_there_when_one_starts(data: Path) -> None:
    server = Server(data)
    with server:
        pass
    made = server.cli_here(*create(), "--balance", "2.00").data
    with server:
        customer = Client(server, {**made, "base_url": server.base_url})
        assert customer.balance() == "2.00"
        customer.submit()


@pytest.mark.parametrize("running", [True, False])
def test_account_show_and_list_tell_much_but_no_secret(server: Server, resting: Server, running: bool) -> None:
    used = server if running else resting
    credentials = used.credentials
    shown = used.cli_here("account", "show", credentials["account_id"])
    listed = used.cli_here("account", "list")
    assert credentials["account_id"] in json.dumps(shown.data)
    assert credentials["account_id"] in json.dumps(listed.data)
    for ran in (shown, listed):
        assert credentials["realtime"]["client_secret"] not in ran.out
        assert credentials["webhook_secret"] not in ran.out
    for words in (("account", "show", credentials["account_id"]), ("account", "list")):
        assert credentials["account_id"] in used.cli_here(*words, json=False).out


def test_account_topup_adds_to_the_balance(server: Server) -> None:
    made = server.cli_here(*create(), "--balance", "1.00").data
    server.cli_here("account", "topup", made["account_id"], "2.50")
    customer = Client(server, made).wait_effective()
    assert customer.balance() == "3.50"
    assert "3.50" in server.cli_here("account", "show", made["account_id"]).out
    for wrong in ("abc", "", "1.2345678", "NaN", "1e400"):
        refused(server.cli_here("account", "topup", made["account_id"], wrong, check=False), 2)
    assert customer.balance() == "3.50"


def test_account_callbacks_sets_both_urls(server: Server) -> None:
    made = server.cli_here(*create()).data
    dlr, mo = "https://customer.example/dlr?x=1", "https://customer.example/mo"
    server.cli_here("account", "callbacks", made["account_id"], "--dlr-url", dlr, "--mo-url", mo)
    shown = server.cli_here("account", "show", made["account_id"]).out
    assert dlr in shown
    assert mo in shown
    refused(server.cli_here("account", "callbacks", made["account_id"], "--dlr-url", "no url", check=False), 2)


@pytest.mark.parametrize("words", [("show",), ("topup", "1.00"), ("callbacks", "--dlr-url", "https://x.example/")])
def test_an_account_that_does_not_exist_is_exit_code_1(server: Server, words: tuple[str, ...]) -> None:
    refused(server.cli_here("account", words[0], "nobody", *words[1:], check=False), 1)


# -- messages


@pytest.mark.parametrize("running", [True, False])
def test_message_show_list_and_timeline(server: Server, resting: Server, client: Client, running: bool) -> None:
    if running:
        used, submission_id = server, client.submit(phone("0001"))
        client.wait_final(submission_id)
    else:
        used, submission_id = resting, resting.delivered  # type: ignore[attr-defined]
    status = "UNDELIVERED" if running else "DELIVERED"
    shown = used.cli_here("message", "show", submission_id)
    assert submission_id in json.dumps(shown.data)
    assert status in shown.out
    assert submission_id in json.dumps(used.cli_here("message", "list").data)
    timeline = used.cli_here("message", "timeline", submission_id)
    assert timeline.data
    assert status in timeline.out.upper()
    for words in (("show", submission_id), ("list",), ("timeline", submission_id)):
        assert submission_id in used.cli_here("message", *words, json=False).out or words[0] == "timeline"


@pytest.mark.parametrize("id_", ["1", "abc", "99999999999999999999"])
def test_a_message_that_does_not_exist_is_exit_code_1(server: Server, id_: str) -> None:
    for word in ("show", "timeline"):
        refused(server.cli_here("message", word, id_, check=False), 1)


# -- settings


def test_config_init_writes_a_file_that_checks_and_stays_when_there_is_one(tmp_path: Path) -> None:
    file = tmp_path / "heliograph.toml"
    assert cli_here("config", "init", str(file)).code == 0
    written = file.read_text()
    assert cli_here("config", "check", "--config", str(file)).code == 0
    file.write_text(written + "# mine\n")
    refused(cli_here("config", "init", str(file), check=False), 1)
    assert file.read_text() == written + "# mine\n"


def test_config_check_names_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "heliograph.toml"
    for text, named in (
        ("[http]\nprot = 1\n", "prot"),
        ("[http]\nport = 'x'\n", "port"),
        ("[nonsense]\nx = 1\n", "nonsense"),
        ("this is no TOML", "TOML"),
        ("[prices.default]\n56 = '-1'\n", "56"),
    ):
        file.write_text(text)
        for words in (("config", "check"), ("config", "show"), ("serve",)):
            ran = cli_here(*words, "--config", str(file), check=False)
            assert ran.code in (1, 2), (text, ran)
            assert named in ran.err, ran
            assert "Traceback" not in ran.err


def test_config_show_says_what_is_in_effect(tmp_path: Path) -> None:
    file = tmp_path / "heliograph.toml"
    file.write_text("[http]\nport = 9001\n")
    settings = {"limits.recipients": "77"}
    shown = cli_here("config", "show", "--config", str(file), json=True, settings=settings)
    assert shown.data["http.port"]["value"] == 9001
    assert shown.data["limits.recipients"]["value"] == 77


def test_a_setting_that_does_not_exist_stops_the_server(data: Path) -> None:
    server = Server(data, settings={"http.no_such_setting": "1"})
    server.spawn()
    assert server.died() == 2
    assert "no_such_setting" in server.printed()
    assert "Traceback" not in server.printed()


# -- the data folder


def test_a_data_folder_that_does_not_exist_is_refused_and_not_made(tmp_path: Path) -> None:
    for words in (("account", "list"), ("audit",), ("message", "list"), ("account", "show", "demo")):
        refused(cli_here(*words, data=tmp_path / "nowhere", check=False), 3)
    assert not (tmp_path / "nowhere").exists()


def test_the_data_folder_can_be_named_by_the_environment_or_be_the_default(
    resting: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = resting.cli_here("account", "list").data
    assert cli_here("account", "list", json=True, settings={"data": str(resting.data)}).data == expected
    (tmp_path / "heliograph-data").symlink_to(resting.data)
    monkeypatch.chdir(tmp_path)
    assert cli_here("account", "list", json=True).data == expected


def test_keys_that_are_lost_or_damaged_are_refused_by_everything(resting: Server, data: Path) -> None:
    shutil.copytree(resting.data, data)
    keys = data / "keys.json"
    whole = keys.read_bytes()
    served = {"http.port": str(free_port())}
    for content in (None, b"", b"{}"):
        if content is None:
            keys.unlink()
        else:
            keys.write_bytes(content)
            keys.chmod(0o600)
        for words in (("serve",), ("demo",), create(), ("account", "list"), ("message", "list"), ("audit",)):
            ran = cli_here(*words, data=data, check=False, settings=served)
            refused(ran, 3)
            assert str(keys) in ran.err
            assert "backup" in ran.err
        assert keys.exists() is (content is not None)
    keys.write_bytes(whole)
    assert cli_here("message", "list", data=data).code == 0


# -- audit


@pytest.mark.parametrize("running", [True, False])
def test_audit_agrees(server: Server, resting: Server, running: bool) -> None:
    used = server if running else resting
    assert used.cli_here("audit", json=False).code == 0
    assert used.cli_here("audit").data


def test_audit_notices_money_that_nobody_paid_in(resting: Server, data: Path) -> None:
    shutil.copytree(resting.data, data)
    assert cli_here("audit", data=data).code == 0
    (file,) = data.glob("*.sqlite")
    with contextlib.closing(apsw.Connection(str(file))) as connection:
        holders = connection.execute(
            "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
            " WHERE m.type = 'table' AND c.name LIKE '%balance%'"
        ).fetchall()
        ((table, column),) = holders
        connection.execute(f"UPDATE {table} SET {column} = {column} + 1")
    ran = cli_here("audit", data=data, check=False)
    assert ran.code == 1
    assert resting.credentials["account_id"] in ran.out


# -- listen


def test_listen_receives_verifies_and_answers(server: Server) -> None:
    made = server.cli_here(*create(), "--balance", "9.00").data
    customer = Client(server, made).wait_effective()
    port = free_port()
    command = [sys.executable, "-m", "heliograph", "listen", "--port", str(port), "--secret", made["webhook_secret"]]
    listening = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert listening.stdout is not None
    try:
        os.set_blocking(listening.stdout.fileno(), False)
        server.cli_here("account", "callbacks", made["account_id"], "--dlr-url", f"http://127.0.0.1:{port}/")
        said, deadline = b"", time.monotonic() + 20
        sent: list[str] = []
        while not any(submission_id.encode() in said for submission_id in sent):
            assert time.monotonic() < deadline, said
            if len(sent) < 8:
                sent.append(customer.submit())
            time.sleep(0.4)
            said += listening.stdout.read() or b""
    finally:
        listening.send_signal(signal.SIGTERM)
        assert listening.wait(20) in (0, 130, 143, -signal.SIGTERM)
        listening.stdout.close()


# -- help


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("demo",),
        ("serve",),
        ("account",),
        ("account", "create"),
        ("account", "topup"),
        ("message",),
        ("config",),
        ("listen",),
        ("audit",),
    ],
)
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    shown = cli_here(*words, "--help")
    assert "heliograph" in shown.out
    assert len(shown.out.splitlines()) > 5


def test_a_command_that_does_not_exist_is_exit_code_2() -> None:
    assert cli_here("account", "crate", check=False).code == 2
    assert cli_here("account", "create", check=False).code == 2


def test_commands_and_tests_run_the_same_tree() -> None:
    import heliograph

    command = [sys.executable, "-c", "import heliograph; print(heliograph.__file__)"]
    found = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout
    assert found.strip() == heliograph.__file__
