"""`bokehflow weights` and `bokehflow doctor` name the same weights: all that a run may need."""

from pathlib import Path

import pytest

from pipeline.commands.running import weights
from pipeline.config import parse_project
from pipeline.operations.doctor import examine
from resources.flickr import KEY_VARIABLE, SECRET_VARIABLE
from storage import Home

MINIMAL = "[domains.ordinary]\n[domains.shallow]\n"
QUERIES = MINIMAL + '[[domains.ordinary.queries]]\ntags = ["portrait"]\nfrom = "2024-01"\nto = "2024-02"\n'
STUDY = '[recipes.with_masks]\nmodel = "mask_loss"\n'
NO_LOSS = STUDY + '[recipes.with_masks.settings]\nperceptual_scale = "none"\n'


SEMANTIC = '[recipes.held]\nmodel = "semantic"\nsettings = { semantic_network = "parts" }\n'
SELFIE = ("selfie", "selfie_landscape", "u2netp")


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("", {*SELFIE, "yunet", "vgg16"}),
        ("[evaluation]\nperceptual = false\n", {*SELFIE, "yunet"}),
        ("[curation]\ninappropriate_model = true\n", {*SELFIE, "yunet", "vgg16", "opennsfw"}),
        (STUDY, {*SELFIE, "yunet", "vgg16", "vgg19"}),
        (NO_LOSS, {*SELFIE, "yunet", "vgg16"}),
        (STUDY.replace("mask_loss", "cyclegan"), {*SELFIE, "yunet", "vgg16"}),
        ('[masks]\nsegmenter = "deeplabv3_mobilenet"\n', {"deeplabv3_mobilenet", "yunet", "vgg16"}),
        ('[masks]\nsegmenter = "none"\n', {"vgg16"}),
        (SEMANTIC, {*SELFIE, "yunet", "vgg16", "parts"}),
        (SEMANTIC.replace("parts", "u2netp"), {*SELFIE, "yunet", "vgg16"}),
        ('[evaluation]\nparser = "lraspp_mobilenet"\n', {*SELFIE, "yunet", "vgg16", "lraspp_mobilenet"}),
        ('[masks]\nsegmenter = "folder"\nfolder = "mine"\n', {*SELFIE, "yunet", "vgg16"}),
    ],
)
def test_all_that_a_run_needs_is_fetched_and_examined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, needed: set[str]
) -> None:
    config, fetched = tmp_path / "bokehflow.toml", list[str]()
    config.write_text(MINIMAL + text)
    monkeypatch.setattr("pipeline.weights.ensure", lambda name, folder, looks=None: fetched.append(name))
    monkeypatch.setattr("pipeline.masks.segmenters.make_segmenter", lambda name, folder, looks=None: fetched.append(name))
    monkeypatch.setattr("pipeline.operations.parsers.ensure_parser", lambda name, folder: fetched.append(name))
    monkeypatch.setattr("pipeline.models.vgg.load_features", lambda name, folder, looks=None: fetched.append(name))
    weights.main(["--home", str(tmp_path), "--config", str(config)], standalone_mode=False)
    assert sorted(fetched) == sorted(needed)
    findings = examine(parse_project(MINIMAL + text, config), Home(tmp_path), config)
    examined = [finding for finding in findings if finding.what.startswith("weights of ")]
    assert {finding.what.removeprefix("weights of ") for finding in examined} == needed
    assert {finding.remedy for finding in examined} == {"`bokehflow weights` fetches them now"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[masks]\nsegmenter = "folder"\nfolder = "mine"\n', "[masks] folder"),
        ('[depth]\nestimator = "folder"\nfolder = "mine"\nunit = "m"\n', "[depth] folder"),
        ('[depth]\nestimator = "midas_small"\nnetwork = "mine"\n', "[depth] network"),
    ],
)
def test_what_the_project_names_and_is_not_there_is_told_before_a_run_asks_for_it(
    tmp_path: Path, text: str, named: str
) -> None:
    config = tmp_path / "bokehflow.toml"
    told = [
        (finding.what, finding.found)
        for finding in examine(parse_project(MINIMAL + text, config), Home(tmp_path), config)
        if finding.is_fatal
    ]
    assert told == [(named, f"{tmp_path / 'mine'}: is not there")]
    (tmp_path / "mine").mkdir()
    findings = examine(parse_project(MINIMAL + text, config), Home(tmp_path), config)
    assert not any(finding.is_fatal for finding in findings)


def test_who_looks_at_a_home_that_may_not_be_written_is_told_and_makes_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in (KEY_VARIABLE, SECRET_VARIABLE):
        monkeypatch.setenv(variable, "a" * 32)
    monkeypatch.setattr("pipeline.operations.doctor.make_client", lambda *_: pytest.fail("a call is counted in the home"))
    monkeypatch.setattr(Home, "is_read_only", True)
    findings = {one.what: one for one in examine(parse_project(QUERIES, tmp_path), Home(tmp_path), None)}
    assert findings["home"].is_fatal
    assert findings["Flickr"].found == "not asked; 3,600 of 3,600 calls left this hour"
    assert not list(tmp_path.iterdir())
