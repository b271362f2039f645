"""rota against CPython's own tests of asyncio, as they come with this interpreter.

One test a file: all that ``exclusions.toml`` does not name must pass, and what it names must still fail, so that the
list doesn't rot.
"""

from __future__ import annotations

import pytest
from tests.conformance import stdlib

FILES = stdlib.files()
EXCLUDED = stdlib.patterns("excluded")

if not FILES:
    pytest.skip(
        "this Python comes without the `test` package (on Debian: libpython3-testsuite): nothing to hold rota to",
        allow_module_level=True,
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("file", FILES)
def test_rota_passes(file: str) -> None:
    outcome = stdlib.run(file, "rota", [f"{file}::*"], stdlib.patterns("elsewhere") + EXCLUDED)
    if outcome.failed:
        pytest.fail("\n\n".join(f"{name}\n{text}" for name, text in outcome.failed.items()), pytrace=False)
    assert outcome.passed or outcome.skipped, "no test was run"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("file", [file for file in FILES if any(name.startswith(f"{file}::") for name in EXCLUDED)])
def test_what_is_excluded_fails(file: str) -> None:
    excluded = [pattern for pattern in EXCLUDED if pattern.startswith(f"{file}::")]
    outcome = stdlib.run(file, "rota", excluded, [])
    if outcome.passed:
        pytest.fail(f"passes on rota: take out of exclusions.toml {sorted(outcome.passed)}", pytrace=False)
    found = {*outcome.failed, *outcome.skipped}
    unknown = [pattern for pattern in excluded if not any(stdlib.is_excluded(name, [pattern]) for name in found)]
    assert not unknown, f"exclusions.toml names tests that Python {stdlib.VERSION} does not have"
