"""The wheel and the sdist, installed into an environment of their own and used outside the repository."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import cyclegan
from tests.command_line import measured

REPOSITORY = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PROJECT, WHEEL = PYPROJECT["project"], PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
SOURCES = (*WHEEL["packages"], *WHEEL["force-include"])


def ran(*words: str | Path, folder: Path, **environment: str) -> str:
    """Run a program that sees no other Python code than its own, and return what it printed."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, cwd=folder, env=kept | environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    ran(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, REPOSITORY, folder=folder)
    return folder


def wheel_of(built: Path) -> Path:
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def environment(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and the packages that it requires without extras, by links to the tests' own."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install")
    ran(*pip, "--quiet", "--no-index", "--no-deps", wheel_of(built), folder=folder)
    (site,) = folder.glob("lib/python*/site-packages")
    (metadata,) = site.glob("cyclegan-*.dist-info")
    waiting, linked = [(line, "") for line in PathDistribution(metadata).requires or []], set[tuple[str, str]]()
    while waiting:
        line, extra = waiting.pop()
        requirement = Requirement(line)
        wanted = {(requirement.name, name) for name in ("", *requirement.extras)} - linked
        if not wanted or (requirement.marker and not requirement.marker.evaluate({"extra": extra})):
            continue
        linked |= wanted
        found = distribution(requirement.name)
        waiting += [(line, name) for _, name in wanted for line in found.requires or []]
        for top in {file.parts[0] for file in found.files or []} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(found.locate_file(top))))
    return folder


def test_the_wheel_holds_the_package_and_what_it_reads(built: Path) -> None:
    with zipfile.ZipFile(wheel_of(built)) as wheel:
        names = set(wheel.namelist())
    conf = {f"cyclegan/{path.relative_to(REPOSITORY)}" for path in (REPOSITORY / "conf").rglob("*.yaml")}
    package = {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / "cyclegan").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"cyclegan/py.typed", "cyclegan/report/templates/page.html", "cyclegan/report/plotly/LICENSE.txt"} < package
    plugins = {f"hydra_plugins/{path.name}" for path in (REPOSITORY / "hydra_plugins").glob("*.py")}
    metadata = {name for name in names if ".dist-info/" in name}
    assert names - metadata == conf | package | plugins
    assert any(name.endswith("licenses/LICENSE") for name in metadata)


@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="git knows which files belong to the project")
def test_the_sdist_holds_the_project(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = set(ran("git", "ls-files", folder=REPOSITORY).splitlines())
    assert {name for name in tracked - names if not name.startswith((".ci/", ".pre-commit"))} == set()
    assert not [name for name in names if name.startswith(("runs/", ".venv/"))]


def test_every_command_answers_outside_the_repository(environment: Path, tmp_path: Path) -> None:
    for command in PROJECT["scripts"]:
        assert ran(environment / "bin" / command, "--version", folder=tmp_path).startswith("cyclegan ")
    text = ran(environment / "bin" / "cyclegan-train", "--cfg", "job", folder=tmp_path)
    assert yaml.safe_load(text)["name"] == "toy"
    places = "import cyclegan.train.configuration as c, cyclegan; print(c.conf_dir(), cyclegan.__file__, sep='\\n')"
    for place in ran(environment / "bin" / "python", "-c", places, folder=tmp_path).split():
        assert Path(place).is_relative_to(environment)


@pytest.mark.slow
def test_the_base_install_trains_reports_evaluates_and_translates(environment: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "tiny"
    words = [word for word in measured("tiny") if word not in ("logger=csv", "~callbacks.report")]
    ran(environment / "bin" / "cyclegan-train", *words, folder=tmp_path)  # with wandb, offline
    assert "Plotly.newPlot" in (run / "report.html").read_text()
    assert list((run / "wandb").glob("offline-run-*"))
    words = ["--checkpoint", "runs/tiny", "--input", "toy/testA", "--output", "translated"]
    ran(environment / "bin" / "cyclegan-translate", *words, folder=tmp_path)
    assert len(list((tmp_path / "translated").iterdir())) == 2
    ran(environment / "bin" / "cyclegan-evaluate", "--checkpoint", "runs/tiny", "--features", "random", folder=tmp_path)


def test_the_base_install_lacks_the_extras(environment: Path, tmp_path: Path) -> None:
    program = "from importlib.util import find_spec\nfrom cyclegan.errors import EXTRAS\n"
    program += "print([name for name in EXTRAS if find_spec(name)])"
    assert ran(environment / "bin" / "python", "-c", program, folder=tmp_path) == "[]\n"


def test_the_citation_is_of_this_version_and_of_the_paper() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == cyclegan.__version__
    assert citation["license"] == PROJECT["license"]
    assert {"message", "title", "authors"} <= citation.keys()  # which the format requires
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Zhu", "Park", "Isola", "Efros"]


def test_the_container_copies_what_the_wheel_is_built_from() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (REPOSITORY / "Containerfile").read_text(), re.MULTILINE)
    extras = re.search(r'"/source\[(.+)\]"', (REPOSITORY / "Containerfile").read_text())
    assert extras is not None
    assert set(extras[1].split(",")) <= PROJECT["optional-dependencies"].keys()
    assert set(" ".join(copied).split()) == {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], *SOURCES}
