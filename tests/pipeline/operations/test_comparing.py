"""The page on which people compare methods, and their answers."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from pipeline.evaluation.people.choices import OF_COLLECTIONS, OF_PORTRAITS, read_choices
from pipeline.operations.comparing import Compare, judge_name, make_compare_app
from tests.pipeline.test_atomic import ShortFile


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    pictures: dict[str, dict[str, Path]] = {}
    for photo in ("flickr:1", "flickr:2"):
        for method in ("cyclegan@0", "input", "phone"):
            path = tmp_path / f"{photo[-1]}-{method}.png"
            Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
            pictures.setdefault(photo, {})[method] = path
    return Compare("0123456789abcdef", pictures, tmp_path / "comparisons")


@pytest.fixture
def client(compare: Compare) -> TestClient:
    return TestClient(make_compare_app(compare, "portraits"))


def test_judges_answer_pair_by_pair_and_go_on_where_they_stopped(client: TestClient, compare: Compare) -> None:
    assert client.get("/", params={"name": "Ada"}).url.path == "/judge/Ada"
    page = client.get("/judge/ada").text
    assert "pair 1 of 6" in page
    assert not any(name in page for name in ("cyclegan", "phone", "flickr:"))
    assert client.get(page.split('src="')[1].split('"')[0]).headers["content-type"] == "image/png"
    for number in range(6):
        assert f"pair {number + 1} of 6" in client.get("/judge/ada").text
        client.post("/judge/ada", data={"number": str(number), "aperture": "left", "person": "same"})
    assert "That was all" in client.get("/judge/ada").text
    assert "pair 1 of" in client.get("/judge/ben").text
    found, problems = read_choices(compare.file("ada").read_text(), compare.snapshot, "ada.csv")
    assert problems == []
    assert len(found) == 6 * len(OF_PORTRAITS)


def test_the_command_counts_the_pairs_as_the_page_does(compare: Compare) -> None:
    photos = {f"flickr:{number}": methods for number in range(4) for methods in [compare.pictures["flickr:1"]]}
    many = Compare(compare.snapshot, photos, compare.folder)
    assert (len(many.pairs), many.asked) == (12, 13)  # the eighth is one from before
    page = TestClient(make_compare_app(many, "portraits")).get("/judge/ada").text
    assert f"pair 1 of {many.asked}" in page
    assert "<h1" in page


def test_what_is_no_answer_changes_nothing(client: TestClient, compare: Compare) -> None:
    for data in ({}, {"number": "0", "aperture": "left"}, {"number": "99", "aperture": "left", "person": "left"},
                 {"number": "0", "aperture": "maybe", "person": "left"}, {"number": "x"}):  # fmt: skip
        assert "pair 1 of" in client.post("/judge/ada", data=data).text
    assert not compare.file("ada").exists()
    assert client.get("/judge/..%2fx").status_code == 404
    assert client.get("/picture/none").status_code == 404
    assert "letters, digits" in client.get("/", params={"name": "../x"}).text


def test_of_two_collections_nobody_is_asked_about_apertures(compare: Compare) -> None:
    compare = replace(compare, questions=OF_COLLECTIONS)
    client = TestClient(make_compare_app(compare, "collections"))
    page = client.get("/judge/Ada").text
    assert "picture of the other collection?" in page
    assert "aperture" not in page
    assert "person" not in page
    client.post("/judge/Ada", data={"number": "0", "manner": "left", "content": "same"})
    assert compare.answered("Ada") == 1
    found, problems = read_choices(compare.file("Ada").read_text(), compare.snapshot, "ada.csv")
    assert ({one.question for one in found}, problems) == ({"manner", "content"}, [])


def test_judges_are_called_by_names_of_any_script(client: TestClient, compare: Compare) -> None:
    page = client.get("/", params={"name": " Ju\u0308rgen Müller "})
    assert "Jürgen Müller: pair 1 of" in re.sub("<.*?>", "", page.text)
    client.post(str(page.url), data={"number": "0", "aperture": "left", "person": "same"})
    assert compare.answered("jürgen-müller") == compare.answered("Jürgen Müller") == 1
    assert compare.file("Jürgen Müller").name.endswith("+jürgen-müller.csv")
    assert judge_name("आनंदी") == "आनंदी"
    for text in ("../x", "a/b", "<b>", "a\0", "a=b", "-a", "", "😀", "a" * 41, "e\u200bva"):
        assert judge_name(text) is None, text


def test_an_answer_can_be_given_anew_and_the_last_counts(client: TestClient, compare: Compare) -> None:
    for choice in ("left", "right"):
        client.post("/judge/ada", data={"number": "0", "aperture": choice, "person": "same"})
    assert "pair 1 of" in client.get("/judge/ada", params={"pair": "1"}).text
    assert "pair 2 of" in client.get("/judge/ada", params={"pair": "99"}).text
    assert "pair 2 of" in client.get("/judge/ada", params={"pair": "x"}).text
    found, _ = read_choices(compare.file("ada").read_text(), compare.snapshot, "ada.csv")
    assert {one.question: one.choice for one in found} == {"aperture": "right", "person": "same"}


def test_answers_that_cannot_be_kept_are_said_to_be_lost(client: TestClient, compare: Compare) -> None:
    compare.folder.write_text("in the way")
    lost = client.post("/judge/ada", data={"number": "0", "aperture": "left", "person": "same"})
    assert lost.status_code == 500
    assert "comparisons: File exists; mend that" in lost.text
    compare.folder.unlink()
    compare.folder.mkdir()
    compare.file("ada").write_bytes(b"\xff")
    assert "no text in UTF-8" in client.get("/judge/ada").text


def test_answers_that_the_disk_takes_in_part_are_not_kept(
    client: TestClient, compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part may be an answer of somebody else, whose name is the beginning of a name."""
    answers = {"number": "0", "aperture": "left", "person": "same"}
    client.post("/judge/ada", data=answers)
    before = compare.file("ada").read_bytes()

    def short(path: Path, mode: str, **_: object) -> ShortFile:
        return ShortFile(path, "a+")

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.operations.comparing.open", short, raising=False)
        lost = client.post("/judge/ada", data={**answers, "number": "1"})
    assert lost.status_code == 500
    assert f"answers cannot be kept: {compare.file('ada')}: No space left" in lost.text
    assert compare.file("ada").read_bytes() == before


def test_a_line_that_was_cut_off_costs_itself_alone(client: TestClient, compare: Compare) -> None:
    client.post("/judge/ada", data={"number": "0", "aperture": "left", "person": "same"})
    with compare.file("ada").open("a") as file:
        file.write("0123456789abcdef,flickr:1,inp")
    assert "pair 2 of" in client.get("/judge/ada").text
    client.post("/judge/ada", data={"number": "1", "aperture": "left", "person": "same"})
    assert "pair 3 of" in client.get("/judge/ada").text
