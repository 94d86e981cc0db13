"""`python -m ciranda` is `ciranda`."""

from ciranda.cli.app import main

main()
