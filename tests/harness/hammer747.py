"""A caller without manners: `python -m tests.harness.hammer747 PORT TOKEN SECONDS` calls the 747 API all the time on
one connection, and prints as JSON when the server admitted its calls, how many it refused, and what else it answered.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import cycle

from tests.harness.wire import Wire, encode

PAUSE_SECONDS = 0.01  # twenty of them still ask a hundred times as often as they may


def hammer(port: int, token: str, seconds: float) -> dict[str, object]:
    bearer = ("Authorization", f"Bearer {token}")
    body = json.dumps({"recipient": "+56910000000", "message": "hammer"}).encode()
    calls = (
        encode("POST", "/api/v1/message/custom", [bearer], body),
        encode("GET", "/api/v1/account", [bearer]),
        encode("POST", "/api/v1/Message/Custom", [bearer], body),
        encode("GET", "/api/v1/message/custom?limit=1", [bearer]),
    )
    admitted_utc_ms: list[int] = []
    refused = 0
    others: list[int] = []
    until = time.monotonic() + seconds
    with Wire(("127.0.0.1", port)) as wire:
        for call in cycle(calls):
            if time.monotonic() >= until:
                break
            wire.send(call)
            answer = wire.read()
            if answer.status in (200, 201):
                request_id = answer.header("X-Request-Id") or ""
                admitted_utc_ms.append(int(request_id.removeprefix("req_")[:11], 16))  # the server's clock
            elif answer.status == 429:
                refused += 1
            else:
                others.append(answer.status)
            time.sleep(PAUSE_SECONDS)
    return {"admitted_utc_ms": admitted_utc_ms, "refused": refused, "others": others}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(hammer(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))))
