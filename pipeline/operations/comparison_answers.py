"""What people answered when they compared methods, out of the CSVs of a home."""

from pipeline.evaluation.people.choices import Choice, read_choices, spelled_alike
from pipeline.plain_files import read_plain_text
from storage import Home

MAX_CSV_BYTES = 64 * 2**20


def choices_of(home: Home, snapshot: str) -> tuple[list[Choice], list[str]]:
    """All answers about a snapshot, and what of the files is none."""
    found: list[Choice] = []
    problems: list[str] = []
    for path in sorted(home.comparisons.glob("*.csv")):
        try:
            text = read_plain_text(path, MAX_CSV_BYTES)
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{path.name}: cannot be read: {error}")
            continue
        own, wrong = read_choices(text.removeprefix("\ufeff"), snapshot, path.name)
        found += own
        problems += wrong
    return spelled_alike(found), problems
