"""Names from annotation files stay inside their folder."""

import pytest

from psbench_data.names import safe_name


@pytest.mark.parametrize("name", ["s1.jpg", "tt001/shot.jpg", "..jpg", "a..b.jpg", "mü ß.jpg"])
def test_safe_names_are_kept(name: str) -> None:
    assert safe_name(name, "here") == name


@pytest.mark.parametrize(
    "name", ["", "/a", "..", "../a", "a/../b", "a/", "a//b", "a\\b", "C:a", "a\0b", "a\nb", "a\x7f", "a\x9f", "\ud800"]
)
def test_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a file inside here"):
        safe_name(name, "here")
