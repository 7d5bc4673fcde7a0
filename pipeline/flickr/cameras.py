"""Camera names: from what a person wrote to the slugs that Flickr's search takes.

Slugs use `_` or `-` without rule (`apple/iphone_7`, `samsung/galaxy-note-3`), and what a search answers to an
unknown one is not known; so names are looked up in `flickr.cameras.*` before anything is searched.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from pipeline.errors import ConfigError
from pipeline.flickr.client import FlickrClient
from pipeline.flickr.records import Named


def resolve_camera(client: FlickrClient, camera: str) -> str:
    """Flickr's `brand/model` for `camera`, which may use other separators or capitals, or the full name.

    One API call per brand and client. Raises `ConfigError`, with the nearest names, for a camera that Flickr
    does not know.
    """
    brand, _, model = (part.strip() for part in camera.partition("/"))
    if not brand or not model:
        raise ConfigError(f"camera = {camera!r}: a camera is a brand and a model, like apple/iphone_7")
    slug, models = _find_brand(client, brand, camera)
    found = _find(models, model)
    if found is None:
        raise ConfigError(_unknown(camera, f"{slug} has no model {model!r}", _nearest(model, models, slug)))
    return f"{slug}/{found}"


def _find_brand(client: FlickrClient, brand: str, camera: str) -> tuple[str, list[Named]]:
    slug = brand.lower()
    models = client.camera_models(slug)
    if models is None:
        brands = client.camera_brands()
        found = _find(brands, brand)
        models = client.camera_models(found) if found else None
        if found is None or models is None:
            raise ConfigError(_unknown(camera, f"there is no brand {brand!r}", _nearest(brand, brands)))
        slug = found
    return slug, models


def _find(known: Iterable[Named], wanted: str) -> str | None:
    """The id that equals `wanted`, or else the one whose id or name differs in separators and capitals only."""
    by_form = {form: entry.id for entry in known for form in (_plain(entry.name), _plain(entry.id))}
    return next((entry.id for entry in known if entry.id == wanted), by_form.get(_plain(wanted)))


def _nearest(wanted: str, known: Iterable[Named], brand: str | None = None) -> list[str]:
    by_form = {_plain(entry.id): entry.id for entry in known}
    names = [by_form[form] for form in get_close_matches(_plain(wanted), by_form, n=5, cutoff=0.5)]
    return [f"{brand}/{name}" if brand else name for name in names]


def _unknown(camera: str, what: str, nearest: list[str]) -> str:
    offer = f"the nearest: {', '.join(nearest)}" if nearest else "brand and model are written like apple/iphone_7"
    return f"camera = {camera!r}: Flickr knows no such camera ({what}); {offer}"


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())
