"""``python -m rota`` is ``rota``."""

import sys

try:
    from .cli.main import main
except KeyboardInterrupt:
    sys.exit(130)

sys.exit(main())
