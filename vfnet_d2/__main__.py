"""``python -m vfnet_d2``: the command ``vfnet``."""

import sys

from vfnet_d2.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
