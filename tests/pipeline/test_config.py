"""The project file: what is accepted, and how a mistake is explained."""

import tomllib
from pathlib import Path

import pytest

from pipeline.config import Project, load_project, parse_project
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


def test_the_same_study_without_a_key() -> None:
    """The ready file for Commons is accepted and asks no other source; everybody names their own contact."""
    project = load_project(REPOSITORY / "docs" / "commons.toml")
    assert {domain.source for domain in project.domains.values()} == {"commons"}
    assert project.domains["ordinary"].queries[0].categories == ["Taken with Apple iPhone 7"]
    assert project.image_hosts() == ["upload.wikimedia.org"]
    assert project.project.contact


@pytest.mark.parametrize(
    ("source", "query", "said"),
    [
        ("commons", 'tags = ["x"]', "Wikimedia Commons has no tags: use categories"),
        ("commons", 'camera = "apple/iphone_7"', "'apple/iphone_7' is no item of Wikidata"),
        ("flickr", 'categories = ["x"]', "Flickr has no categories"),
        ("flickr", 'text = "x"\nlicenses = ["CC BY-SA 3.0"]', "'CC BY-SA 3.0' is no id of Flickr's licences"),
    ],
)
def test_a_query_that_its_source_does_not_know(source: str, query: str, said: str) -> None:
    asked = f'[domains.ordinary]\nsource = "{source}"\n[[domains.ordinary.queries]]\n{query}\n'
    message = complaint(f"{asked}[domains.shallow]\n")
    assert "domains.ordinary.queries.0." in message
    assert said in message


