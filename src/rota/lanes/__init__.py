"""Where work runs best: on the loop, in threads, in processes. ``compare`` measures it."""
