"""What there is to choose of the SMSC that `heliograph smsc` runs."""

from __future__ import annotations

import re
import ssl
from enum import StrEnum
from pathlib import Path

import msgspec

from heliograph.carriers.smpp.pdu import Status

_DIGITS = re.compile(r"[0-9]{1,20}", re.ASCII)
_MAX_STATUS = 0xFFFF_FFFF


class Receipts(StrEnum):
    """Which delivery receipts are sent to those that asked for them, and in which form."""

    ALL = "all"  # as text and as TLVs
    TEXT = "text"
    TLV = "tlv"
    FAILED = "failed"  # of what was not delivered alone; as text and as TLVs
    NONE = "none"


class Ids(StrEnum):
    """How message ids are written in the answer, and in the receipt where that differs."""

    DECIMAL = "decimal"
    HEX = "hex"
    HEX_DLR_DEC = "hex-dlr-dec"
    DEC_DLR_HEX = "dec-dlr-hex"

    @property
    def answer(self) -> str:
        """The format of an id in a submit_sm_resp."""
        return "x" if self in (Ids.HEX, Ids.HEX_DLR_DEC) else "d"

    @property
    def receipt(self) -> str:
        """The format of an id in a receipt."""
        return "x" if self in (Ids.HEX, Ids.DEC_DLR_HEX) else "d"


class SmscOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Delays are in milliseconds; 0 stands for no limit where a limit is meant.

    Raises `ValueError`, which names the command's option, for what does not go together.
    """

    host: str = "127.0.0.1"
    port: int = 2775  # 0: a free one
    system_id: str = ""  # who may bind; "" for everybody
    password: str = ""
    answer_ms: int = 0
    receipt_ms: int = 0
    late_ms: int = 30_000  # of the fate whose receipt is late
    window: int = 100  # deliver_sm without an answer, of one session
    receipts: Receipts = Receipts.ALL
    ids: Ids = Ids.DECIMAL
    fates: bool = False
    statuses: dict[str, int] = msgspec.field(default_factory=dict)  # by the last digits of the destination
    throughput: float = 0.0  # submit_sm a second, each system_id's sessions together
    drop_every: int = 0
    log: Path | None = None
    log_json: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None

    def __post_init__(self) -> None:
        if len(self.system_id) > 15:
            raise ValueError(f"--system-id {self.system_id!r} is too long; SMPP has room for 15 characters")
        if self.password and not self.system_id:
            raise ValueError("--password is given without --system-id; name who is to prove it")
        if self.tls_cert is None and (self.tls_key or self.tls_ca):
            raise ValueError(f"--{'tls-key' if self.tls_key else 'tls-ca'} is given without --tls-cert; give that too")

    def tls(self) -> ssl.SSLContext | None:
        """The context of a listener that speaks TLS; None for one that does not.

        Raises `ValueError` for files that cannot be used.
        """
        if self.tls_cert is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.tls_cert, self.tls_key)
        except (OSError, ssl.SSLError) as error:
            files = " and ".join(str(file) for file in (self.tls_cert, self.tls_key) if file)
            raise ValueError(
                f"--tls-cert: {files}: {error.strerror or error}; give a PEM file with the certificate,"
                " and with --tls-key one with its private key"
            ) from None
        if self.tls_ca is not None:
            try:
                context.load_verify_locations(self.tls_ca)
            except (OSError, ssl.SSLError) as error:
                reason = error.strerror or error
                raise ValueError(f"--tls-ca: {self.tls_ca}: {reason}; give a PEM file with certificates") from None
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def status_of(text: str) -> tuple[str, int]:
    """The last digits and the command_status of `1234=0x45` or `1234=ESME_RSUBMITFAIL`. Raises `ValueError`."""
    digits, _, status = text.partition("=")
    if not _DIGITS.fullmatch(digits):
        raise ValueError(f"--status {text!r}: {digits!r} are not the last digits of a destination; write 1234=0x45")
    if status in Status.__members__:
        return digits, int(Status[status])
    try:
        value = int(status, 0)
    except ValueError:
        value = 0
    if not 0 < value <= _MAX_STATUS:
        raise ValueError(
            f"--status {text!r}: {status!r} is no command_status that refuses; write 1234=0x45 or 1234=ESME_RSUBMITFAIL"
        )
    return digits, value
