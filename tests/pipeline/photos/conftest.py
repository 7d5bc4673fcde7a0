"""The picture server, and a home before it, as fixtures."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.photos import download
from tests.pipeline.photos.lab import Lab
from tests.pipeline.photos.odd_pictures import encoded, make_scene
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


@pytest.fixture
def lab(tmp_path: Path, server: PictureServer, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(download, "BACKOFF_S", 0.01)
    return Lab(tmp_path, [server.host])


@pytest.fixture
def jpeg() -> bytes:
    return encoded(make_scene(160, 120))
