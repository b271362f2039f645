"""The one place that says which rota this is."""

VERSION = "0.1.0"
