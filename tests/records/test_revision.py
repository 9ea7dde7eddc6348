"""Which code a record names: the checkout's own revision, or the package."""

import os
import subprocess
from pathlib import Path

import pytest

from lra.records import revision as module
from lra.records.revision import REFUSED, package_sha256, revision


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a commit that stands for the project's."""
    folder = (tmp_path / "project").resolve()
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("a = 1\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a")
    monkeypatch.setattr(module, "CHECKOUT", folder)
    return folder


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def test_a_clean_checkout(checkout):
    found = revision()
    assert len(found.git_rev) == 40
    assert (found.unknown, found.patch) == (None, b"")


def test_changes_and_new_files_are_in_the_patch(checkout):
    (checkout / "src" / "a.py").write_text("a = 2\n")
    (checkout / "src" / "é new.py").write_text("b = 3\n")
    patch = revision().patch.decode()
    assert "+a = 2" in patch
    assert "+b = 3" in patch


@pytest.mark.parametrize(
    "setting", ["diff.external=/bin/true", "color.ui=always", "diff.noprefix=true", "diff.mnemonicPrefix=true"]
)
def test_what_the_user_has_configured_for_git_hides_no_change(checkout, setting):
    (checkout / "src" / "a.py").write_text("a = 2\n")
    (checkout / "src" / "b.py").write_text("b = 3\n")
    plain = revision().patch
    git(checkout, "config", *setting.split("="))
    assert revision().patch == plain
    git(checkout, "checkout", "-q", "src/a.py")
    (checkout / "src" / "b.py").unlink()
    subprocess.run(["git", "apply"], input=plain, cwd=checkout, check=True)
    assert (checkout / "src" / "a.py").read_text() == "a = 2\n"


def test_an_installed_package_has_no_revision(checkout, monkeypatch):
    monkeypatch.chdir(checkout)  # a repository around site-packages is not ours
    monkeypatch.setattr(module, "CHECKOUT", None)
    assert revision().git_rev is None
    assert revision().unknown == "installed as a package"


def test_a_copy_inside_another_repository(checkout, monkeypatch):
    monkeypatch.setattr(module, "CHECKOUT", checkout / "src")
    assert revision().git_rev is None
    assert "inside another repository" in revision().unknown


def test_a_copy_without_a_repository(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHECKOUT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "not in a git repository" in revision().unknown


def test_a_checkout_of_another_user(checkout, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert revision().git_rev is None
    assert revision().unknown == REFUSED


def test_no_git(checkout, monkeypatch):
    monkeypatch.setenv("PATH", str(checkout))
    assert revision().unknown == "git is not installed"


def test_the_packages_hash_depends_on_modules_and_recipes(tmp_path, monkeypatch):
    for name, text in (("package/a.py", "1"), ("configs/task/b.yaml", "2")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(module, "PACKAGE", tmp_path / "package")
    monkeypatch.setattr(module, "CONFIG_DIR", tmp_path / "configs")
    hashes = {package_sha256()}
    for name in ("package/a.py", "configs/task/b.yaml"):
        (tmp_path / name).write_text("3")
        hashes.add(package_sha256())
    assert len(hashes) == 3
