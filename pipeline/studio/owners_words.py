"""What the owners of the demo's photos write: names, titles, descriptions, tags, cameras.

Every ordinary photo says "portrait" and none says "bokeh"; every shallow one says both. None uses a word that
the searches exclude.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CameraModel:
    """A camera: Flickr's slug `brand/model` and what its EXIF says."""

    slug: str
    make: str
    model: str
    f_number: str
    focal_length: str


@dataclass(frozen=True)
class Words:
    """Title, description and tags (normalised: lower case, no spaces) of a photo."""

    title: str
    description: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Pool:
    """Where a domain's words come from. `needed` must be found in every photo's words.

    `awkward` are texts that break careless programs: markup, quotes, formulas, other scripts.
    """

    needed: tuple[str, ...]
    titles: tuple[str, ...]
    descriptions: tuple[str, ...]
    tags: tuple[str, ...]
    awkward: tuple[Words, ...]

    def plain(self, rng: np.random.Generator) -> Words:
        """An everyday title; the needed words stand in the tags at least."""
        title = str(rng.choice(self.titles)).format(name=rng.choice(SITTERS), place=rng.choice(PLACES))
        chosen = [str(tag) for tag in rng.choice(self.tags, int(rng.integers(2, 6)), replace=False)]
        return Words(title, str(rng.choice(self.descriptions)), (*self.needed, *chosen))


PHONE = CameraModel("apple/iphone_7", "Apple", "iPhone 7", "f/1.8", "4.0 mm")
CAMERAS = (
    CameraModel("canon/eos_6d", "Canon", "Canon EOS 6D", "f/1.4", "85 mm"),
    CameraModel("nikon/d750", "NIKON CORPORATION", "NIKON D750", "f/1.8", "85 mm"),
    CameraModel("sony/ilce-7m3", "SONY", "ILCE-7M3", "f/1.8", "55 mm"),
    CameraModel("fujifilm/x-t3", "FUJIFILM", "X-T3", "f/1.2", "56 mm"),
    CameraModel("canon/eos_5d_mark_iv", "Canon", "Canon EOS 5D Mark IV", "f/2", "135 mm"),
)

SITTERS = ("Alma", "Bruno", "Chiara", "Dmitri", "Esi", "Farid", "Greta", "Hana", "Ivo", "Jun", "Kalinda", "Lior", "Mei")
PLACES = ("the library", "the market", "the waterfront", "the old lane", "the café", "the gallery", "home", "work")

OWNERS = tuple(
    (f"{11_000_000 + 734_213 * number % 88_000_000}@N0{number % 9}", name)
    for number, name in enumerate(
        (
            "Alma Berg", "bruno.fotos", "Chiara L.", "d_mitri", "Esi Mensah", "Farid 📷", "Greta & Søn", "hana|photo",
            "Ivo Novák", "jun_kanda", "Kalinda R", "Lior בן", "mei mei", "Noor al-Amin", "O'Brien, Tadhg",
            "Pía Muñoz", "Quentin \"Q\" Roy", "Rosa", "sven1972", "Tomoko 写真", "ulla-in-the-woods", "Viktor",
            "wanderlust wim", "Xochitl", "Yusuf", "zoë_z",
        )
    )
)  # fmt: skip

ORDINARY_WORDS = Pool(
    needed=("portrait",),
    titles=(
        "Portrait of {name}", "{name}", "{name} at {place}", "Quick portrait at {place}", "Another portrait",
        "{name}, taken with my phone", "IMG_4711", "Friends: {name}", "", "{name} waits", "Portrait, {place}",
    ),
    descriptions=("", "", "", "Straight from the phone.", "A portrait on the way home.", "No edits, just a smile."),
    tags=("face", "people", "smile", "iphone", "iphone7", "friend", "person", "phone", "colour", "indoor", "me", "city"),
    awkward=(
        Words("Portrait 😊✨ of my best friend 👩‍🦰", "", ("portrait", "face")),
        Words('"Portrait" with \'quotes\', commas; and \\backslashes\\', "She said: \"again?\"", ("portrait", "people")),
        Words("<b>Portrait</b> <script>alert('hello')</script>", "<a href=\"https://example.org\">me</a>", ("portrait",)),
        Words("=1+1", "=HYPERLINK(\"https://example.org\",\"portrait\")", ("portrait", "numbers")),
        Words("פורטרט portrait صورة", "מימין לשמאל", ("portrait", "פורטרט")),
        Words("  Portrait\twith   spaces\nand a line break ", "", ("portrait",)),
        Words("-portrait, @work +1", "", ("portrait", "work")),
        Words("Portraits of a day, part 3 / 7 " + "and so on " * 20, "portrait", ("series",)),
    ),
)  # fmt: skip

SHALLOW_WORDS = Pool(
    needed=("portrait", "bokeh"),
    titles=(
        "{name} | bokeh portrait", "Portrait with bokeh, {place}", "{name} wide open", "{name}", "Lights behind {name}",
        "Bokeh at {place}", "{name} f/1.8", "DSC_0042", "", "Evening portrait of {name}", "85mm and {name}",
    ),
    descriptions=("", "", "", "Shot wide open.", "Lights along the shore.", "Natural light, fast lens."),
    tags=("85mm", "dof", "depthoffield", "wideopen", "face", "people", "primelens", "blur", "lights", "model", "evening"),
    awkward=(
        Words("Bokeh ✨💡✨ portrait", "", ("portrait", "bokeh")),
        Words("\"Bokeh\" & 'portrait' <i>wide open</i>", "", ("portrait", "bokeh", "wideopen")),
        Words("=SUM(A1:A9) portrait bokeh", "", ("bokeh",)),
        Words("بوكيه portrait bokeh", "من اليمين إلى اليسار", ("portrait", "bokeh", "صورة")),
        Words("ポートレート / ボケ (portrait, bokeh)", "", ("portrait", "bokeh", "ポートレート")),
    ),
)  # fmt: skip
