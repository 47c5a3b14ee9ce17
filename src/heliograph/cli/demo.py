"""`heliograph demo`: everything on, on this machine, with one account and a listener for its callbacks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from heliograph.cli.common import (
    DATA_FOLDER,
    UNUSABLE,
    WRONG,
    Data,
    explained,
    refuse,
    remember_url,
    require_free_port,
)
from heliograph.cli.credentials import (
    DEMO_SENDER,
    KEPT,
    LOOPBACK,
    Clients,
    Credentials,
    credential_kinds,
    credentials,
    known_ids,
    new_clients,
    stored,
    told,
)
from heliograph.cli.listen import Receiver
from heliograph.cli.watch import Watch
from heliograph.config import PREFIX, Settings, read
from heliograph.kit.keys import write_private
from heliograph.messaging.accounts import Account
from heliograph.messaging.errors import CallerError
from heliograph.messaging.numbers import NumberPolicy
from heliograph.messaging.pricing import parse_money, show_balance
from heliograph.service.accounts import CredentialKind, Secrets
from heliograph.store.interface import CreateAccount, Reads, ReplaceCredentials, UpdateAccount

if TYPE_CHECKING:
    from heliograph.app import App

REF = "demo"
BALANCE = "457.00"
LOG = "heliograph.log"
COMMAND_VARIABLE = "HELIOGRAPH_COMMAND"  # how the person at the terminal calls this program
_TLS = ("CERT", "KEY")
CALLBACKS_A_SECOND = 100  # of the built-in listener: nobody reads more
_LISTENER_PATH = "/the-demo-listens-here"


def demo(
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="The port, 8747 if left out.")] = None,
    data: Data = DATA_FOLDER,
    credentials_file: Annotated[
        Path | None, typer.Option("--credentials", metavar="FILE", help="Write the credentials there too, as JSON.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="A certificate (PEM): serve HTTPS.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its private key (PEM).")] = None,
) -> None:
    """Start a server to try, nothing to set up.

    It has one account, a simulated carrier and a listener for callbacks; it prints credentials and calls to paste, and
    tells what becomes of each message. Data and credentials stay in the data folder, so the next start goes on where
    this one stopped. Ctrl-C stops it.

    \b
    heliograph demo
    heliograph demo --port 9000 --data /tmp/try --credentials /tmp/try.json
    heliograph demo --tls-cert cert.pem --tls-key key.pem
    """
    if (tls_cert is None) != (tls_key is None) and not any(f"{PREFIX}HTTP__TLS_{end}" in os.environ for end in _TLS):
        given, missing = ("--tls-key", "--tls-cert") if tls_cert is None else ("--tls-cert", "--tls-key")
        refuse(f"{given} without {missing}: TLS needs a certificate and its private key, both PEM; give both", WRONG)
    if credentials_file is not None:
        _require_writable(credentials_file, data)
    settings = _settings(port, data, tls_cert, tls_key)
    require_free_port(settings.http.host, settings.http.port)
    import uvloop

    with explained(data):
        uvloop.run(_serve(settings, credentials_file))


def _require_writable(file: Path, data: Path) -> None:
    """Refuse a file that cannot be written in the end, before anything is made."""
    if file.is_dir():
        refuse(f"--credentials {file} is a folder; name a file", UNUSABLE)
    if file.parent.absolute() != data.absolute() and not os.access(file.parent, os.W_OK):
        what = "cannot be written" if file.parent.is_dir() else "does not exist"
        refuse(f"--credentials {file}: its folder {what}; choose another", UNUSABLE)


def _settings(port: int | None, data: Path, tls_cert: Path | None, tls_key: Path | None) -> Settings:
    given = {"data.dir": str(data), "http.port": port, "http.tls_cert": tls_cert, "http.tls_key": tls_key}
    settings = read(
        None,
        os.environ,
        preset={"log.file": str(data / LOG)} if sys.stderr.isatty() else {},  # a person reads what `Watch` tells
        given={
            name: str(value) if isinstance(value, Path) else value for name, value in given.items() if value is not None
        },
    ).settings
    networks = tuple(dict.fromkeys((*settings.callbacks.allow_networks, *LOOPBACK)))
    callbacks = msgspec.structs.replace(settings.callbacks, allow_networks=networks)
    return msgspec.structs.replace(settings, callbacks=callbacks)


async def _serve(settings: Settings, credentials_file: Path | None) -> None:
    from heliograph import serving

    async with serving.serving(settings) as (running, server):
        account, issued = await _account(running)
        watch = Watch(running.store, running.ids, _write)
        receiver = Receiver(watch.called_back, secret=issued.webhook_secret, at_ease=CALLBACKS_A_SECOND)
        account = await _listen(running, account, await receiver.start() + _LISTENER_PATH)
        await running.directory.refresh()
        if credentials_file is not None:
            write_private(credentials_file, _encoded(issued))
        balance = await running.store.read(lambda reads: reads.balance(account.id))
        remember_url(Path(settings.data.dir), settings.base_url)
        await asyncio.to_thread(_write, welcome(settings, issued, balance))
        serving.tune()
        telling = asyncio.get_running_loop().create_task(_tell(watch))
        try:
            await server.serve()
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            await receiver.stop()


# -- the account


async def _account(running: App) -> tuple[Account, Credentials]:
    """The demo's account and its credentials: those of the first start, whatever happened since, and those of an API
    that it did not know yet.
    """
    folder, kinds = Path(running.settings.data.dir), credential_kinds()
    kept = _kept(folder, kinds)
    account, ids = await running.store.read(_known)
    if account is not None and kept is None:
        refuse(
            f"{folder / KEPT} is gone, and secrets are stored nowhere else; put it back, or use another --data folder"
            " (`heliograph serve` still serves this one)",
            UNUSABLE,
        )
    known = [kind for kind in kinds if kind.dialect in ids]
    for kind in known:
        _require_right(running, kind, (kept or {}).get(kind.api))
    missing = [kind for kind in kinds if kind not in known]
    clients = {**new_clients(missing), **(kept or {})}
    if missing:
        # First the secrets, then the account: a stop in between must not leave an account that nobody can use.
        _keep(folder, Credentials("", REF, told(clients), ""))
    if account is None:
        account = await running.store.apply(_creation(clients, running.clock.now_utc_ms()))
    elif missing:
        new = stored({kind.api: clients[kind.api] for kind in missing})
        account = await running.store.apply(ReplaceCredentials(account.id, new))
    issued = credentials(running.settings.base_url, account, clients, running.keys)
    _keep(folder, issued)
    return account, issued


def _known(reads: Reads) -> tuple[Account | None, dict[int, str]]:
    """The demo's account and its public ids by dialect."""
    account = reads.account(REF)
    return account, known_ids(reads, account) if account is not None else {}


