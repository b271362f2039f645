"""A few hundred connections at once; ``make soak`` has fifteen thousand."""

from __future__ import annotations

import os
import sys

from tests.soak.connections import failures, raise_limit, serve

import rota

COUNT = 300


def test_connections_at_once(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    raise_limit(COUNT)
    assert failures(rota.run(serve(COUNT)), COUNT) == []
