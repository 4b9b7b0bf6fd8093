"""`python -m lib_pia.training`"""
import sys

from .cli import main

sys.exit(main())
