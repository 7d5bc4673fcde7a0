"""Camera names: found in any writing, and an unknown one comes with what may have been meant."""

from collections.abc import Iterator

import pytest

from pipeline.emulators.flickr import Emulator
from pipeline.errors import ConfigError
from pipeline.flickr.cameras import resolve_camera
from pipeline.flickr.client import FlickrClient
from tests.pipeline.flickr.worlds import client_of


@pytest.fixture(scope="module")
def client() -> Iterator[FlickrClient]:
    with Emulator([]) as emulator:
        yield client_of(emulator)


@pytest.mark.parametrize(
    ("written", "slug"),
    [
        ("apple/iphone_7", "apple/iphone_7"),
        ("Apple/iPhone 7", "apple/iphone_7"),
        ("apple/Apple iPhone 7", "apple/iphone_7"),
        ("samsung/galaxy_note_3", "samsung/galaxy-note-3"),
        ("samsung / Galaxy S7", "samsung/galaxy_s7"),
    ],
)
def test_names_are_found(client: FlickrClient, written: str, slug: str) -> None:
    assert resolve_camera(client, written) == slug


@pytest.mark.parametrize(
    ("written", "offered"),
    [
        ("apple/iphone_77", "apple/iphone_7"),
        ("apple/iphone", "apple/iphone_7"),
        ("aple/iphone_7", "apple"),
        ("samsung/galaxy_s8", "samsung/galaxy_s7"),
        ("qqq/iphone_7", "like apple/iphone_7"),
        ("iphone_7", "like apple/iphone_7"),
        ("/", "like apple/iphone_7"),
        ("apple/", "like apple/iphone_7"),
    ],
)
def test_an_unknown_one_offers_the_nearest(client: FlickrClient, written: str, offered: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_camera(client, written)
    assert repr(written) in str(caught.value)
    assert offered in str(caught.value)


def test_a_known_brand_costs_one_call() -> None:
    with Emulator([]) as emulator:
        client = client_of(emulator)
        for _ in range(3):
            resolve_camera(client, "apple/iphone_7")
        assert emulator.calls == {"flickr.cameras.getBrandModels": 1}