def test_an_unknown_source_and_two_of_them() -> None:
    for source in ('"openverse"', '["flickr", "commons"]'):
        message = complaint(f"{MINIMAL}\n[domains.more]\nsource = {source}\n")
        assert "domains.more.source" in message
        assert "'flickr' or 'commons'" in message


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
    wrong = '[recipes.x]\nmodel = "cyclegan"\nsettings = { flip = 3, stepss = 3 }\n'
    message = complaint(MINIMAL + wrong + '[recipes.y]\nmodel = "cyclegan"\nprofile = "no"\n')
    assert [line.split(": ")[:2] for line in message.splitlines()] == [
        ["bokehflow.toml:11", "recipes.x.settings.flip"],
        ["bokehflow.toml:11", "recipes.x.settings.stepss"],
        ["bokehflow.toml:14", "recipes.y.profile"],
    ]
    assert "did you mean 'steps'?" in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[domains", "not valid TOML"),
        ("[domains.ordinary]\nqueries = [{}]\n", "a query needs at least one of text, tags, camera and categories"),
        (MINIMAL + '[collect]\nfrom = "2024-13"\n', "is not a month"),
        (MINIMAL + '[collect]\nfrom = "2024-05"\nto = "2024-01"\n', "lies before the first"),
        ('[domains.a]\nqueries = [{ text = "x", licenses = ["CC BY"] }]\n', "did you mean 11 (CC BY 4.0) or 4 (CC BY 2.0)?"),
        (MINIMAL + '[training]\nautomatic = ["huge"]\n', "'huge', which is not among"),
        (MINIMAL + '[training]\ndomain_b = "blurred"\n', "'blurred', which is not among"),
        (MINIMAL + '[domains."A B"]\nqueries = [{ text = "x" }]\n', "is not a usable name"),
        (MINIMAL + '[recipes.x]\nmodel = "cyclegan"\nprofile = "studdy"\n', "no profile 'studdy'"),
        (
            MINIMAL + '[recipes.x]\nmodel = "cyclegan"\n[recipes.x.settings]\nsize = 3\n',
            "12: recipes.x.settings.size: unknown setting;",
        ),
        (MINIMAL + "[recipes.y.settings]\nsteps = 0\n", "9: recipes.y.model: is missing"),
        (MINIMAL + '[recipes.y]\nmodel = "cyclegan"\nseeds = [99999999999999999999]\n', "11: recipes.y.seeds.0: "),
        (MINIMAL + "[flickr]\ntimeout_s = inf\n", "10: flickr.timeout_s: "),
        (MINIMAL + "[lists]\ntimeout_s = 1e300\n", "10: lists.timeout_s: "),
        (MINIMAL + '[lists]\nimage_hosts = ["https://images.example.org/"]\n', "write images.example.org alone"),
        (MINIMAL + '[lists]\nimage_hosts = ["images.example.org/large"]\n', "write images.example.org alone"),
        (MINIMAL + '[collect]\nfrom = "２０２４-03"\n', "10: collect.from: '２０２４-03' is not a month"),
        (
            MINIMAL + '[flickr]\nendpoint = "api.flickr.com"\n',
            "10: flickr.endpoint: is no http(s) address, like https",
        ),
        (MINIMAL + '[commons]\nendpoint = "http://x:99999/"\n', "10: commons.endpoint: is no http(s) address, like https"),
        (
            MINIMAL + '[domains.x]\nqueries = [{ tags = ["\u00a0,"] }]\n',
            "10: domains.x.queries.0.tags.0: '\\xa0,' has no word to search",
        ),
        (MINIMAL + '[domains.x]\nlists = ["a\\u0000.csv"]\n', "10: domains.x.lists: has a NUL character"),
        (MINIMAL + '[domains.x]\nqueries = [{ text = " " }]\n', "10: domains.x.queries.0: a query needs at least one of"),
        (MINIMAL + '[domains.x]\nlists = ["lists/.csv"]\n', "10: domains.x.lists: 'lists/.csv' is no list of addresses"),
        (MINIMAL + '[evaluation]\ntruth = "~no.such.user/x"\n', "10: evaluation.truth: '~no.such.user/x' begins with ~"),
        (
            MINIMAL + f'[evaluation]\nmethods = [{{ name = "a", callable = "{"x" * 300}" }}]\n',
            "10: evaluation.methods.0: 'xxx",
        ),
        (
            MINIMAL + '[evaluation]\nmethods = [{ name = "a", callable = "~no.such.user/a.py:f" }]\n',
            "10: evaluation.methods.0.callable: '~no.such.user/a.py:f' begins with ~",
        ),
        (
            MINIMAL + "[photos]\nmax_pixels = 10000000000000000000\n",
            "10: photos.max_pixels: is beyond what there is room for",
        ),
        (MINIMAL + "[collect]\nrescrape_weeks = 1000000000\n", "10: collect.rescrape_weeks: "),
        (
            MINIMAL + '[training]\nslurm_options = ["--time=1:00:00", "--array=0-3"]\n',
            "10: training.slurm_options.1: '--array=0-3' makes sbatch start several jobs or none",
        ),
        (MINIMAL + '[training]\nslurm_options = ["--arr=0-3"]\n', "'--arr=0-3' makes sbatch start several jobs or none"),
        (MINIMAL + "[dedupe]\nmin_detail = nan\n", "10: dedupe.min_detail: "),
        (
            MINIMAL + '[[curation.rules]]\nname = "a"\nhint = "people"\nbelow = inf\ndecision = "keep"\n',
            "12: curation.rules.0.below: Input should be a finite number",
        ),
        (
            MINIMAL + '[recipes.x]\nmodel = "cyclegan"\nsettings = { gan_weight = inf }\n',
            "11: recipes.x.settings.gan_weight: ",
        ),
        (MINIMAL + '[depth]\nestimator = "folder"\nfolder = "x"\nunit = "cm"\n', "12: depth.unit: 'cm' is no unit of depth"),
        (MINIMAL + '[depth]\nestimator = "folder"\nfolder = "x"\nunit = "m/0"\n', "'m/0' is no unit of depth; write mm, m"),
    ],
)
def test_other_mistakes(text: str, said: str) -> None:
    assert said in complaint(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[dataset]\ntest_share = { ordinry = 0.1 }\n', "11: dataset.test_share.ordinry: names the domain 'ordinry', which "
         "is not among ['ordinary', 'shallow']; did you mean 'ordinary'?"),
        ('[curation]\nshallow_domains = [\n"shalow"]\n', "12: curation.shallow_domains.0: names the domain 'shalow'"),
        ('[curation]\ndeep_domains = ["x"]\n', "11: curation.deep_domains.0: names the domain 'x', which is not among "
         "['ordinary', 'shallow']"),
        ('[[curation.rules]]\nname = "a"\nhint = "people"\nabove = 3.0\nreason = "wrong_tag"\ndomain = "shalow"\n',
         "15: curation.rules.0.domain: names the domain 'shalow'"),
        ('[dedupe]\nprefer_domain = "shalow"\n', "11: dedupe.prefer_domain: names the domain 'shalow'"),
        ('[training]\nautomatic = ["x"]\n', "11: training.automatic.0: names the recipe 'x', which is not among []"),
        ('[domains.third]\nqueries = [{ text = "x", licenses = ["CC BY"] }]\n', "11: domains.third.queries.0.licenses.0: "
         "'CC BY' is no id of Flickr's licences, which are 0, 1, 2,"),
        ('[domains.third]\nqueries = [{ text = "x", from = "2010-01", to = "2010-02" }]\n',
         "11: domains.third.queries.0: the query covers none of the months of [collect], 2016-09 to now"),
        ('[collect]\nschedule = "0 25 * * *"\n', "11: collect.schedule: the hour '25' is not within 0 to 23"),
        ('[collect]\nschedule = "0 3 * * mon"\n', "11: collect.schedule: the weekday 'mon' is none of a cron expression"),
        ('[collect]\nschedule = "0 0 30-31 2 *"\n', "11: collect.schedule: '0 0 30-31 2 *' names a day that none of"),
        ('[collect]\nschedule = "0 0 1-1/2 * *"\n', "11: collect.schedule: the day '1-1/2' is 1 alone; write 1"),
        ('[collect]\nschedule = "0 0 5-5 * *"\n', "11: collect.schedule: the day '5-5' is 5 alone; write 5"),
        ('[collect]\nschedule = "weekly"\n', "11: collect.schedule: 'weekly' is no cron expression"),
    ],
)  # fmt: skip
def test_a_name_that_does_not_exist_is_refused_with_its_line(text: str, said: str) -> None:
    assert f"bokehflow.toml:{said}" in complaint(MINIMAL + "\n" + text)


