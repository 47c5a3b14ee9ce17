"""What a careless change could do to the server, and what a customer would notice of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """In `file`, below `src/heliograph`, the text `old`, which is there exactly once, becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutation:
    noticed: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]


REALTIME = "tests/conformance/dialects/realtime"
SMS747 = "tests/conformance/dialects/sms747"


def mutation(
    noticed: str, *changes: tuple[str, str, str], tests: str | tuple[str, ...], folder: str = REALTIME
) -> Mutation:
    """`tests` are files of the folder, or paths from the root."""
    names = (tests,) if isinstance(tests, str) else tests
    paths = tuple(name if "/" in name else f"{folder}/{name}" for name in names)
    return Mutation(noticed, tuple(Change(*change) for change in changes), paths)


def of_747(noticed: str, *changes: tuple[str, str, str], tests: str | tuple[str, ...]) -> Mutation:
    """A mutation of 747 SMS."""
    return mutation(f"747: {noticed}", *changes, tests=tests, folder=SMS747)


MUTATIONS = [
    mutation(
        "wrong credentials are called malformed, and malformed ones wrong",
        ("dialects/realtime.py", "errors.AUTH_MALFORMED.code: 400", "errors.AUTH_MALFORMED.code: 401"),
        ("dialects/realtime.py", "errors.CREDENTIALS_INVALID.code: 401", "errors.CREDENTIALS_INVALID.code: 400"),
        tests="test_token.py",
    ),
    mutation(
        "a token that is none is 401, a forged one 400",
        ("dialects/realtime.py", "errors.TOKEN_MALFORMED.code: 400", "errors.TOKEN_MALFORMED.code: 401"),
        ("dialects/realtime.py", "errors.TOKEN_INVALID.code: 401", "errors.TOKEN_INVALID.code: 400"),
        tests="test_bearer.py",
    ),
    mutation(
        "405 does not say which methods there are",
        ("api/asgi.py", '((b"allow", names.encode()),)', "()"),
        tests="test_methods.py",
    ),
    mutation(
        "a 401 has a body",
        ("api/realtime.py", '*explained(error)), b"", account', '*explained(error)), b"{}", account'),
        tests="test_bearer.py",
    ),
    mutation(
        "errors link to no help",
        ("api/replies.py", """f'</errors/{error.kind.code}>; rel="help"'.encode()""", 'b"</errors>"'),
        tests="test_errors.py",
    ),
    mutation(
        "what expires unsent stays paid",
        (
            "messaging/submissions.py",
            "Happening.TRIES_USED_UP, Happening.LAPSED, Happening",
            "Happening.TRIES_USED_UP, Happening",
        ),
        tests="test_life.py",
    ),
    mutation(
        "a message that waits expires only when it has its turn",
        ("service/lane.py", "self._lapsing = not self._stopped", "self._lapsing = False"),
        tests="test_life.py",
    ),
    mutation(
        "a message behind a full queue never expires",
        ("service/dispatch.py", "if not 0 < one.number <= entered_to]", "if not one.number]"),
        tests="test_life.py",
    ),
    mutation(
        "a message that is never reported stays SENT for ever",
        ("service/dispatch.py", "for id_ in found.silent]", "for id_ in ()]"),
        tests="test_life.py",
    ),
    mutation(
        "UNKNOWN is still told after it has been replaced",
        ("store/sqlite/writes.py", "if old == Status.UNKNOWN:", "if False:"),
        tests="test_life.py",
    ),
    mutation(
        "a callback that is answered 204 is never repeated",
        ("webhooks/sender.py", "if answer.status == 200 else", "if 200 <= answer.status < 300 else"),
        tests="tests/e2e/test_callbacks_clock.py",
    ),
    mutation(
        "the second attempt of a callback comes after fifteen minutes",
        ("webhooks/schedule.py", "(5 * _MINUTE, 15 * _MINUTE,", "(15 * _MINUTE, 15 * _MINUTE,"),
        tests="tests/e2e/test_callbacks_clock.py",
    ),
    mutation(
        "a callback is tried eight times",
        ("webhooks/schedule.py", "5 * _HOUR, 24 * _HOUR)", "5 * _HOUR, 24 * _HOUR, 24 * _HOUR)"),
        tests="tests/e2e/test_callbacks_clock.py",
    ),
    mutation(
        "redirects of a callback are followed",
        ("webhooks/sender.py", "allow_redirects=False", "allow_redirects=True"),
        tests=("test_dlr.py", "tests/e2e/test_callbacks_clock.py"),
    ),
    mutation(
        "the phone of a delivery report has a plus",
        ("dialects/realtime.py", '"phone": recipient', '"phone": f"+{recipient}"'),
        tests="test_dlr.py",
    ),
    mutation(
        "the date of a delivery report is in the server's time zone",
        (
            "dialects/realtime.py",
            "(_EPOCH + timedelta(milliseconds=done_utc_ms))",
            "(_EPOCH + timedelta(milliseconds=done_utc_ms)).astimezone()",
        ),
        tests="test_dlr.py",
    ),
    mutation(
        "a recipient that the balance does not cover is paid for all the same",
        ("messaging/ledger.py", "spent += price if paid else 0", "spent += price"),
        ("messaging/ledger.py", "assert spent <= max(available_micros, 0)", "assert True"),
        tests="test_money.py",
    ),
    mutation(
        "a recipient that the balance does not cover ends the request",
        (
            "messaging/ledger.py",
            "paid = price == 0 or spent + price <= available_micros",
            "paid = all(covered) and spent + price <= available_micros",
        ),
        tests="test_prices.py",
    ),
    mutation(
        "a message is promised before it is stored",
        (
            "service/submit.py",
            "self._store.submit(accept, stored, len(accept.submissions))",
            "stored([Kept.STORED] * len(accept.submissions))\n"
            "        self._store.submit(accept, lambda _: None, len(accept.submissions))",
        ),
        tests="tests/e2e/test_commit.py",
    ),
    mutation(
        "a commit that failed is answered with 200",
        (
            "service/submit.py",
            "if isinstance(result, list):\n                verdicts",
            "if isinstance(result, StoreError):\n"
            "                result = [Kept.STORED] * len(prepared.accept.submissions)\n"
            "            if isinstance(result, list):\n                verdicts",
        ),
        tests="tests/e2e/test_commit.py",
    ),
    mutation(
        "the messages of other accounts can be read",
        ("service/query.py", "if stored is None or stored.account_id != account_id:", "if stored is None:"),
        tests="test_info.py",
    ),
    mutation(
        "another account's message is refused in other words than one that does not exist",
        (
            "service/query.py",
            "if stored is None or stored.account_id != account_id:",
            "if stored is not None and stored.account_id != account_id:\n"
            '            raise errors.CallerError(errors.SUBMISSION_NOT_FOUND, "Not yours.")\n'
            "        if stored is None:",
        ),
        tests="test_info.py",
    ),
    mutation(
        "the balance is rounded up",
        ("messaging/pricing.py", "cents = micros // (MICROS // 100)", "cents = -(-micros // (MICROS // 100))"),
        tests=("test_money.py", "test_prices.py"),
    ),
    mutation(
        "percent-encoded text is read as Latin-1",
        (
            "messaging/text.py",
            "return decode(octets, _GSM7), _GSM7, octets",
            'return _read_any(octets.decode("latin-1"))',
        ),
        tests="test_charsets.py",
    ),
    mutation(
        "a part of several holds as much as a message alone",
        ("messaging/text.py", "{HEADER_OCTETS: 153,", "{HEADER_OCTETS: 160,"),
        tests="test_charsets.py",
    ),
    mutation(
        "an extension character is split over two parts",
        ("messaging/text.py", '152}, opens_pair=b"\\x1b"', '152}, opens_pair=b""'),
        tests="test_charsets.py",
    ),
    mutation(
        "a number that only exists within a city is taken",
        (
            "messaging/numbers.py",
            "if verdict == ValidationResult.IS_POSSIBLE:",
            "if verdict in (ValidationResult.IS_POSSIBLE, ValidationResult.IS_POSSIBLE_LOCAL_ONLY):",
        ),
        tests="test_numbers.py",
    ),
    mutation(
        "digits of other scripts make a number",
        ("messaging/numbers.py", '(r"\\+?([1-9][0-9]{7,14})")', '(r"\\+?([1-9]\\d{7,14})")'),
        tests="test_numbers.py",
    ),
    mutation(
        "anybody can sign tokens",
        ("service/accounts.py", '"verify_exp": False', '"verify_signature": False, "verify_exp": False'),
        tests="test_bearer.py",
    ),
    mutation(
        "UNDELIVERED has the code of REJECTED",
        ("dialects/realtime.py", "Status.UNDELIVERED: 3", "Status.UNDELIVERED: 2"),
        tests="test_info.py",
    ),
    mutation(
        "submission ids count",
        ("kit/ids.py", "_WIDTHS = (27, 26, 27, 26)", "_WIDTHS = ()"),
        tests="test_send.py",
    ),
    mutation(
        "a wrong sender is a bad request",
        ("dialects/realtime.py", "errors.SENDER_NOT_ALLOWED.code: 406", "errors.SENDER_NOT_ALLOWED.code: 400"),
        tests="test_sender.py",
    ),
    mutation(
        "a repeated request with a key is sent again",
        ("service/idempotency.py", "if known is not None:", "if False:"),
        ("store/sqlite/writes.py", "if op.once is not None and (answered", "if False and (answered"),
        tests="test_idempotency.py",
    ),
    mutation(
        "another request with the same key gets the first one's answer",
        ("service/idempotency.py", "if body_sha256 == known.body_sha256:", "if True:"),
        tests="test_idempotency.py",
    ),
    mutation(
        "an answer is not said to be a replay",
        ("api/realtime.py", "REPLAYED if outcome.replayed else ()", "()"),
        tests="test_idempotency.py",
    ),
    mutation(
        "calls over the limit count too, so that a caller that keeps trying is never let in",
        ("messaging/limits.py", "        if admitted:\n", "        if True:\n"),
        tests=("tests/unit/messaging/test_limits.py", "tests/unit/service/test_limits.py"),
    ),
    mutation(
        "errors of a limited account do not tell where it stands",
        ("api/asgi.py", '*state.get("limit", ())', "*()"),
        tests="test_rate_limit.py",
    ),
    mutation(
        "wrong client secrets can be tried without end",
        (
            "service/limits.py",
            "        if not standing.admitted:\n            self.refused += 1\n            raise",
            "        if False:\n            self.refused += 1\n            raise",
        ),
        tests="test_rate_limit.py",
    ),
    mutation(
        "the country of a destination does not matter",
        ("messaging/submissions.py", "if account.countries is not None:", "if False:"),
        tests="test_permissions.py",
    ),
    mutation(
        "an account can be used from any address",
        ("messaging/accounts.py", "if account.networks and not", "if False and not"),
        tests="test_permissions.py",
    ),
    mutation(
        "who wrote an inbound message and to which number are exchanged",
        (
            "dialects/realtime.py",
            '"phone": phone, "originator": originator',
            '"phone": originator, "originator": phone',
        ),
        tests="test_inbound.py",
    ),
    mutation(
        "an inbound message is lost when its number is nobody's",
        (
            "service/receive.py",
            "self._store.submit(it.StoreInbound(drafts)",
            "drafts = [one for one in drafts if one.account_id]\n"
            "            self._store.submit(it.StoreInbound(drafts)",
        ),
        tests="test_inbound.py",
    ),
    mutation(
        "the lean door forgets to close what was asked to be closed",
        ("api/door.py", "connection.transport.close()", "pass"),
        tests="test_wire.py",
    ),
    of_747(
        "wrong credentials are called malformed",
        (
            "dialects/sms747/problems.py",
            "errors.CREDENTIALS_INVALID: (AUTHENTICATION_FAILED, 401)",
            "errors.CREDENTIALS_INVALID: (INVALID_REQUEST, 400)",
        ),
        tests="test_token.py",
    ),
    of_747(
        "a token that is none is 400",
        (
            "dialects/sms747/problems.py",
            "errors.TOKEN_MALFORMED: (AUTHENTICATION_FAILED, 401)",
            "errors.TOKEN_MALFORMED: (INVALID_REQUEST, 400)",
        ),
        tests="test_token.py",
    ),
    of_747(
        "a token of the other API is as good",
        ("api/sms747.py", "audience=sms747.AUDIENCE", 'audience="realtime"'),
        tests="test_both.py",
    ),
    of_747(
        "paths must be written in small letters",
        ("api/sms747.py", "self.path_regex.pattern, re.IGNORECASE | re.ASCII", "self.path_regex.pattern, re.ASCII"),
        tests="test_paths.py",
    ),
    of_747(
        "a message that was created is 200",
        ("api/sms747.py", "answer(Reply(201, ", "answer(Reply(200, "),
        tests="test_documented.py",
    ),
    of_747(
        "a number needs no plus",
        ("dialects/sms747/orders.py", "plain.message, 0, True,", "plain.message, 0, False,"),
        ("dialects/sms747/orders.py", "plus_required=True", "plus_required=False"),
        tests="test_numbers.py",
    ),
    of_747(
        "an error names the recipient as another client would",
        ("dialects/sms747/problems.py", '(f"/{spelling}" if', '("/recipient" if'),
        tests=("test_custom.py", "test_errors.py"),
    ),
    of_747(
        "a message for later is sent at once",
        ("dialects/sms747/orders.py", "send_at_utc_ms=at_utc_ms if at_utc_ms > now_utc_ms else 0", "send_at_utc_ms=0"),
        tests="test_schedule.py",
    ),
    of_747(
        "those who opted out are charged for and refused later",
        (
            "dialects/sms747/orders.py",
            "plain.message, 0, True, refuse_opted_out=True",
            "plain.message, 0, True, refuse_opted_out=False",
        ),
        ("dialects/sms747/orders.py", "        refuse_opted_out=True,\n", "        refuse_opted_out=False,\n"),
        tests=("test_errors.py", "test_batch.py"),
    ),
    of_747(
        "a cost is told with four decimals and no more",
        ("dialects/sms747/money.py", "{decimals[4:].rstrip('0')}", ""),
        tests="test_custom.py",
    ),
    of_747(
        "what was refunded is told as charged",
        ("dialects/sms747/answers.py", "show_exact(0 if stored.refunded else", "show_exact(0 if False else"),
        tests="test_cancel.py",
    ),
    of_747(
        "a list of what is queued holds what is scheduled",
        (
            "dialects/sms747/lists.py",
            '"scheduled": value == SCHEDULED if value in (QUEUED, SCHEDULED) else None',
            '"scheduled": None',
        ),
        tests="test_schedule.py",
    ),
    of_747(
        "every call counts against the limit but none is refused",
        ("api/calling.py", "require_admitted(standing)", "pass"),
        tests=("test_limits.py", "test_documented.py"),
    ),
    of_747(
        "a premium account is limited like a standard one",
        ("api/calling.py", "account.tier.per_minute if self._tiers else 0", "100 if self._tiers else 0"),
        tests="test_limits.py",
    ),
    of_747(
        "a repeated batch is sent and paid again",
        (
            "api/sms747.py",
            "self._once(Scope(account.id, BATCH_PATH, once_key), body, first, decided)",
            "self._send_batch(account, body, batch, decided)",
        ),
        tests="test_idempotency.py",
    ),
    of_747(
        "a message's own callback URL is forgotten",
        (
            "service/report.py",
            'CallbackDraft("dlr", body, message.callback_url, instead)',
            'CallbackDraft("dlr", body, "", instead)',
        ),
        tests="test_callbacks.py",
    ),
    of_747(
        "a 401 does not say how to authenticate",
        ("api/sms747.py", "(_challenge(error),) if status == 401 else ()", "()"),
        tests="test_errors.py",
    ),
    mutation(
        "SMPP: what a lost link left unanswered is taken for not sent",
        (
            "carriers/smpp/carrier.py",
            "Outcome(submit, _UNKNOWN, detail=reason)",
            "Outcome(submit, SubmitClass.NOT_SENT, detail=reason)",
        ),
        tests="tests/unit/carriers/test_smpp_carrier.py",
    ),
    mutation(
        "SMPP: a deliver_sm that could not be stored is acknowledged",
        (
            "carriers/smpp/carrier.py",
            "status = Status.ESME_ROK if stored else Status.ESME_RX_T_APPN",
            "status = Status.ESME_ROK",
        ),
        tests="tests/unit/carriers/test_smpp_carrier.py",
    ),
    mutation(
        "SMPP: one submit_sm more than the window is on the wire",
        (
            "carriers/smpp/session.py",
            "return self.window - len(self._messages)",
            "return self.window + 1 - len(self._messages)",
        ),
        ("carriers/smpp/session.py", "assert len(pdus) <= self.window - len(self._messages)", "assert True"),
        tests=("tests/unit/carriers/test_session.py", "tests/simulation/test_session_model.py"),
    ),
    mutation(
        "SMPP: an answer of the wrong kind ends a submit",
        ("carriers/smpp/session.py", "if waiting is not None and waiting[2] is kind:", "if waiting is not None:"),
        tests="tests/unit/carriers/test_session.py",
    ),
    mutation(
        "SMPP: what a user wrote in a receipt's text counts as its status",
        ("carriers/smpp/receipts.py", "text = text[: users.start()]", "pass"),
        tests="tests/unit/carriers/test_smpp_receipts.py",
    ),
    mutation(
        "SMPP: throttling is taken for a refusal for good",
        (
            "carriers/smpp/outcomes.py",
            "**_all((0x58, 0x14), SubmitClass.THROTTLED)",
            "**_all((0x58, 0x14), SubmitClass.PERMANENT)",
        ),
        tests="tests/unit/carriers/test_smpp_outcomes.py",
    ),
]
