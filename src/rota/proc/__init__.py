"""Child processes and signals: what the operating system tells about processes."""
