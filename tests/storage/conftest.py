"""A store on loopback, and the environment that leads there."""

import os
from collections.abc import Iterator

import pytest

from tests.storage.s3_server import KEY, Store, serving


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    store = Store()
    with serving(store) as endpoint:
        values = {"ACCESS_KEY_ID": KEY, "SECRET_ACCESS_KEY": "secret", "REGION": "earth-1", "ENDPOINT_URL": endpoint}
        for name, value in values.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        yield store