def test_what_names_domains_by_default_names_those_of_the_project() -> None:
    renamed = MINIMAL.replace("shallow", "bokeh").replace("ordinary", "sharp")
    renamed += '[training]\ndomain_a = "sharp"\ndomain_b = "bokeh"\n'
    project = parse_project(renamed, Path("x"))
    assert (project.curation.shallow_domains, project.curation.deep_domains) == (["bokeh"], ["sharp"])
    assert project.dataset.test_share == {"sharp": 0.05, "bokeh": 0.0}
    given = parse_project(renamed + '[curation]\ndeep_domains = ["bokeh"]\n', Path("x"))
    assert (given.curation.shallow_domains, given.curation.deep_domains) == ([], ["bokeh"])
    training = '[training]\ndomain_a = "scenes"\ndomain_b = "scenes"\n'
    recipe = '[recipes.depth]\nmodel = "depth"\nprofile = "depth"\n'
    one = parse_project(f"[domains.scenes]\n{training}{recipe}", Path("x"))
    assert (one.curation.shallow_domains, one.curation.deep_domains) == ([], ["scenes"])
    assert one.dataset.test_share == {"scenes": 0.05}
    unchanged = parse_project(MINIMAL, Path("x"))
    assert unchanged == Project.model_validate(tomllib.loads(MINIMAL))


@pytest.mark.parametrize("endpoint", ["", "ftp://api.flickr.com/", "https://", "http://[", "https://me:hidden@x:99999/"])
@pytest.mark.parametrize("source", ["flickr", "commons"])
def test_an_endpoint_that_is_no_address(source: str, endpoint: str) -> None:
    told = complaint(f'{MINIMAL}[{source}]\nendpoint = "{endpoint}"\n')
    assert f"10: {source}.endpoint: is no http(s) address" in told
    assert "hidden" not in told


@pytest.mark.parametrize("source", ["flickr", "commons"])
def test_an_endpoint_with_a_password_is_refused_and_not_repeated(source: str) -> None:
    told = complaint(f'{MINIMAL}[{source}]\nendpoint = "https://me:hidden@example.org/"\n')
    assert f"10: {source}.endpoint: holds a name or password; leave them out" in told
    assert "hidden" not in told


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such project file; `bokehflow init FOLDER` writes one, --config FILE"):
        load_project(tmp_path / "none.toml")


def test_the_version_of_a_section_follows_its_values() -> None:
    first, second = (parse_project(MINIMAL + f"\n[dedupe]\nradius_bits = {bits}\n", Path("x")) for bits in (4, 6))
    assert first.dedupe.version() != second.dedupe.version()
    assert first.masks.version() == second.masks.version()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[recipes.one]\nmodel = "one_sided"\n', "model 'one_sided' needs masks"),
        ('[recipes.one]\nmodel = "cyclegan"\nprofile = "corrected"\n', "need masks"),
        ('[dataset]\ncrop = "subject"\n', "dataset.crop: follows the masks"),
    ],
)
def test_what_needs_masks_is_refused_where_there_are_none(text: str, said: str) -> None:
    assert said in complaint(MINIMAL + '[masks]\nsegmenter = "none"\n' + text)


