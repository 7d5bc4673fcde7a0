"""Positions of keys in TOML texts."""

from pipeline.toml_lines import key_lines


def test_tables_arrays_of_tables_dotted_keys_and_inline_tables() -> None:
    text = """# comment
top = 1
a.b = 2
[t]
x = { y = [
  1,
  2 ] }
[["q u".r]]
k = 1
[["q u".r]]
[["q u".r.s]]
k = 2
"""
    lines = key_lines(text)
    assert lines[("top",)] == 2
    assert lines[("a", "b")] == 3
    assert lines[("t",)] == 4
    assert lines[("t", "x", "y", 1)] == 7
    assert lines[("q u", "r", 0, "k")] == 9
    assert lines[("q u", "r", 1)] == 10
    assert lines[("q u", "r", 1, "s", 0, "k")] == 12
