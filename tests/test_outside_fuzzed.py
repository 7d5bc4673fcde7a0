"""Whatever comes from outside is read, or refused by an exception of the project's own, within bounds of time and memory.

`FUZZ_EXAMPLES=5000 make test-slow` tries more inputs for each reader, other ones every time.
"""

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzzing import Bounded
from tests.outside import OUTSIDE

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "25"))


@pytest.mark.slow
@pytest.mark.parametrize("name", OUTSIDE)
def test_any_bytes_are_read_or_refused(name: str) -> None:
    outside = OUTSIDE[name]
    # No shrinking: an input that hangs would hang a hundred times.
    bounds = settings(
        max_examples=EXAMPLES, deadline=None, derandomize="FUZZ_EXAMPLES" not in os.environ, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    with Bounded(outside.read, outside.allowed, warm_up=b"") as bounded:

        @bounds
        @given(data=st.deferred(outside.inputs))
        def check(data: bytes) -> None:
            bounded.check(data)

        check()
