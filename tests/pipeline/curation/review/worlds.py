"""Homes with a queue to review, made of studio pictures without running the pipeline."""

import asyncio
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
from PIL import Image
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message

from pipeline.studio.pictures import PICTURES, shots
from storage import Home
from tests.blobs import stored

PORT = 8765
"""The port that the page believes it listens on."""
PROJECT = """\
[project]
name = "portraits"

[domains.ordinary]
[[domains.ordinary.queries]]
text = "portrait"

[domains.shallow]
[[domains.shallow.queries]]
text = "portrait bokeh"
"""
NASTY_TITLES = (
    "<script>document.title='owned'</script>", '=HYPERLINK("http://evil.example","x")', "\"'><img src=x onerror=alert(1)>",
    "y" * 10_000, "שלום 📷 Porträt", "a\nb\tc", "{{ 7 * 7 }} & <b>bold</b>",
)  # fmt: skip
NAMES = ("Anna Lindqvist", "João Pereira", "Mei Tanaka", "Sam O’Neill", "Zoë de Vries")
TITLES = ("Portrait of Nora", "Evening in the park", "My brother", "Window light", "Studio, first try", "Market day", "Lena")


def make_home(root: Path, count: int = 60, titles: Sequence[str] = TITLES, scale: int = 1) -> Home:
    """A home with `count` queued photos in two domains and two batches, the second of which a later one duplicates.

    Photo `n` is `flickr:4951000000 + n`; the queue's order is by number. `scale` enlarges the pictures.
    """
    home = Home(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / "bokehflow.toml").write_text(PROJECT, encoding="utf-8")
    files = [shot.files() for shot in shots() if shot.group in ("ordinary", "shallow", "empty")]
    order = np.random.default_rng(3).permutation(len(files))
    rows = []
    for number in range(count):
        path = next(iter(files[order[number % len(files)]].values()))
        rows.append(queued(home, number, path, titles[number % len(titles)], scale))
    unique = [unique_row(row) for row in rows]
    if count > 1:
        unique.append({**unique[1], "photo_id": "flickr:77", "width_px": 240, "height_px": 320, "rule": "perceptual"})
    home.tables.write("unique_photos", pd.DataFrame(unique))
    home.tables.write("review_queue", pd.DataFrame(rows))
    return home


def queued(home: Home, number: int, path: str, title: str, scale: int = 1) -> dict[str, object]:
    """A row of `review_queue` whose picture and thumbnail are on the disk."""
    data, image = picture(PICTURES / path, number, scale)
    sha256 = stored(home, data)
    small = image.copy()
    small.thumbnail((320, 320))
    thumbnail = f"{sha256[:2]}/{sha256}.jpg"
    (home.thumbnails / thumbnail).parent.mkdir(parents=True, exist_ok=True)
    small.save(home.thumbnails / thumbnail, quality=85)
    group = path.split("/")[0]
    domain = ("ordinary", "shallow")[number % 2] if group == "empty" else group
    drop = group == "empty"
    return {
        "photo_id": photo_id(number), "domain": domain, "batch": f"batch-{1 + number // 40:04d}-{domain}-0a1b2c3d.csv",
        "group": photo_id(number), "waiting": True, "position": number, "sha256": sha256, "width_px": image.width,
        "height_px": image.height, "thumbnail": thumbnail,
        "page_url": f"https://www.flickr.com/photos/a/{4951000000 + number}/",
        "title": title, "owner": f"{number}@N00", "owner_name": NAMES[number % len(NAMES)],
        "license": ("CC BY 2.0", "All Rights Reserved", "CC BY-NC-SA 4.0")[number % 3],
        "tags": "portrait person face outdoor", "person_share": 0.0 if drop else 0.2 + number % 7 / 20,
        "people": 0 if drop else 1, "cut_off": number % 5 / 10, "subject_sharpness": None if drop else 0.5 + number % 9 / 20,
        "background_sharpness": 0.7 if domain == "ordinary" else 0.15 + number % 3 / 20,
        "shallowness": 0.2 if domain == "ordinary" else 0.75 + number % 4 / 20, "colourfulness": 0.3 + number % 6 / 10,
        "drawn": 0.02, "edited": 0.0, "inappropriate": None, "camera": "Apple iPhone 7" if number % 4 else None,
        "software": None, "suggested_decision": "drop" if drop else "keep" if number % 3 else None,
        "suggested_reason": "no_person" if drop else None,
        "suggestion": "nobody found" if drop else "one person, well within the frame" if number % 3 else None,
        "suggestion_probability": None if drop else 0.75 if number % 3 else None, "probability": None,
    }  # fmt: skip


def picture(path: Path, number: int, scale: int) -> tuple[bytes, Image.Image]:
    """A studio picture as a JPEG of its own: its comment is the number, so that no two files are equal."""
    image = Image.open(path).convert("RGB")
    image = image.resize((image.width * scale, image.height * scale), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, comment=str(number).encode())
    return buffer.getvalue(), image


def unique_row(row: dict[str, object]) -> dict[str, object]:
    """The photo of a queue's row as `unique_photos` has it."""
    same = {name: row[name] for name in ("photo_id", "domain", "sha256", "width_px", "height_px", "group")}
    return {**same, "rule": None, "measure": None, "duplicate_of": None, "split_key": row["photo_id"]}


def photo_id(number: int) -> str:
    """The id of the photo with this number."""
    return f"flickr:{4951000000 + number}"


@dataclass(frozen=True)
class Answer:
    """What the page answered."""

    status: int
    headers: Headers
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def ask(
    application: ASGIApp, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Answer:
    """One request as a browser of this machine sends it; `headers` add to and replace its own, None leaves one out."""
    target, _, query = path.partition("?")
    sent = {"host": f"127.0.0.1:{PORT}", "sec-fetch-site": "same-origin", **(headers or {})}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": unquote(target), "raw_path": target.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items() if value],
        "client": ("127.0.0.1", 50_000), "server": ("127.0.0.1", PORT),
    }  # fmt: skip
    messages: list[Message] = []

    unsent = [body]

    async def receive() -> Message:
        return {"type": "http.request", "body": unsent.pop()} if unsent else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        messages.append(message)

    async def exchange() -> None:
        await application(scope, receive, send)

    asyncio.run(exchange())
    head = messages[0]
    content = b"".join(message.get("body", b"") for message in messages[1:])
    return Answer(head["status"], Headers(raw=head["headers"]), content)
