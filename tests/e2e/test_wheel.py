"""The wheel, installed where there is no checkout, does what the checkout does."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import forked
import pytest

from lra.paths import CHECKOUT, CONFIG_DIR, REPORTED_DIR, STUDIES_DIR
from lra.records import store
from lra.records.revision import package_sha256

pytest.importorskip("hatchling", reason="builds the wheel; pip install -e '.[dev]' brings it")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the package, inside a repository that is not the project's."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    built = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    with zipfile.ZipFile(wheel) as archive:  # a pure wheel is installed by unpacking it
        archive.extractall(folder / "site")
    return folder / "site"


def lra(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as its entry point starts it, in an empty folder."""
    folder.mkdir(exist_ok=True)
    code = "import sys; from importlib.metadata import entry_points as e; e(name='lra')['lra'].load()()"
    environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    return forked.run("-c", code, *arguments, cwd=folder, env=environment)


def test_everything_travels(site):
    for there, here in (("experiments", STUDIES_DIR), ("reported", REPORTED_DIR)):
        names = {path.name for path in here.glob("*.yaml")}
        assert {path.name for path in (site / "lra" / there).iterdir()} == names
    configs = {path.relative_to(CONFIG_DIR) for path in CONFIG_DIR.rglob("*.yaml") if "local" not in path.parts}
    assert {path.relative_to(site / "lra/configs") for path in (site / "lra/configs").rglob("*.yaml")} == configs


@pytest.mark.slow
def test_it_trains_and_makes_tables_in_an_empty_folder(site, tmp_path):
    where = tmp_path / "empty"
    said = lra(site, where, "--help")
    assert "usage: lra" in said.stdout
    studies = lra(site, where, "study", "list")
    assert "s4d-lra" in studies.stdout
    options = ["budget=smoke", "task.source=standin", "trainer.accelerator=cpu"]
    trained = lra(site, where, "train", "experiment=lra/listops-s4d", *options)
    assert trained.returncode == 0, trained.stderr
    assert "60.47" in trained.stdout  # the paper's number
    tables = lra(site, where, "tables")
    assert tables.returncode == 0, tables.stderr
    assert {path.name for path in where.iterdir()} == {"data", "outputs", "results"}
    ((record,), problems) = store.load_all(where / "results")
    assert problems == []
    assert record.code.git_rev is None
    assert record.code.package_sha256 == package_sha256()


def test_a_mistake_is_one_sentence(site, tmp_path):
    result = lra(site, tmp_path, "trian")
    assert result.returncode == 2
    assert "Did you mean 'train'" in result.stderr
