"""The API reference, and the check of the built documentation, `make docs`."""

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
CHECK = REPOSITORY / "docs" / "site" / "check.py"


def found(pattern: str, folder: str, files: str) -> set[str]:
    return {name for file in (REPOSITORY / folder).rglob(files) for name in re.findall(pattern, file.read_text(), re.M)}


def test_the_reference_has_every_class_that_the_configuration_names() -> None:
    documented = found(r"^::: (\S+)$", "docs/api", "*.md")
    named = found(r"_target_: (cyclegan\.\S+)", "conf", "*.yaml") - {"cyclegan.sweep.plan.PlannedSweep"}  # Hydra's
    assert {name for name in named if not {name, name.rpartition(".")[0]} & documented} == set()


def checked(site: Path) -> list[str]:
    done = subprocess.run([sys.executable, CHECK, site], capture_output=True, text=True, check=False)
    assert done.returncode == (1 if done.stderr else 0)
    return [line.removeprefix(f"{site}/") for line in done.stderr.splitlines()]


def test_a_site_has_no_dead_links_no_unreachable_pages_and_needs_no_other_host(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "image.png").touch()
    (tmp_path / "more" / "index.html").write_text('<h2 id="a²"></h2><a href="..">up</a><img src="../image.png">')
    page = '<a href="more/#a%C2%B2">1</a> <a href="https://example.org">2</a>'
    (tmp_path / "index.html").write_text(page)
    assert checked(tmp_path) == []

    (tmp_path / "index.html").write_text(
        page + '<a href="none.html"></a><a href="more/#b"></a><script src="https://example.org/x.js"></script>'
    )
    (tmp_path / "lonely.html").write_text('<a href="lonely.html">me</a>')
    assert checked(tmp_path) == [
        "index.html: none.html leads nowhere",
        "index.html: more/#b leads nowhere",
        "index.html: loads https://example.org/x.js",
        "lonely.html: no page leads here",
    ]
