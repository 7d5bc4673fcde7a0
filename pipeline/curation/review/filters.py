"""Which photos of the queue are shown: what stands in the page's address."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from pipeline.curation.review.catalog import FILTERABLE

STATUSES = ("undecided", "skipped", "kept", "moved", "dropped", "decided", "conflicts", "all")
SUGGESTIONS = ("keep", "drop", "move", "none")


@dataclass(frozen=True)
class Filters:
    """Empty: everything. `hints` maps a hint to the lowest and highest value, each None where it is open."""

    status: str = "undecided"
    domain: str = ""
    batch: str = ""
    suggestion: str = ""
    hints: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> "Filters":
        """From an address; what it does not understand counts as not said, since addresses get edited by hand."""
        status, suggestion = query.get("status", ""), query.get("suggestion", "")
        ranges = {name: (_number(query.get(f"min_{name}")), _number(query.get(f"max_{name}"))) for name in FILTERABLE}
        return cls(
            status=status if status in STATUSES else "undecided",
            domain=query.get("domain", ""),
            batch=query.get("batch", ""),
            suggestion=suggestion if suggestion in SUGGESTIONS else "",
            hints={name: limits for name, limits in ranges.items() if limits != (None, None)},
        )

    def query(self, **more: str) -> str:
        """The same for an address, with further parameters; only what differs from the default."""
        said = {"status": self.status if self.status != "undecided" else "", "domain": self.domain, "batch": self.batch,
                "suggestion": self.suggestion, **dict(self._limits()), **more}  # fmt: skip
        return urlencode({name: value for name, value in said.items() if value})

    @property
    def count(self) -> int:
        """How many filters are set besides the status."""
        return sum(map(bool, (self.domain, self.batch, self.suggestion))) + len(self.hints)

    def _limits(self) -> Iterable[tuple[str, str]]:
        for name, (lowest, highest) in self.hints.items():
            if lowest is not None:
                yield f"min_{name}", f"{lowest:g}"
            if highest is not None:
                yield f"max_{name}", f"{highest:g}"


def _number(text: str | None) -> float | None:
    try:
        value = float((text or "").replace(",", "."))
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None
