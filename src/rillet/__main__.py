"""`python -m rillet` is the command `rillet`."""

import sys

from rillet.cli import main

if __name__ == "__main__":
    sys.exit(main())
