"""Sample pictures of a run as Dagster's UI shows them. Free of torch."""

from pathlib import Path

from PIL import Image

from pipeline.pillow import as_data_uri
from pipeline.plain_files import plain_path

SAMPLE_WIDTH_PX = 640


def embedded_sample(picture: Path, snapshot_id: str) -> str:
    """The picture as Markdown with its bytes inside, small enough for the event log.

    It names the snapshot whose photos it shows, by which `bokehflow forget` finds it.
    """
    with Image.open(plain_path(picture)) as image:
        height_px = max(1, round(image.height * SAMPLE_WIDTH_PX / image.width))
        small = image.convert("RGB").resize((SAMPLE_WIDTH_PX, height_px))
    shows = f"snapshot {snapshot_id} input above, translation below"
    return f"![{shows}]({as_data_uri(small, 'JPEG', quality=85)})"
