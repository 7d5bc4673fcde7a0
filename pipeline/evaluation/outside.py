"""What is known of a method from outside, that is, of one that no model here made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Account:
    """What of a method from outside could be judged, and what could not and why."""

    kind: str
    origin: str
    version: str
    photos: int
    judged: int
    problems: Mapping[str, str] = field(default_factory=dict)
    """By the id of a photo or scene, why the method is not judged on it."""
    extra: Sequence[str] = ()
    """Files that are of no judged photo."""
    scaled: str = ""
    """In words, which sizes its pictures have where these are others than the stored ones."""

    @property
    def words(self) -> str:
        """On how much it is judged, in a sentence."""
        some = f"Judged on {self.judged} of {self.photos} test photos alone; in pairs only those count that both have."
        return f"Judged on all {self.photos} test photos." if self.judged == self.photos else some
