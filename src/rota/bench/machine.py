"""Machine: what the figures come from, and which of its cores a process stays on."""

from __future__ import annotations

import os
import platform
import subprocess


def machine() -> str:
    """One line: Python, system, processor."""
    system = f"{platform.system()} {platform.release()}"
    return f"CPython {platform.python_version()}, {system}, {os.cpu_count()} x {processor()}"


def processor() -> str:
    """The model's name, where the system has one to tell; else the architecture."""
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:  # no Linux
        if platform.system() == "Darwin":
            asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return platform.machine()


def nth(core: int) -> int:
    """The number of the ``core``-th of the cores that this process may use."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[core % len(cores)]


def stay_on(core: int) -> None:
    """Keep this process, and what it starts, on a core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {nth(core)})
