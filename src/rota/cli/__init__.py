"""The command line, one file a command: arguments and printing, no logic."""
