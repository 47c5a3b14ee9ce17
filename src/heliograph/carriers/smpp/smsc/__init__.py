"""An SMSC that stands alone: the far end of tests and benchmarks, and something to connect to before a carrier is."""

from heliograph.carriers.smpp.smsc.account import Counts, Message
from heliograph.carriers.smpp.smsc.options import Ids, Receipts, SmscOptions, status_of
from heliograph.carriers.smpp.smsc.server import Notice, Smsc

__all__ = ["Counts", "Ids", "Message", "Notice", "Receipts", "Smsc", "SmscOptions", "status_of"]
