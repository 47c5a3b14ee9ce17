"""The figures at `/metrics`: what each is called and means, and where it is read.

Services count in plain numbers as they go; nothing is gathered before somebody asks, and then without waiting for
anything. `docs/metrics.md` lists all of them, and a test compares. No label has a value for each account.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

from prometheus_client import Metric

from heliograph import __version__
from heliograph.api.traffic import Traffic
from heliograph.carriers.interface import CarrierState
from heliograph.kit.metrics import Histogram
from heliograph.messaging.retry import SubmitClass
from heliograph.messaging.submissions import Status
from heliograph.service.accounts import Directory
from heliograph.service.carriers import Carriers
from heliograph.service.commits import Commits
from heliograph.service.dispatch import Dispatch
from heliograph.service.idempotency import Idempotency
from heliograph.service.lane import Lane
from heliograph.service.notify import Notify
from heliograph.service.receive import Receive
from heliograph.service.report import Report
from heliograph.service.sequence import MessageIds
from heliograph.service.submit import Submit
from heliograph.store.interface import Store

Values = tuple[str, ...]  # of a family's labels, in their order


@dataclass(frozen=True, slots=True)
class Family:
    """A figure: a counter's name ends in `_total`, and one that has a unit says it. `help` is a sentence."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()

    def is_(self, value: float) -> Metric:
        """The one value of a figure without labels."""
        return self.of({(): value})

    def of(self, values: Mapping[Values, float]) -> Metric:
        """A value for each combination of labels."""
        metric = Metric(self.name.removesuffix("_total"), self.help, self.kind)
        for labels, value in values.items():
            metric.add_sample(self.name, dict(zip(self.labels, labels, strict=True)), value)
        return metric

    def spread(self, histograms: Mapping[Values, Histogram]) -> Metric:
        """A histogram for each combination of labels."""
        metric = Metric(self.name, self.help, self.kind)
        for values, histogram in histograms.items():
            labels = dict(zip(self.labels, values, strict=True))
            ends = [*map(str, histogram.bounds), "+Inf"]
            for end, count in zip(ends, accumulate(histogram.counts), strict=True):
                metric.add_sample(f"{self.name}_bucket", {**labels, "le": end}, count)
            metric.add_sample(f"{self.name}_count", labels, sum(histogram.counts))
            metric.add_sample(f"{self.name}_sum", labels, histogram.sum)
        return metric


FAMILIES: Final[list[Family]] = []


def _family(kind: Literal["counter", "gauge", "histogram"], name: str, help: str, *labels: str) -> Family:
    family = Family(f"heliograph_{name}", kind, help, labels)
    FAMILIES.append(family)
    return family


_BUILD = _family("gauge", "build_info", "Always 1; the labels say what runs.", "version", "python")

_REQUESTS = _family(
    "counter",
    "http_requests_total",
    "Requests answered. The route is a template, and - for URLs that do not exist.",
    "method",
    "route",
    "status",
)
_ERRORS = _family(
    "counter", "http_errors_total", "Error answers, by their code; those of /readyz are among them.", "code"
)
_DURATION = _family(
    "histogram",
    "http_request_duration_seconds",
    "From a request's last byte to its answer: of sends (send), and of all else (other).",
    "calls",
)
_IN_FLIGHT = _family("gauge", "http_requests_in_flight", "Requests that were received and are not answered.")
_CONNECTIONS = _family("gauge", "http_connections", "Open connections, idle ones included.")

_READY = _family("gauge", "ready", "1 when /readyz says so.")
_ACCEPTED = _family("counter", "messages_accepted_total", "Messages accepted and charged.")
_REFUSED = _family(
    "counter",
    "messages_refused_total",
    "Recipients refused one by one; a send that is refused whole is among the error answers.",
    "code",
)
_ENDED = _family(
    "counter",
    "messages_ended_total",
    "Messages that reached a final status; one that replaces UNKNOWN counts again.",
    "status",
)
_REPLAYS = _family(
    "counter", "idempotent_replays_total", "Sends that got the answer of an earlier one with the same Idempotency-Key."
)
_INBOUND = _family("counter", "messages_inbound_total", "Messages from phones, stored.")
_NOBODYS = _family(
    "counter", "messages_inbound_unowned_total", "Of these, those to numbers that are no account's: nobody is told."
)
_IDS_LEFT = _family("gauge", "message_ids_left", "Message ids leased from the store and not used yet.")

_COMMITS = _family("counter", "commits_total", "Group commits, stored or failed.", "result")
_COMMIT_ROWS = _family("counter", "commit_rows_total", "Rows that callers asked for, in commits that were stored.")
_COMMIT_SECONDS = _family(
    "histogram", "commit_duration_seconds", "From a group's beginning until it is on disk, of commits that were stored."
)
_WAITING_ROWS = _family("gauge", "store_waiting_rows", "Rows that wait to be stored or are being stored.")
_STORE_HEALTHY = _family("gauge", "store_healthy", "0 from a failed commit until the store takes writes again.")

_WAITING = _family("gauge", "carrier_waiting", "Messages accepted for a carrier and without an outcome.", "carrier")
_BACKLOG = _family("gauge", "carrier_backlog", "How many may wait: past it sends are refused.", "carrier")
_WINDOW = _family("gauge", "carrier_window", "The size of a carrier's window, in parts.", "carrier")
_WINDOW_USED = _family("gauge", "carrier_window_used", "Parts in the window: without a stored outcome.", "carrier")
_ON_WIRE = _family("gauge", "carrier_on_wire", "Parts that the carrier has and has not answered.", "carrier")
_PAUSED = _family(
    "gauge", "carrier_paused", "1 while nothing is sent: the carrier throttles or is out of reach.", "carrier"
)
_STATE = _family("gauge", "carrier_state", "1 for how the carrier stands, 0 for the others.", "carrier", "state")
_OUTCOMES = _family("counter", "carrier_outcomes_total", "Parts answered, by how it ended.", "carrier", "outcome")
_RECEIPTS = _family(
    "counter", "carrier_receipts_total", "Receipts that arrived; one told again counts again.", "carrier"
)
_MATCHED = _family("counter", "receipts_matched_total", "Receipts stored with the part that they are about.")
_UNMATCHED = _family("counter", "receipts_unmatched_total", "Receipts about no part that is known.")
_PARKED = _family("gauge", "receipts_parked", "Unmatched receipts that wait for the answer they may belong to.")

