"""What decides: pure functions and data. Nothing here awaits, reads a clock or touches the outside."""
