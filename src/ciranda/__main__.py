"""`python -m ciranda` is `ciranda`."""

import sys

from ciranda.cli.app import main

sys.exit(main())
