from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclegan.data.sources.glob_pattern import EVERYTHING, GlobPattern, split_pattern


def fits(pattern: GlobPattern, name: str) -> bool:
    """Asked on the way down, as `walk` does."""
    *folders, file = name.split("/")
    state = pattern.begin
    for folder in folders:
        state = pattern.after(state, folder)
    return pattern.takes_files(state) and pattern.takes(file)


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("*.png", ["a.png"], ["a.jpg", "x/a.png", "a.PNG"]),
        ("x/*", ["x/a.png"], ["a.png", "x/y/a.png", "xx/a.png"]),
        ("**/*.png", ["a.png", "x/a.png", "x/y/a.png"], ["x/a.jpg"]),
        ("x/**", ["x/a.png", "x/y/a.png"], ["a.png", "y/x/a.png"]),
        ("**/x/*", ["x/a.png", "y/x/a.png", "x/x/a.png"], ["a.png", "x/y/a.png"]),
        ("x/**/y/**/*.png", ["x/y/a.png", "x/1/y/2/3/a.png", "x/y/y/a.png"], ["x/a.png", "y/a.png"]),
        ("s?n[0-3]/[!a]*", ["scn1/b.png"], ["scn4/b.png", "scn1/a.png", "sn1/b.png"]),
        ("**/**/a.png", ["a.png", "x/a.png"], ["b.png"]),
        ("a+(1).*", ["a+(1).png"], ["aa(1).png"]),
    ],
)
def test_what_fits(pattern: str, fitting: list[str], others: list[str]) -> None:
    compiled = GlobPattern(*pattern.split("/"))
    assert [name for name in [*fitting, *others] if fits(compiled, name)] == fitting


names = st.lists(st.sampled_from("abc"), min_size=1, max_size=5)


@given(st.lists(st.sampled_from(["a", "b", "?", "[ab]", "*"]), min_size=1, max_size=4), names)
def test_without_any_depth_it_is_pathlib_s_match(pattern: list[str], name: list[str]) -> None:
    expected = len(pattern) == len(name) and PurePosixPath(*name).match("/".join(pattern))
    assert fits(GlobPattern(*pattern), "/".join(name)) == expected


@given(names)
def test_any_depth_is_any_number_of_folders(name: list[str]) -> None:
    assert fits(EVERYTHING, "/".join(name))
    assert fits(GlobPattern("**", name[-1]), "/".join(name))
    assert fits(GlobPattern(name[0], "**"), "/".join(name)) == (len(name) > 1)


def test_a_folder_in_which_nothing_can_fit_has_no_state() -> None:
    pattern = GlobPattern("x", "*", "*.png")
    assert pattern.after(pattern.begin, "y") == frozenset()
    inner = pattern.after(pattern.after(pattern.begin, "x"), "any")
    assert pattern.takes_files(inner)
    assert pattern.after(inner, "deeper") == frozenset()


def test_the_folder_above_the_first_wildcard_is_the_base(tmp_path: Path) -> None:
    (tmp_path / "[1]").mkdir()
    for path, base in (
        (tmp_path / "*" / "a.png", tmp_path),
        (tmp_path / "x" / "y?" / "**", tmp_path / "x"),
        (tmp_path / "[1]" / "*.png", tmp_path / "[1]"),
        (Path("*.png"), Path()),
    ):
        split = split_pattern(path)
        assert split is not None
        assert split[0] == base
    assert split_pattern(tmp_path / "x" / "y.png") is None
    assert split_pattern(tmp_path / "[1]") is None