_BEGUN = _family("counter", "callback_attempts_begun_total", "Callback attempts begun.")
_ATTEMPTS = _family(
    "counter", "callback_attempts_total", "Callback attempts that ended: acknowledged or failed.", "result"
)
_GIVEN_UP = _family("counter", "callbacks_given_up_total", "Callbacks whose last attempt failed.")
_UNDER_WAY = _family("gauge", "callbacks_under_way", "Callback attempts begun and without a stored end.")

_DIRECTORY_AGE = _family("gauge", "directory_age_seconds", "Since the accounts were last read from the store.")


def of_http(traffic: Traffic) -> Iterator[Metric]:
    """The figures of a server without anything behind it."""
    yield _BUILD.of({(__version__, platform.python_version()): 1})
    yield _REQUESTS.of(_requests(traffic))
    yield _ERRORS.of({(code,): count for code, count in traffic.errors.items()})
    yield _DURATION.spread({("send",): traffic.send_seconds, ("other",): traffic.other_seconds})
    yield _IN_FLIGHT.is_(traffic.in_flight())
    yield _CONNECTIONS.is_(len(traffic.connections))


def _requests(traffic: Traffic) -> dict[Values, float]:
    counts: dict[Values, float] = {
        (method, route, str(status)): n for (method, route, status), n in traffic.others.items()
    }
    for (route, status), count in traffic.sends.items():
        key = ("POST", route, str(status))
        counts[key] = counts.get(key, 0) + count  # a send that was not received whole is among the others
    return counts


@dataclass(frozen=True, slots=True)
class Engine:
    """What is behind the faces, as far as it counts; `ready` and `store_healthy` are asked at each scrape."""

    submit: Submit
    once: Idempotency
    dispatch: Dispatch
    carriers: Carriers
    receive: Receive
    report: Report
    notify: Notify
    directory: Directory
    ids: MessageIds
    store: Store
    commits: Commits
    ready: Callable[[], bool]
    store_healthy: Callable[[], bool]

    def figures(self) -> Iterator[Metric]:
        """All of them."""
        yield _READY.is_(self.ready())
        yield from self._of_messages()
        yield from self._of_store()
        yield from _of_carriers(self.dispatch.lanes.values())
        yield _STATE.of(
            {
                (name, state.value): standing.state is state
                for name, standing in self.carriers.standings().items()
                for state in CarrierState
            }
        )
        yield from self._of_receipts()
        yield from self._of_callbacks()
        yield _DIRECTORY_AGE.is_(self.directory.age_seconds)

    def _of_messages(self) -> Iterator[Metric]:
        yield _ACCEPTED.is_(self.submit.accepted)
        yield _REFUSED.of({(code,): count for code, count in self.submit.refused.items()})
        yield _ENDED.of({(status.name,): self.report.ended[status] for status in Status if status.final})
        yield _REPLAYS.is_(self.once.replayed)
        yield _INBOUND.is_(self.receive.inbound_messages)
        yield _NOBODYS.is_(self.receive.inbound_unowned)
        yield _IDS_LEFT.is_(self.ids.left)

    def _of_store(self) -> Iterator[Metric]:
        commits = self.commits
        yield _COMMITS.of({("stored",): commits.stored, ("failed",): commits.failed})
        yield _COMMIT_ROWS.is_(commits.rows)
        yield _COMMIT_SECONDS.spread({(): commits.seconds})
        yield _WAITING_ROWS.is_(self.store.waiting_rows)
        yield _STORE_HEALTHY.is_(self.store_healthy())

    def _of_receipts(self) -> Iterator[Metric]:
        receive = self.receive
        yield _MATCHED.is_(receive.matched)
        yield _UNMATCHED.is_(receive.unmatched)
        yield _PARKED.is_(receive.parked)

    def _of_callbacks(self) -> Iterator[Metric]:
        notify = self.notify
        yield _BEGUN.is_(notify.begun)
        yield _ATTEMPTS.of({("acknowledged",): notify.acknowledged, ("failed",): notify.failed})
        yield _GIVEN_UP.is_(notify.given_up)
        yield _UNDER_WAY.is_(notify.under_way)


def _of_carriers(lanes: Iterable[Lane]) -> Iterator[Metric]:
    named = {(lane.carrier.name,): lane for lane in lanes}
    yield _WAITING.of({name: lane.waiting for name, lane in named.items()})
    yield _BACKLOG.of({name: lane.max_waiting for name, lane in named.items()})
    yield _WINDOW.of({name: lane.carrier.window for name, lane in named.items()})
    yield _WINDOW_USED.of({name: lane.in_window for name, lane in named.items()})
    yield _ON_WIRE.of({name: lane.on_wire for name, lane in named.items()})
    yield _PAUSED.of({name: lane.paused for name, lane in named.items()})
    yield _OUTCOMES.of(
        {(*name, result.value): lane.ended[result] for name, lane in named.items() for result in SubmitClass}
    )
    yield _RECEIPTS.of({name: lane.receipts_told for name, lane in named.items()})
