"""`python -m lib_pia.evaluation`."""

import sys

from .cli import main

sys.exit(main())
