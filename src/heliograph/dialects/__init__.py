"""Pure wire formats: parse, render, status and error maps, callback bodies."""
