"""SMPP 3.4: the codec, the session and the carrier that speaks it."""

from heliograph.carriers.smpp.carrier import SmppCarrier

__all__ = ["SmppCarrier"]
