"""The README is true: every command composes or runs, every path exists."""

import re
import shlex
import subprocess

import forked
import pytest

from lra.composition import compose, experiments
from lra.config import Config
from lra.paths import CHECKOUT
from lra.tables import text

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
LINES = [
    line.partition("  #")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
]
TRAIN = [line for line in LINES if line.startswith("python train.py") and "--help" not in line]
SCRIPTS = [line for line in LINES if line.startswith("python scripts/")]
TARGETS = [line.split()[1] for line in LINES if line.startswith("make ")]


def test_every_line_is_known():
    other = set(LINES) - set(TRAIN) - set(SCRIPTS) - {f"make {t}" for t in TARGETS}
    assert other <= {"source .venv/bin/activate", "python train.py --help", ""}


@pytest.mark.parametrize("command", TRAIN)
def test_training_commands_compose(command):
    words = [w for w in shlex.split(command)[2:] if w != "-m"]
    single = [w.split(",")[0] if not w.endswith("]") else w for w in words if not w.startswith("task.path")]
    Config.parse(compose(single))


@pytest.mark.parametrize("target", TARGETS)
def test_make_targets_exist(target):
    subprocess.run(["make", "-n", target], cwd=CHECKOUT, check=True, capture_output=True)


@pytest.mark.parametrize("command", SCRIPTS)
def test_scripts_run(command):
    _, script, *arguments = shlex.split(command)
    if "run" in arguments or script == "scripts/prepare_data.py":  # hours; that they start is tested elsewhere
        arguments = ["--help"]
    done = forked.run(script, *arguments)
    nothing_to_group = "--group" in arguments and "0 records were read" in done.stderr
    assert done.returncode == 0 or nothing_to_group, done.stderr


def test_linked_files_exist():
    found = re.findall(r"\]\(([^)]+)\)", README)
    links = [link.partition("#")[0] for link in found if not link.startswith("http")]
    assert links
    assert [path for path in links if not (CHECKOUT / path).exists()] == []


def test_every_mark_is_explained():
    page = (CHECKOUT / "docs/protocol.md").read_text(encoding="utf-8")
    assert [words for words in text.LEGEND.values() if f"- {words}\n" not in page] == []
    assert "docs/protocol.md#marks" in README


def test_every_picture_is_shown_on_a_page():
    pages = [*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").glob("*.md"), CHECKOUT / "results/README.md"]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    pictures = [*(CHECKOUT / "results/figures").iterdir(), *(CHECKOUT / "docs/images").iterdir()]
    assert [path.name for path in pictures if path.suffix != ".pdf" and path.name not in text] == []
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", (CHECKOUT / "docs/figures.md").read_text(encoding="utf-8"))
    assert all((CHECKOUT / "docs" / path).is_file() for path in shown)


def test_thousands_have_commas():
    pages = [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/*.md"), CHECKOUT / "data/README.md"]
    pages += [CHECKOUT / "results/README.md", *CHECKOUT.glob("configs/**/*.yaml"), *CHECKOUT.glob("experiments/*.yaml")]
    found = {
        page: re.findall(r"\b\d{1,3}[ \u00a0\u2009\u202f]\d{3}\b", page.read_text(encoding="utf-8")) for page in pages
    }
    assert {page: numbers for page, numbers in found.items() if numbers} == {}


def test_readme_is_short():
    assert len(README.splitlines()) <= 150


def test_the_table_of_recipes_names_all_of_them():
    rows = re.findall(r"`([^`]+)`", README[README.index("## The recipes") : README.index("Each is one screen")])
    tasks = ["listops", "text", "retrieval", "image", "pathfinder", "pathx"]
    models = ("s4d", "s4", "s4-original", "s5", "lru", "dss", "s4-dss", "transformer")
    named = {f"lra/{task}-{model}" for task in tasks for model in models}
    for row in rows:
        if "{" in row:
            head, options, tail = re.fullmatch(r"(.*)\{(.*)\}(.*)", row).groups()
            named |= {f"{head}{option}{tail}" for option in options.split(",")}
        else:
            named.add(row)
    named |= {f"bidmc/{t}-s4" for t in ("hr", "rr", "spo2")}
    assert set(experiments()) <= named
