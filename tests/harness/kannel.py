"""Kannel (Debian's package `kannel`) as ESME: HTTP in, SMPP out, receipts and inbound messages back by HTTP."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.harness.peer import absent, environment
from tests.harness.server import free_port

FOLDERS = "/usr/sbin:/usr/lib/kannel:/usr/bin:/usr/local/sbin"

CONFIG = """\
group = core
admin-port = {admin}
admin-interface = 127.0.0.1
admin-password = bar
admin-allow-ip = "127.0.0.1"
smsbox-port = {box}
smsbox-interface = 127.0.0.1
box-allow-ip = "127.0.0.1"
log-file = "{folder}/bearerbox.log"
log-level = 0
dlr-storage = internal

group = smsc
smsc = smpp
smsc-id = heliograph
host = 127.0.0.1
port = {smsc}
transceiver-mode = true
smsc-username = "{system_id}"
smsc-password = "{password}"
system-type = ""
interface-version = 34
max-pending-submits = {window}
enquire-link-interval = 5
reconnect-delay = 1
source-addr-autodetect = true
dest-addr-ton = 1
dest-addr-npi = 1

group = smsbox
bearerbox-host = 127.0.0.1
bearerbox-port = {box}
sendsms-port = {sendsms}
sendsms-interface = 127.0.0.1
log-file = "{folder}/smsbox.log"
log-level = 0

group = sendsms-user
username = tester
password = foobar
max-messages = 10
concatenation = true

group = sms-service
keyword = default
max-messages = 0
concatenation = true
catch-all = true
assume-plain-text = true
get-url = "{mo_url}?from=%p&to=%P&text=%b&coding=%c"
"""


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=FOLDERS)
    if found is None:
        absent(f"{name} is not installed; on Debian and Ubuntu: apt-get install kannel")
    assert found is not None
    return found


class Kannel:
    """bearerbox and smsbox over one configuration in `folder`, bound to the SMSC on a port of the loopback.

    `mo_url` is called for each inbound message, with `from`, `to`, `text` (UTF-16 when `coding` is 2) and `coding`.
    """

    def __init__(
        self, folder: Path, smsc: int, *, system_id: str, password: str, mo_url: str = "", window: int = 10
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.admin, self.box, self.sendsms = free_port(), free_port(), free_port()
        self.config = folder / "kannel.conf"
        self.config.write_text(
            CONFIG.format(
                folder=folder,
                admin=self.admin,
                box=self.box,
                sendsms=self.sendsms,
                smsc=smsc,
                system_id=system_id,
                password=password,
                mo_url=mo_url or "http://127.0.0.1:9/",
                window=window,
            )
        )
        self._boxes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Kannel:
        try:
            self._boxes.append(self._spawn("bearerbox"))
            self._wait_port(self.box)
            self._boxes.append(self._spawn("smsbox"))
            self._wait_port(self.sendsms)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for box in reversed(self._boxes):
            box.terminate()
            try:
                box.wait(5)
            except subprocess.TimeoutExpired:
                box.kill()
                box.wait()

    def _spawn(self, name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.out").open("ab") as out:
            return subprocess.Popen(
                [program(name), str(self.config)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment(),
            )

    def _wait_port(self, port: int, within: float = 20.0) -> None:
        deadline = time.monotonic() + within
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                gone = any(box.poll() is not None for box in self._boxes) or time.monotonic() > deadline
                assert not gone, f"Kannel does not serve:\n{self.printed()}"
                time.sleep(0.05)
            else:
                return

    def printed(self) -> str:
        logs = sorted(self.folder.glob("*.out")) + sorted(self.folder.glob("*.log"))
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-3000:]}" for log in logs)

    def status(self) -> str:
        """bearerbox's own report; a link that is bound is `online`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/status.txt?password=bar", timeout=5) as answer:
            return str(answer.read().decode())

    def wait_online(self, within: float = 20.0) -> None:
        deadline = time.monotonic() + within
        while "(online" not in self.status():
            assert time.monotonic() < deadline, f"{self.status()}\n{self.printed()}"
            time.sleep(0.1)

    def send(self, to: str, text: str, *, from_: str = "96000", dlr_url: str = "", **more: Any) -> str:
        """`GET /cgi-bin/sendsms` of a text in Unicode; what Kannel answers when it has accepted it."""
        query = {"username": "tester", "password": "foobar", "from": from_, "to": to, "text": text}
        query |= {"charset": "UTF-8", **more}
        if dlr_url:
            query |= {"dlr-mask": "31", "dlr-url": dlr_url}
        url = f"http://127.0.0.1:{self.sendsms}/cgi-bin/sendsms?{urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.status == 202, answer.read()
            return str(answer.read().decode())
