"""Seeing a running program: ``stalls`` tells of a step that holds the loop, with its stack, while it does."""
