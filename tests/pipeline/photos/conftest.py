"""The picture server as fixtures."""

from collections.abc import Iterator

import pytest

from tests.pipeline.photos.picture_server import PictureServer, RunningServers


@pytest.fixture
def servers() -> Iterator[RunningServers]:
    """Starts picture servers on loopback; all end with the test."""
    running = RunningServers()
    yield running
    running.stop()


@pytest.fixture
def server(servers: RunningServers) -> PictureServer:
    return servers.start()