def test_a_model_is_not_judged_by_its_own_teacher() -> None:
    study = (
        MINIMAL + '[recipes.held]\nmodel = "semantic"\nsettings = { semantic_network = "u2netp" }\n[evaluation]\nparser = '
    )
    assert "trains against 'u2netp'" in complaint(study + '"u2netp"\n')
    assert parse_project(study + '"lraspp_mobilenet"\n', Path("x")).evaluation.parser == "lraspp_mobilenet"
    unheld = study.replace('"u2netp" }', '"u2netp", semantic_weight = 0.0 }')
    assert "u2netp" in parse_project(unheld + '"u2netp"\n', Path("x")).needed_weights()


def test_without_masks_photos_are_not_of_people_unless_the_file_says_so() -> None:
    none = MINIMAL + '[masks]\nsegmenter = "none"\n'
    assert parse_project(MINIMAL, Path("x")).curation.people
    assert not parse_project(none, Path("x")).curation.people
    assert parse_project(none + "[curation]\npeople = true\n", Path("x")).curation.people
    assert parse_project(none, Path("x")).masks.least_coverage == 0


def test_models_of_depth_are_no_translators() -> None:
    depth = '[recipes.depth]\nmodel = "depth"\nprofile = "depth"\n[recipes.plain]\nmodel = "cyclegan"\n'
    project = parse_project(MINIMAL + depth, Path("bokehflow.toml"))
    assert project.recipe_keys() == ["depth@0", "plain@0"]
    assert project.recipes["depth"].resolved().output == "disparity"
    assert "take the profile `depth`" in complaint(f'{MINIMAL}[recipes.depth]\nmodel = "depth"\n')
    assert "take the profile `pix2pix`" in complaint(f'{MINIMAL}[recipes.x]\nmodel = "pix2pix"\nprofile = "depth"\n')
    assert "take the profile `depth`" in complaint(f'{MINIMAL}[recipes.x]\nmodel = "depth"\nprofile = "pix2pix"\n')
    assert "take another profile" in complaint(f'{MINIMAL}[recipes.plain]\nmodel = "cyclegan"\nprofile = "depth"\n')
    assert parse_project(f'{MINIMAL}[training]\nautomatic = ["depth"]\n{depth}', Path("x")).training.automatic == ["depth"]


def test_what_is_told_by_the_subject_needs_masks() -> None:
    defocus = f'{MINIMAL}[recipes.x]\nmodel = "defocus"\nprofile = "defocus"\n'
    assert parse_project(defocus, Path("x")).recipe_keys() == ["x@0"]
    told = complaint(defocus + '[masks]\nsegmenter = "none"\n')
    assert "recipes.x: model 'defocus' needs masks" in told
    assert "take depth or refocus" in told


@pytest.mark.parametrize(("model", "more"), [("depth", ""), ("refocus", ", picture_weight = 0.0")])
def test_a_model_of_depth_that_nothing_teaches_is_refused(model: str, more: str) -> None:
    recipe = f'{MINIMAL}[recipes.x]\nmodel = "{model}"\nprofile = "depth"\nsettings = {{ depth_weight = 0.0'
    told = complaint(f"{recipe}, depth_gradient_weight = 0.0{more} }}\n")
    assert "recipes.x: depth_weight, depth_gradient_weight" in told
    assert "are all 0: nothing would be learnt" in told
    assert parse_project(f"{recipe}{more} }}\n", Path("x")).recipe_keys() == ["x@0"]


def test_depth_alone_needs_one_domain() -> None:
    training = '[training]\ndomain_a = "ordinary"\ndomain_b = "ordinary"\n'
    depth = '[recipes.depth]\nmodel = "depth"\nprofile = "depth"\n'
    assert parse_project(MINIMAL + training + depth, Path("x")).training.domain_b == "ordinary"
    defocus = '[recipes.told]\nmodel = "defocus"\nprofile = "defocus"\n'
    assert parse_project(MINIMAL + training + depth + defocus, Path("x")).recipe_keys() == ["depth@0", "told@0"]
    told = complaint(f'{MINIMAL}{training}{depth}[recipes.x]\nmodel = "cyclegan"\n')
    assert "recipes.x.model: 'cyclegan' would translate 'ordinary' to itself: name another domain_b" in told


def test_a_file_that_windows_saved_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bokehflow.toml"
    path.write_text("[domains.ordinary]\n[domains.shallow]\n", encoding="utf-8-sig")
    assert set(load_project(path).domains) == {"ordinary", "shallow"}
