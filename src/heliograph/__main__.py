"""`python -m heliograph` is the command `heliograph`."""

from heliograph.cli.main import main

main()
