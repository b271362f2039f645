"""The states of a future. A compiled module keeps them as C integers, so they stand where all can import them."""

PENDING = 0
CANCELLED = 1
FINISHED = 2

#: asyncio's word for each.
STATES = ("PENDING", "CANCELLED", "FINISHED")
