"""The form of what a snapshot's files say, checked where one from somebody else enters.

None of it is covered by a digest that we know: neither what becomes a path or an address, nor what is only shown.
"""

import re
from pathlib import Path

import pandas as pd

from pipeline.errors import DatasetError
from pipeline.picture_layers import ENCODING_FORM, ENCODINGS, OPTIONAL, OPTIONAL_DIGESTS, PHOTO_SOURCES, SOURCES

SHOWN = 60
_SHA256, _PHOTO = r"[0-9a-f]{64}", r"[a-z]+:[0-9A-Za-z_-]{1,80}"
# No `\d`, which takes the digits of all scripts; and whole texts only, without a newline at their end.
FORMS = {
    "photo_id": _PHOTO,
    "split_key": _PHOTO,
    "domain": r"[a-z][a-z0-9_]{0,39}",
    "split": "train|test",
    "transform": r"[0-9a-z-]{1,120}",
    "pixels_sha256": _SHA256,
    "alpha_sha256": _SHA256,
    "source_sha256": _SHA256,
    "mask_sha256": _SHA256,
    "shard": r"[0-9a-f]{32}\.arrow",
    "key": r"[0-9A-Za-z]{1,64}",
    **{column: _SHA256 for layer in OPTIONAL for column in (layer.digest, layer.source_digest)},
    **dict.fromkeys(PHOTO_SOURCES, _SHA256),
    **dict.fromkeys(ENCODINGS, ENCODING_FORM),
}
"""What a column's cells must match."""
NULLABLE = ("mask_sha256", "shard", "key", *OPTIONAL_DIGESTS, *ENCODINGS, *SOURCES)
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"


def check_forms(source: Path, rows: pd.DataFrame) -> None:
    """Raises `DatasetError` for the first cell that is not what its column holds, or has control characters."""
    for column in rows.columns:
        if column in FORMS:
            _check(source, rows, column, FORMS[column])
        elif rows[column].dtype not in ("int64", "float64", "bool"):
            for value in rows[column].dropna().unique():
                if re.search(_CONTROL, str(value)):
                    raise _refused(source, column, value, "has control characters")


def without_controls(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, their texts that are only shown without the control characters for which `check_forms` refuses them."""
    shown = [name for name, dtype in rows.dtypes.items() if isinstance(dtype, pd.StringDtype) and name not in FORMS]
    return rows.assign(**{str(name): rows[name].str.replace(_CONTROL, "", regex=True) for name in shown})


def _check(source: Path, rows: pd.DataFrame, column: str, form: str) -> None:
    if column not in NULLABLE and rows[column].isna().any():
        raise _refused(source, column, None, "is empty")
    is_right = re.compile(form).fullmatch
    for value in rows[column].dropna().unique():
        if not is_right(value):
            raise _refused(source, column, value, "is none")


def _refused(source: Path, column: str, value: object, problem: str) -> DatasetError:
    return DatasetError(f"{source}: not used, its {column} {str(value)[:SHOWN]!r} {problem}; nothing was restored")
