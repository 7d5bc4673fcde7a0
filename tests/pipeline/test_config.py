"""The project file: what is accepted, and how a mistake is explained."""

from pathlib import Path

import pytest

from pipeline.config import load_project, parse_project
from pipeline.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]

MINIMAL = """
[domains.ordinary]
[[domains.ordinary.queries]]
text = "portrait"

[domains.shallow]
[[domains.shallow.queries]]
text = "portrait bokeh"
"""


def complaint(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_project(text, Path("bokehflow.toml"))
    return str(caught.value)


def test_the_default_file_states_the_study() -> None:
    project = load_project(REPOSITORY / "bokehflow.toml")
    ordinary, shallow = (project.domains[name].queries[0] for name in ("ordinary", "shallow"))
    assert (ordinary.text, ordinary.camera) == ("portrait", "apple/iphone_7")
    assert (shallow.text, shallow.camera) == ("portrait bokeh", None)
    assert ordinary.exclude_tags == shallow.exclude_tags
    assert set(ordinary.exclude_tags) == {"blackandwhite", "BW", "monochrome", "animal", "cat", "dog", "bird", "flower"}
    assert project.dataset.split == "study"
    assert project.training.automatic == []
    assert project.recipe_keys() == ["cyclegan@0", "smoke@0"]


def test_an_unknown_key_is_named_with_its_line_and_what_is_allowed() -> None:
    message = complaint(MINIMAL + "\n[photos]\nmax_edge_px = 1600\nmax_egde = 3\n")
    assert message.startswith("bokehflow.toml:12: photos.max_egde: unknown key; allowed here: max_edge_px, min_edge_px")


def test_a_wrong_type_is_named_with_its_line_and_value() -> None:
    message = complaint(MINIMAL.replace('text = "portrait bokeh"', 'text = "x"\nlimit_per_month = "many"'))
    assert message.startswith("bokehflow.toml:9: domains.shallow.queries.0.limit_per_month: ")
    assert "'many'" in message


def test_every_mistake_is_listed() -> None:
    message = complaint(MINIMAL + "\n[flickr]\ncalls_per_hour = 0\n[dedupe]\nradius_bits = 99\n")
    assert [line.split(": ")[0] for line in message.splitlines()] == ["bokehflow.toml:11", "bokehflow.toml:13"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[domains", "not valid TOML"),
        ("[domains.ordinary]\nqueries = [{}]\n", "a query needs at least one of text, tags and camera"),
        (MINIMAL + '[collect]\nfrom = "2024-13"\n', "is not a month"),
        (MINIMAL + '[collect]\nfrom = "2024-05"\nto = "2024-01"\n', "lies before the first"),
        (MINIMAL + '[training]\nautomatic = ["huge"]\n', "'huge', which is not among"),
        (MINIMAL + '[training]\ndomain_b = "blurred"\n', "'blurred', which is not among"),
        (MINIMAL + '[domains."A B"]\nqueries = [{ text = "x" }]\n', "is not a usable name"),
        (MINIMAL + '[recipes.x]\nmodel = "cyclegan"\nprofile = "studdy"\n', "no profile 'studdy'"),
        (MINIMAL + '[recipes.x]\nmodel = "cyclegan"\n[recipes.x.settings]\nsize = 3\n', "unknown setting 'size'"),
    ],
)
def test_other_mistakes(text: str, said: str) -> None:
    assert said in complaint(text)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such project file; name one with --config FILE"):
        load_project(tmp_path / "none.toml")


def test_the_version_of_a_section_follows_its_values() -> None:
    first, second = (parse_project(MINIMAL + f"\n[dedupe]\nradius_bits = {bits}\n", Path("x")) for bits in (4, 6))
    assert first.dedupe.version() != second.dedupe.version()
    assert first.masks.version() == second.masks.version()