def _require_right(running: App, kind: CredentialKind, client: Secrets | None) -> None:
    """Refuse credentials that were altered, or are of another folder: no call with them would be answered."""
    try:
        right = client is not None and (
            running.directory.authenticate(kind.dialect, client.public_id, client.secret).ref == REF
        )
    except CallerError:
        right = False
    if not right:
        path = Path(running.settings.data.dir) / KEPT
        refuse(
            f"{path} does not hold the {kind.api} credentials of account {REF}. If `heliograph account rotate` renewed"
            f' them, put what it printed with --json for "{kind.api}" into it; if it was altered, or is another'
            " folder's, put the right one back; or use another --data folder (`heliograph serve` still serves this"
            " one)",
            UNUSABLE,
        )


def _creation(clients: Clients, now_utc_ms: int) -> CreateAccount:
    account = Account(
        id=0,
        ref=REF,
        name="Demo",
        email="demo@example.com",
        senders=frozenset({DEMO_SENDER}),
        default_sender=DEMO_SENDER,
        numbers=NumberPolicy.SYNTAX,
        inbound=frozenset({DEMO_SENDER}),
        created_utc_ms=now_utc_ms,
    )
    return CreateAccount(account, stored(clients), parse_money(BALANCE))


def _kept(folder: Path, kinds: Sequence[CredentialKind]) -> dict[str, Secrets] | None:
    """The credentials that are kept, by API; None when there is no file."""
    path = folder / KEPT
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        given = {kind: msgspec.convert(kept[kind.api], dict[str, str]) for kind in kinds if kind.api in kept}
        return {kind.api: Secrets(pair[kind.id_name], pair[kind.secret_name]) for kind, pair in given.items()}
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, KeyError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        refuse(f"{path} is damaged ({reason}); put it back, or use another --data folder", UNUSABLE)


