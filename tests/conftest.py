"""What several test modules share: a small demo world."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
WEIGHTS = REPOSITORY / ".venv" / "test-home" / "weights"
"""Fetched by `make test` before the tests start, since these talk to this machine only."""
FEW_STEPS = "\n[recipes.smoke.settings]\nsteps = 6\n"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Homes, keys and project files of whoever runs the tests stay out of them."""
    for variable in ("BOKEHFLOW_HOME", "BOKEHFLOW_CONFIG", "FLICKR_API_KEY", "FLICKR_API_SECRET", "DAGSTER_HOME"):
        monkeypatch.delenv(variable, raising=False)


def make_demo_home(root: Path) -> Path:
    """A demo home whose model trains for a few steps only, with the weights in place."""
    from pipeline.demo import prepare_demo
    from storage import Home

    if not WEIGHTS.exists():
        pytest.skip("the segmenter's weights are not here: `bokehflow weights --home .venv/test-home` fetches them")
    shutil.copytree(WEIGHTS, root / "weights")
    prepare_demo(Home(root))
    path = root / "bokehflow.toml"
    path.write_text(path.read_text().replace('profile = "smoke"\n', 'profile = "smoke"\n' + FEW_STEPS))
    return root


@pytest.fixture
def demo_home(tmp_path: Path) -> Path:
    """A demo home in which nothing has run yet."""
    return make_demo_home(tmp_path / "home")


@pytest.fixture(scope="module")
def finished_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A demo home in which everything has run, for tests that only look."""
    from pipeline.demo import run_demo
    from storage import Home

    before = dict(os.environ)
    root = make_demo_home(tmp_path_factory.mktemp("finished") / "home")
    run_demo(Home(root), lambda message: None)
    yield root
    os.environ.clear()
    os.environ.update(before)
