"""Telling customers: the schedule as data, one POST, the address guard."""