def _keep(folder: Path, issued: Credentials) -> None:
    write_private(folder / KEPT, _encoded(issued))


def _encoded(issued: Credentials) -> bytes:
    return msgspec.json.format(msgspec.json.encode(issued.as_json()), indent=2) + b"\n"


async def _listen(running: App, account: Account, url: str) -> Account:
    """Have callbacks go to the built-in listener, unless someone chose another URL; and give an account that is older
    than inbound messages its number.
    """
    urls = {"dlr_url": account.dlr_url, "mo_url": account.mo_url}
    changes: dict[str, Any] = {key: url for key, old in urls.items() if not old or old.endswith(_LISTENER_PATH)}
    if not account.inbound and running.directory.owner_of(DEMO_SENDER) is None:
        changes["inbound"] = frozenset({DEMO_SENDER})
    return await running.store.apply(UpdateAccount(account.id, changes)) if changes else account


# -- the terminal


def _write(lines: str) -> None:
    sys.stdout.write(lines)
    sys.stdout.flush()


async def _tell(watch: Watch) -> None:
    with contextlib.suppress(BrokenPipeError):  # whoever read along has left; the server stays
        await watch.follow()


def welcome(settings: Settings, issued: Credentials, balance_micros: int) -> str:
    """What the demo says when it is ready."""
    command, data = os.environ.get(COMMAND_VARIABLE, "heliograph"), f" --data {settings.data.dir}"
    log = settings.log.file or "standard error"
    price = settings.prices["default"].get("", "a price by prefix")
    return f"""\
Heliograph demo at {issued.base_url} (Ctrl-C stops it; data in {settings.data.dir}, log in {log})

  account         {issued.account_id}: sender {DEMO_SENDER}, balance {show_balance(balance_micros)}, {price} a segment
{_secrets(issued)}

Paste into another terminal: get a token, look at the balance, send a message, ask what became of it.

{_calls(issued)}{_calls_747(issued)}
The last four digits of the recipient choose what the simulated carrier does: 0001 is reported undelivered, 0002
rejected, and `{command} simulator fates` prints the rest; all others are delivered. More to try:

{command} message timeline "$ID"{data}
{command} simulator inbound --from 56912345678 --to {DEMO_SENDER} --text "Hello back"{data}
{command} account create --name Shop --email shop@example.com --balance 5.00{data}
{command} audit{data}

What happens from here on:
"""


def _secrets(issued: Credentials) -> str:
    return "\n".join(f"  {name:<14}  {value}" for name, value in issued.pairs() if value != issued.base_url)


def _calls(issued: Credentials) -> str:
    url, curl, client = issued.base_url, _curl(issued), issued.clients["realtime"]
    bearer = '-H "Authorization: Bearer $TOKEN"'
    body = f'{{"recipients":["+56910000000"],"sender":"{DEMO_SENDER}","message":{{"text":"Hello from Heliograph"}}}}'
    return rf"""TOKEN=$({curl} {url}/api/auth -d grant_type=client_credentials \
  -d client_id={client["client_id"]} \
  -d client_secret={client["client_secret"]} | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
{curl} {bearer} {url}/api/balance; echo
SENT=$({curl} {bearer} {url}/api/sms \
  -d '{body}'); echo "$SENT"
ID=$(echo "$SENT" | sed 's/.*"submissionId":"\([0-9]*\)".*/\1/')
sleep 1; {curl} {bearer} "{url}/api/sms/$ID"; echo
"""


def _calls_747(issued: Credentials) -> str:
    """The same message through 747 SMS, where the installation has it."""
    client = issued.clients.get("sms747")
    if client is None:
        return ""
    curl, url = _curl(issued), f"{issued.base_url}/api/v1"
    return rf"""
The same through 747 SMS, over the same balance:

TOKEN=$({curl} {url}/auth/token -d api_key={client["api_key"]} \
  -d api_secret={client["api_secret"]} | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
{curl} -H "Authorization: Bearer $TOKEN" {url}/message/custom \
  -d '{{"recipient":"+56910000000","message":"Hello from Heliograph"}}'; echo
"""


def _curl(issued: Credentials) -> str:
    return "curl -sk" if issued.base_url.startswith("https:") else "curl -s"
