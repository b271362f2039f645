"""Plain: rota without its compiled modules, in a process that is asked for it. Imported before rota is."""

from __future__ import annotations

import os
import sys

#: What it is called beside the peers. It is for comparison, and no peer of its own.
PLAIN = "plain"

if sys.argv[1:2] in (["--one"], ["--serve"]) and sys.argv[2:3] == [PLAIN]:
    os.environ["ROTA_PURE"] = "1"
