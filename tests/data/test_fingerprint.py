import hashlib
from pathlib import Path

import pytest

from cyclegan.data.fingerprint import Fingerprint, fingerprint, require_same_files
from cyclegan.data.index import DataError


def test_the_digest_is_that_of_the_sorted_names_below_the_root() -> None:
    listed = b"trainA/1.png\0trainA/sub/2.png\0"
    expected = {"count": 2, "digest": hashlib.sha256(listed).hexdigest()}
    assert fingerprint(Path("/here/trainA"), ["/here/trainA/1.png", "/here/trainA/sub/2.png"]) == expected
    assert fingerprint(Path("/else/where/trainA"), ["/else/where/trainA/sub/2.png", "/else/where/trainA/1.png"]) == (
        expected
    )
    assert fingerprint(Path("trainA"), ["trainA/1.png", "trainA/sub/2.png"]) == expected, (
        "the root is the folder itself"
    )


def test_lists_differ_that_hold_the_same_letters() -> None:
    digests = {
        fingerprint(Path("trainA"), files)["digest"]
        for files in (
            ["trainA/1.png"],
            ["trainA/1.png", "trainA/2.png"],
            ["trainA/1.pngtrainA/2.png"],
            ["trainA/1.png\ntrainA/2.png"],
            ["trainA/3.png"],
        )
    }
    assert len(digests) == 5


def test_names_that_are_no_utf8_have_a_digest() -> None:
    # What Python makes of the byte 0xe9 in a name.
    expected = hashlib.sha256(b"trainA/caf\xe9.png\0").hexdigest()
    assert fingerprint(Path("trainA"), ["trainA/caf\udce9.png"])["digest"] == expected


def test_says_whose_pictures_changed_and_what_to_do() -> None:
    a: Fingerprint = {"count": 1067, "digest": "a"}
    b: Fingerprint = {"count": 1334, "digest": "b"}
    require_same_files({"A": a, "B": b}, {"B": b, "A": a})
    with pytest.raises(DataError, match=r"domain B are not .*: there were 1334, there are 1333 \(not the same ones\)"):
        require_same_files({"A": a, "B": b}, {"A": a, "B": {"count": 1333, "digest": "c"}})
    with pytest.raises(DataError, match=r"there were 1334, there are 1334 \(as many, but other names\)"):
        require_same_files({"A": a, "B": b}, {"A": a, "B": {"count": 1334, "digest": "c"}})
    with pytest.raises(DataError, match=r"Put the pictures back as they were, or begin a new run .*init_from="):
        require_same_files({"A": a, "B": b}, {"A": b, "B": b})
    with pytest.raises(DataError, match=r"domain B are not .*: there were 1334, there are 0"):
        require_same_files({"A": a, "B": b}, {"A": a})
