"""node-smpp (npm `smpp`) as SMSC and as ESME: a peer that is not ours. Installed on first use, into `.dev/node`."""

from __future__ import annotations

import fcntl
import functools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.harness.peer import Event, Peer, absent, tool

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "tests" / "e2e" / "interop"
INSTALLED = ROOT / ".dev" / "node"
LOCK = "package-lock.json"


@functools.cache
def modules() -> Path:
    """The folder with node-smpp, as `package-lock.json` has it; several tests at once install it once."""
    npm = tool("npm")
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (INSTALLED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted, there = SCRIPTS / LOCK, INSTALLED / LOCK
        if there.exists() and there.read_bytes() == wanted.read_bytes():
            return INSTALLED / "node_modules"
        build = INSTALLED / "build"
        for folder in (build, INSTALLED / "node_modules"):
            shutil.rmtree(folder, ignore_errors=True)
        build.mkdir()
        for name in ("package.json", LOCK):
            shutil.copy(SCRIPTS / name, build / name)
        # With the proxies of the environment: this one goes to the registry.
        done = subprocess.run(
            [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=build,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            absent(f"npm could not install node-smpp: {done.stderr[-500:]}")
        (build / "node_modules").rename(INSTALLED / "node_modules")
        (build / LOCK).replace(there)  # last: it says that all is there
    return INSTALLED / "node_modules"


class _Node(Peer):
    def __init__(self, script: str, config: dict[str, Any]) -> None:
        command = [tool("node"), str(SCRIPTS / script), json.dumps(config)]
        super().__init__(command, {"NODE_PATH": str(modules())})


class NodeSmsc(_Node):
    """An SMSC on a free port of the loopback; what may be configured is at the head of `interop/smsc.js`."""

    def __init__(self, **config: Any) -> None:
        super().__init__("smsc.js", config)
        (listening,) = self.wait_for("listening")
        self.port = int(listening["port"])

    def __enter__(self) -> NodeSmsc:
        return self

    @property
    def submits(self) -> list[Event]:
        """What it took, in order."""
        return self.seen("submit")

    def deliver(self, from_: str, to: str, text: str) -> None:
        """A deliver_sm to everybody bound."""
        self.tell(deliver={"from": from_, "to": to, "text": text})

    def wait_submits(self, count: int, within: float = 30.0) -> list[Event]:
        return self.wait_for("submit", count, within)

    def wait_whole(self, destinations: set[str], within: float = 30.0) -> dict[str, str]:
        """The texts by destination, once each of these has one that is whole."""

        def all_there(events: list[Event]) -> dict[str, str]:
            found = whole([event for event in events if event["event"] == "submit"])
            return found if destinations <= found.keys() else {}

        found: dict[str, str] = self.wait(all_there, within)
        return found


def whole(submits: list[Event]) -> dict[str, str]:
    """The texts by destination, put together as a phone does; what is not complete is left out."""
    parts: dict[tuple[str, object], dict[int, str]] = {}
    totals: dict[tuple[str, object], int] = {}
    for submit in submits:
        reference, total, part = concatenation(submit)
        key = (str(submit["destination"]), reference)
        totals[key] = total
        parts.setdefault(key, {})[part] = str(submit["text"])
    return {
        key[0]: "".join(text for _, text in sorted(found.items()))
        for key, found in parts.items()
        if len(found) == totals[key]
    }


def concatenation(submit: Event) -> tuple[object, int, int]:
    """Reference, number of parts and which of them it is: 3GPP TS 23.040 §9.2.3.24.1 and .8, SMPP 3.4 §5.3.2.22-24."""
    udh = bytes.fromhex(submit["udh"])
    if udh[:2] == b"\x00\x03":
        return f"udh8 {udh[2]}", udh[3], udh[4]
    if udh[:2] == b"\x08\x04":
        return f"udh16 {udh[2] << 8 | udh[3]}", udh[4], udh[5]
    if submit["form"] == "sar":
        reference, total, part = submit["sar"]
        return f"sar {reference}", int(total), int(part)
    return f"alone {submit['number']}", 1, 1


class NodeEsme(_Node):
    """An ESME that binds, submits, waits and ends; what may be configured is at the head of `interop/esme.js`."""

    def __init__(self, port: int, **config: Any) -> None:
        super().__init__("esme.js", {"port": port, **config})
