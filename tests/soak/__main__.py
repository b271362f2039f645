"""``make soak``: what takes too long for every day. ``ROTA_SOAK_SECONDS`` is the time for the mixed load (600).

Fifteen thousand connections at once, then a million of each operation, then ten minutes of everything, each in a
process of its own. Ends with 0 if all passed.
"""

from __future__ import annotations

import os
import subprocess
import sys

import rota

STAGES = {
    "connections": ["tests.soak.connections"],
    "operations": ["tests.soak.operations", os.environ.get("ROTA_SOAK_OPERATIONS", "1000000")],
    "load": ["tests.soak.load", os.environ.get("ROTA_SOAK_SECONDS", "600")],
}


def main() -> int:
    print(f"rota {rota.__version__}, {'compiled' if rota.COMPILED else 'plain'}, Python {sys.version.split()[0]}")
    verdicts = {}
    for name, command in STAGES.items():
        print(f"\n== {name}", flush=True)
        verdicts[name] = subprocess.run([sys.executable, "-m", *command], check=False).returncode
    print()
    for name, code in verdicts.items():
        print(f"{name}: {'FAILED' if code else 'passed'}")
    return 1 if any(verdicts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
