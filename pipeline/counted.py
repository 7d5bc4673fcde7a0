"""Numbers of things as a person writes them: `1 photo`, `1,234 photos`."""


def counted(number: int, one: str, more: str = "") -> str:
    """The number with its noun; `more` is the plural where that is not the noun with an s.

    >>> counted(1, "photo"), counted(0, "photo"), counted(1234, "entry", "entries")
    ('1 photo', '0 photos', '1,234 entries')
    """
    return f"{number:,} {one if number == 1 else more or f'{one}s'}"
