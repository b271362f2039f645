"""A job for ``rota compare examples/job.py``: the digest of 32 MB, many times.

The rule of thumb says that what computes belongs in processes. hashlib lets go of the GIL while it computes, so threads
may do as well, without starting processes and shipping arguments to them. Measuring tells.
"""

import hashlib

items = range(64)
concurrency = 4
block = bytes(32_000_000)


def job(item: int) -> str:
    digest = hashlib.sha256(block)
    digest.update(bytes([item]))
    return digest.hexdigest()
