"""A carrier that needs no carrier: the recipient's last four digits decide a message's fate, and a socket in the data
folder is where people write to us.
"""

from heliograph.carriers.simulator.carrier import Simulator
from heliograph.carriers.simulator.fates import FATES, Fate

__all__ = ["FATES", "Fate", "Simulator"]
