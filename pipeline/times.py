"""Times as people, cameras and spreadsheets write them: the one reader for every column."""

from datetime import UTC, datetime

FORMS = ("%Y:%m:%d %H:%M:%S", "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S")
"""What is understood beside ISO 8601: EXIF's form, and the day first with full stops."""


def read_time(written: str) -> datetime | None:
    """The time, UTC unless it says otherwise; None where it is none.

    Understood are ISO 8601, with `T` or a blank, with `Z`, an offset or neither, and `FORMS`. What has two meanings,
    like 3/5/2024, is not.

    >>> [str(read_time(text)) for text in ("2024-03-05T12:30:00+02:00", "2024-03-05 12:30Z", "05.03.2024")]
    ['2024-03-05 12:30:00+02:00', '2024-03-05 12:30:00+00:00', '2024-03-05 00:00:00+00:00']
    >>> read_time("3/5/2024"), read_time("2024-02-30"), read_time("")
    (None, None, None)
    """
    text = written.strip().upper()
    found = next(filter(None, (_parsed(text, form) for form in ("", *FORMS))), None)
    return found.replace(tzinfo=UTC) if found and found.tzinfo is None else found


def _parsed(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form) if form else datetime.fromisoformat(text)
    except ValueError:
        return None
