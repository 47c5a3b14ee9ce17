"""What is measured: a server's settings, what it is sent, and what stands behind it."""

from __future__ import annotations

from enum import Enum

import msgspec

REFERENCE = "reference"
SLOW_MS = 50  # the slow carrier's answer to a submit_sm
SLOW_RATE = 6_000.0  # requests a second that it is sent: half more than it can take
SLOW_WINDOW = 200
BATCH_TOLD = 1_000  # requests with 100 recipients: as many callbacks as are made in a while


class Stage(Enum):
    """How far a message gets in a scenario."""

    SENT = "sent"  # a carrier took it, and no receipt will come
    FINAL = "final"
    TOLD = "told"  # final, and its callback acknowledged


class Carrier(msgspec.Struct, frozen=True):
    """An SMSC behind the server, over SMPP, in a process of its own. `stage` says how far messages get."""

    stage: Stage = Stage.SENT
    window: int = 200  # submit_sm of the server's, and deliver_sm of the SMSC's, without an answer
    answer_ms: int = 0

    @property
    def ideal_per_second(self) -> float:
        """What the window and the SMSC's delay let through; 0 where there is no delay."""
        return self.window * 1000 / self.answer_ms if self.answer_ms else 0.0


class Scenario(msgspec.Struct, frozen=True):
    """`versus` names the scenario whose rate this one's is a part of. `carrier` is None for the built-in simulator;
    `rate` is in requests a second, None for as fast as they are answered; `requests` are sent and no more, None for as
    many as the time allows.
    """

    name: str
    title: str
    recipients: int = 1
    settings: dict[str, str] = {}
    filled: bool = False
    versus: str = ""
    carrier: Carrier | None = None
    rate: float | None = None
    requests: int | None = None

    @property
    def stage(self) -> Stage:
        """How far its messages get."""
        return self.carrier.stage if self.carrier else Stage.FINAL


def _over_smpp(name: str, what: str, stage: Stage, requests: int | None = None) -> tuple[Scenario, Scenario]:
    """With one recipient a request, and with a hundred: then the window is that of the simulator, and there may
    be only so many `requests`.
    """
    one, many = Carrier(stage), Carrier(stage, 1_000)
    return (
        Scenario(f"smpp{name}", f"1 recipient a request, over SMPP{what}", carrier=one),
        Scenario(
            f"smpp-batch{name}", f"100 recipients a request, over SMPP{what}", 100, carrier=many, requests=requests
        ),
    )


SCENARIOS = (
    Scenario(REFERENCE, "a bare HTTP server that answers a constant"),
    Scenario("single", "1 recipient a request, lean door"),
    Scenario("single-starlette", "1 recipient a request, Starlette's door", 1, {"http.lean_door": "false"}),
    Scenario("batch", "100 recipients a request", 100),
    Scenario("single-filled", "1 recipient a request, {stored} stored before", filled=True, versus="single"),
    Scenario("batch-filled", "100 recipients a request, {stored} stored before", 100, filled=True, versus="batch"),
    *_over_smpp("", "", Stage.SENT),
    *_over_smpp("-receipts", ", a receipt each", Stage.FINAL),
    *_over_smpp("-callbacks", ", a receipt and a signed callback each", Stage.TOLD, BATCH_TOLD),
    Scenario(
        "smpp-slow",
        f"{SLOW_RATE:,.0f} requests a second to a carrier that answers in {SLOW_MS} ms, window {SLOW_WINDOW}",
        carrier=Carrier(Stage.SENT, SLOW_WINDOW, SLOW_MS),
        rate=SLOW_RATE,
    ),
)
