"""Examples of errors: a request, what must be so that it fails, and the error that it meets.

They are read on the pages under `/errors`, where the answer beside each is rendered from its error, and sent to real
servers by the tests. `$TOKEN` and the like stand for what differs from account to account.
"""

from __future__ import annotations

from dataclasses import dataclass

from heliograph.messaging.errors import HeliographError

ACCOUNT = "demo"
ADDRESS = "192.0.2.7"
"""Who calls, where an error tells."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What must be so. Tests bring it about by its `key`; `words` say it, a sentence of Markdown."""

    key: str
    words: str


NONE = Setup("none", "")
SUSPENDED = Setup("suspended", "The operator has run `heliograph account suspend demo`.")
SENDING_OFF = Setup("sending_off", "The operator has run `heliograph account sending demo off`.")
ONE_NETWORK = Setup("one_network", "The operator has run `heliograph account ips demo --add 203.0.113.0/24`.")
ONE_COUNTRY = Setup("one_country", "The operator has run `heliograph account countries demo --only GB`.")
ONE_A_MINUTE = Setup(
    "one_a_minute", "The operator has run `heliograph account limit demo --per-minute 1`, and this is the second call."
)
NO_BALANCE = Setup("no_balance", "The balance is 0.00, and the account has no credit.")
OPTED_OUT = Setup("opted_out", "The operator has run `heliograph account optout demo --add +56912345678`.")
ONE_PRICE = Setup("one_price", 'The price list of the server has one line, `44 = "0.05"`.')
NO_CARRIER = Setup("no_carrier", "The server was started without a default carrier.")
FAILED_BEFORE = Setup(
    "failed_before",
    "The server allows one failed token request a minute and address, and this one follows a failed one.",
)
KEY_USED = Setup("key_used", "A request with the same key and another text was answered a minute ago.")
KEY_IN_USE = Setup("key_in_use", "The same request was sent a moment ago, and the server's disk takes its time.")
DELIVERED = Setup("delivered", "The message is delivered.")
BACKLOG = Setup("backlog", "As many messages wait for the carrier as the operator lets wait.")
BUG = Setup("bug", "The server has a bug.")
BUSY = Setup("busy", "More waits to be stored than the server was set up for.")
STORE_DOWN = Setup("store_down", "The disk of the server is full.")
DRAINING = Setup("draining", "The server is being restarted.")


@dataclass(frozen=True, slots=True)
class Example:
    """A request that meets `error`. An ellipsis in its header or body stands for `filling`, so many times."""

    error: HeliographError
    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    setup: Setup = NONE
    filling: str = ""
    times: int = 0
    answer_headers: tuple[tuple[str, str], ...] = ()  # beside those that every error has

    def filled(self, text: str) -> str:
        """A header or the body as it is sent."""
        return text.replace("…", self.filling * self.times)
