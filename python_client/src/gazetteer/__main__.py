"""`python -m gazetteer` is the command `gazetteer`."""

import sys

from gazetteer._cli import main

sys.exit(main())
