"""One message over a link of its own, for `carrier test --to`: what the carrier answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from heliograph.carriers.interface import CarrierState, Inbound, Outcome, Receipt, Submit
from heliograph.carriers.settings import SmppSettings
from heliograph.carriers.smpp.carrier import SmppCarrier
from heliograph.carriers.smpp.trial import Step
from heliograph.kit.clock import Clock
from heliograph.messaging.retry import SubmitClass
from heliograph.messaging.submissions import Request, Submission
from heliograph.messaging.text import Text

VALID_SECONDS = 600


class _Told:
    """`CarrierEvents` of a link that carries one message. What else comes over it is refused, so that the carrier
    keeps it for the server.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.settled: asyncio.Future[bool] = loop.create_future()  # whether the link is up
        self.ended: asyncio.Future[Outcome] = loop.create_future()
        self.why = ""

    def changed(self, state: CarrierState, detail: str) -> None:
        self.why = detail
        if state in (CarrierState.UP, CarrierState.FAULT) and not self.settled.done():
            self.settled.set_result(state is CarrierState.UP)

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        if not self.ended.done():
            self.ended.set_result(outcomes[0])

    def receipts(self, receipts: Sequence[Receipt], acknowledge: Callable[[bool], None]) -> None:
        acknowledge(False)

    def inbound(self, messages: Sequence[Inbound], acknowledge: Callable[[bool], None]) -> None:
        acknowledge(False)


async def send_one(settings: SmppSettings, clock: Clock, *, sender: str, recipient: str, text: Text) -> Step:
    """Send a text of one part, without asking for a receipt: whether the carrier took it, and what it calls it."""
    alone = replace(settings, binds=1, window=1, registered_delivery=0, statuses={})
    carrier = SmppCarrier("trial", alone, clock)
    told = _Told()
    began = asyncio.get_running_loop().time()

    def step(ok: bool, detail: str) -> Step:
        return Step("submit_sm", ok, detail, (asyncio.get_running_loop().time() - began) * 1000)

    await carrier.start(told)
    try:
        # A link that is not up at once may be a matter of the one before it, which was unbound just now.
        await asyncio.wait((told.settled,), timeout=settings.connect_seconds)
        if not told.settled.done() or not told.settled.result():
            return step(False, told.why)
        carrier.submit([Submit(_submission(clock.now_utc_ms(), sender, recipient, text), 1, text.body)])
        outcome = await told.ended
        taken = outcome.result is SubmitClass.TAKEN
        return step(taken, f"the carrier calls it {outcome.ref!r}" if taken else outcome.detail or outcome.result.value)
    finally:
        await carrier.stop()


def _submission(now_utc_ms: int, sender: str, recipient: str, text: Text) -> Submission:
    request = Request(1, 0, 0, sender, text, now_utc_ms, now_utc_ms + VALID_SECONDS * 1000)
    return Submission(1, request, recipient, 0, 0, 0, 0, 1)
