"""Groups of one picture, which photo of each is kept, and by which rule every other one went.

A photo goes only where it is verified against the photo kept, so no chain joins what differs. The result depends on
the photos alone: neither on their order nor on what was known before.

The two halves of a pair show one scene and may be as alike as copies: photos of pairs are compared within their domain only,
and preferred pair by pair, so that of two pairs that are copies one stays whole.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from pipeline.config import DedupeSection
from pipeline.dedupe.candidates import MIN_LIKENESS, CandidateWalk
from pipeline.dedupe.fingerprints import ReadBytes, is_grey
from pipeline.dedupe.near_hashes import NONE, NearHashes, near_hashes
from pipeline.dedupe.store import FingerprintStore, Shelf, keys_of
from pipeline.dedupe.verify import WHOLE_FRAME, Candidate, PairComparison, Verifier
from pipeline.tables import among

PAIRS_AT_ONCE = 256
"""So many are verified at a time, over all cores."""
SIZE = ["width_px", "height_px", "size_bytes"]


@dataclass(frozen=True)
class Match:
    """Why a picture is a duplicate: the rule, the measure that decided, and how near the hashes are; None: not looked at."""

    rule: str
    measure: float | None = None
    distance_bits: int | None = None


@dataclass(frozen=True, eq=False)
class FoundDuplicates:
    """What `find_unique` finds.

    `unique_photos` and `duplicate_pairs` are the tables of these names, `near` is to be kept for the next time.
    `work` counts what was done: `pictures` looked at, `hashes_searched` for the first time, `likeness_checks` of
    small pictures, `alignments` and `detail_comparisons` of pairs, `exact_decodes`.
    """

    unique_photos: pd.DataFrame
    duplicate_pairs: pd.DataFrame
    near: NearHashes
    work: dict[str, int]


def find_unique(
    fingerprints: pd.DataFrame,
    store: FingerprintStore,
    read_bytes: ReadBytes,
    settings: DedupeSection,
    known_pairs: pd.DataFrame,
    known_near: NearHashes,
) -> FoundDuplicates:
    """Groups over all photos of all domains.

    `fingerprints` is the table of that name, all partitions of it; `store` has the fingerprint of every picture in
    it. `known_pairs` and `known_near` are what an earlier call found; without them (an empty table,
    `NearHashes.nothing()`) the result is the same and takes longer.
    """
    found = _find(fingerprints, store, read_bytes, settings, known_pairs, known_near, frozenset())
    grouped = _one_picture_with_another(found.unique_photos)
    without_colour = frozenset(store.grey(grouped, lambda sha256: is_grey(read_bytes(sha256))))
    if not without_colour or without_colour == frozenset(grouped):
        return found
    again = _find(fingerprints, store, read_bytes, settings, found.duplicate_pairs, found.near, without_colour)
    work = {name: count if name == "pictures" else count + again.work[name] for name, count in found.work.items()}
    return replace(again, work=work)


def _one_picture_with_another(unique: pd.DataFrame) -> list[str]:
    """Digests of all pictures in groups of several different ones, sorted."""
    pictures = unique.groupby("split_key")["sha256"].transform("nunique")
    return sorted(set(unique.loc[pictures > 1, "sha256"]))


def _find(
    fingerprints: pd.DataFrame,
    store: FingerprintStore,
    read_bytes: ReadBytes,
    settings: DedupeSection,
    known_pairs: pd.DataFrame,
    known_near: NearHashes,
    without_colour: Set[str],
) -> FoundDuplicates:
    photos = _by_preference(fingerprints, settings.min_bytes, without_colour)
    shelf = store.read(photos["sha256"].unique().tolist())
    near = known_near
    if settings.verify:
        textured = shelf.records[~shelf.records["is_flat"]]
        wholes = np.concatenate([textured["windows"][:, 0], textured["mirrored"]])
        near = near_hashes(wholes, textured["windows"], settings.radius_bits, known_near)
    verifier = Verifier(read_bytes, known_pairs)
    pictures = _Pictures(photos, shelf, near, verifier, settings)
    star = pictures.star()
    near = pictures.noted(star)
    photos["split_key"] = _smallest_ids(photos["photo_id"], pictures.connect(star)[pictures.of_photo])
    checks = pictures.walk.likeness_checks
    gone = pictures.unpreferred(settings.prefer_domain) if settings.prefer_domain else {}
    stays = photos[~among(photos.index.to_series(), gone)]
    if gone:
        pictures = _Pictures(stays, store.read(stays["sha256"].unique().tolist()), near, verifier, settings)
        star, checks = pictures.star(), checks + pictures.walk.likeness_checks
    assigned = _without_conflicts(_assigned(stays, pictures, star))
    table = pd.concat([assigned, _gone(photos, gone, assigned["group"])]).sort_index()
    small = photos["size_bytes"] < settings.min_bytes
    table.loc[small & table["rule"].isna(), "rule"] = "small_file"
    searched, before = len(near.wholes) + len(near.windows), len(known_near.wholes) + len(known_near.windows)
    work = {"pictures": len(shelf.records), "hashes_searched": searched - before, "likeness_checks": checks}
    return FoundDuplicates(table, verifier.table(), near, {**work, **asdict(verifier.work)})


def _by_preference(fingerprints: pd.DataFrame, min_bytes: int, without_colour: Set[str]) -> pd.DataFrame:
    """The photo to keep comes first: in colour, then with the most pixels, then with the most bytes, then the
    earliest upload, then the smallest id.

    Files that are too small to be kept come after all others.
    """
    pixels, small = fingerprints["width_px"] * fingerprints["height_px"], fingerprints["size_bytes"] < min_bytes
    grey = among(fingerprints["sha256"], without_colour)
    photos = fingerprints.reindex(columns=[*fingerprints.columns.drop("pair", errors="ignore"), "pair"]).assign(
        small=small, grey=grey, fewer_pixels=-pixels, fewer_bytes=-fingerprints["size_bytes"],
        uploaded_s=fingerprints["date_upload_s"], smallest_id=fingerprints["photo_id"],
    )  # fmt: skip
    paired = photos.groupby("pair")
    ranks = ["small", "grey", "fewer_pixels", "fewer_bytes", "uploaded_s", "smallest_id"]
    for column in ranks:
        of_pair = paired[column].transform("max" if column in ("small", "grey") else "min")
        photos[column] = of_pair.where(photos["pair"].notna(), photos[column]).astype(photos[column].dtype)
    return photos.sort_values([*ranks, "photo_id", "domain"], ignore_index=True)


# --- pictures ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Star:
    """For each picture the one kept for it, itself if kept, and why it went."""

    keeper: np.ndarray
    match: dict[int, Match]


class _Pictures:
    """Distinct pictures in order of preference, and which of them are one."""

    def __init__(
        self,
        photos: pd.DataFrame,
        shelf: Shelf,
        near: NearHashes,
        verifier: Verifier,
        settings: DedupeSection,
    ) -> None:
        self.photos, self.shelf, self.verifier, self.settings = photos, shelf, verifier, settings
        self.of_photo = pd.factorize(photos["sha256"])[0]
        self.count = len(shelf.records)
        first = photos.drop_duplicates("sha256")
        self.size = _numbers_of_repeated(first, SIZE)
        self.side = pd.factorize(first["domain"].where(first["pair"].notna()))[0]
        self.near, self.walk = near, CandidateWalk(shelf, near, self.size)
        known = near.apart if near.told_by == _told_by(settings) else NONE
        self.apart = np.isin(keys_of(shelf.digests), known)
        self.trusted = _Trusted()
        shared = pd.DataFrame({"photo_id": photos["photo_id"], "picture": self.of_photo}).drop_duplicates()
        self.trusted.add(Match("same_photo"), _lists(shared["picture"], shared["photo_id"]))
        if settings.verify:
            flat = np.flatnonzero(shelf.records["is_flat"]).tolist()
            looks = [
                shelf.records["mean_rgb"][p].tobytes() + shelf.large(p).tobytes() + self.side[p].tobytes() for p in flat
            ]
            self.trusted.add(Match("perceptual", 1.0, 0), _lists(pd.Series(flat), pd.Series(looks, dtype=object)))
        else:
            alike = np.where(self.size < 0, -1, self.size * (self.side.max(initial=0) + 2) + self.side + 1)
            self.trusted.add(Match("same_resolution_and_size"), _lists(pd.Series(np.arange(self.count)), pd.Series(alike)))

    def star(self) -> _Star:
        """Walk in order of preference: who is not taken yet is kept and takes all that are verified against it."""
        names, settled = np.arange(self.count, dtype=np.int32), np.zeros(self.count, bool)
        keeper, match = names.copy(), dict[int, Match]()

        def take(picture: int, other: int, why: Match) -> None:
            if not settled[other]:
                keeper[other], match[other], settled[other] = picture, why, True

        position = 0
        for stop in [*self.trusted.pictures, self.count]:
            while position < stop:
                position, batch = self._batch(position, stop, settled, names, names, self.apart)
                for candidate, why in self._verified(batch):
                    take(candidate.i, candidate.j, why)
            for other, why in self.trusted.of(stop):
                if other > stop and not settled[stop]:
                    take(stop, other, why)
        return _Star(keeper, match)

    def noted(self, star: _Star) -> NearHashes:
        """What is near, with those who stayed: each was asked about all that came after it and stayed too.

        Not where both are of pairs, since these are compared within their domain only.
        """
        if not self.settings.verify:
            return self.near
        stayed = (star.keeper == np.arange(self.count)) & (self.side < 0)
        apart = np.sort(keys_of([digest for digest, one in zip(self.shelf.digests, stayed, strict=True) if one]))
        return replace(self.near, apart=apart, told_by=_told_by(self.settings))

    def connect(self, star: _Star) -> np.ndarray:
        """The connected component of each picture under all verified pairs, as a number."""
        components = _Components(self.count)
        for other in star.match:
            components.join(int(star.keeper[other]), other)
        for chain in self.trusted.chains():
            for other in chain[1:]:
                components.join(chain[0], other)
        self.walk.join(components.label)
        kept = star.keeper == np.arange(self.count)
        position, nobody = 0, np.zeros(self.count, bool)
        while position < self.count:
            position, batch = self._batch(position, self.count, nobody, components.label, components.label, kept)
            for candidate, _ in self._verified(batch):
                components.join(candidate.i, candidate.j)
        return components.label

    def unpreferred(self, prefer: str) -> dict[int, tuple[int, Match]]:
        """Photos (labels of rows) outside the preferred domain that are one with a photo inside: which, and why."""
        inside = (self.photos["domain"] == prefer).to_numpy()
        at_home = np.zeros(self.count, np.int32)
        at_home[self.of_photo[inside]] = 1
        twin: dict[int, tuple[int, Match]] = {
            p: (p, Match("both_domains", 1.0, 0)) for p in np.flatnonzero(at_home).tolist()
        }
        for picture in self.trusted.pictures:
            home = [(other, why) for other, why in self.trusted.of(picture) if at_home[other]]
            if home and not at_home[picture]:
                twin[picture] = home[0]
        settled, names = np.zeros(self.count, bool), np.arange(self.count, dtype=np.int32)
        settled[[picture for picture in twin if not at_home[picture]]] = True
        self.walk.part()
        position = 0
        while position < self.count:
            position, batch = self._batch(position, self.count, settled, at_home, names, self.apart)
            for candidate, why in self._verified(batch):
                home, away = (candidate.i, candidate.j) if at_home[candidate.i] else (candidate.j, candidate.i)
                twin.setdefault(away, (home, why))
                settled[away] = True
        first_inside = pd.Series(self.photos.index[inside]).groupby(self.of_photo[inside]).first().to_dict()
        outside = zip(self.photos.index[~inside].tolist(), self.of_photo[~inside].tolist(), strict=True)
        return {label: (first_inside[twin[p][0]], twin[p][1]) for label, p in outside if p in twin}

    def _batch(
        self, position: int, stop: int, settled: np.ndarray, group: np.ndarray, names: np.ndarray, kept: np.ndarray
    ) -> tuple[int, list[Candidate]]:
        """Candidates that do not depend on each other's outcome (they share none of `names`), and from where to go on."""
        batch: list[Candidate] = []
        touched: set[int] = set()
        while self.settings.verify and position < stop and len(batch) < PAIRS_AT_ONCE:
            picture, candidates = self.walk.next(position, stop, settled, group, kept)
            here = {int(names[p]) for candidate in candidates for p in (candidate.i, candidate.j)}
            if batch and here & touched:
                return picture, batch
            touched |= here
            batch += [candidate for candidate in candidates if self._may_be_one(candidate)]
            position = picture + 1
        return (min(position, stop) if self.settings.verify else stop), batch

    def _may_be_one(self, candidate: Candidate) -> bool:
        """Not where both are of pairs, in different domains."""
        one, other = self.side[candidate.i], self.side[candidate.j]
        return bool(one == other or one < 0 or other < 0)

    def _verified(self, batch: Sequence[Candidate]) -> Iterable[tuple[Candidate, Match]]:
        """Those that are one picture; where a pair is so both as it is and mirrored, only the former."""
        found: dict[tuple[int, int], tuple[Candidate, Match]] = {}
        for candidate, measured in zip(batch, self.verifier.compare(self.shelf, batch), strict=True):
            pair = (candidate.i, candidate.j)
            if self._is_one(measured) and (pair not in found or not candidate.mirrored):
                found[pair] = candidate, Match(self._rule(candidate, measured), measured.detail, measured.distance_bits)
        return found.values()

    def _is_one(self, measured: PairComparison) -> bool:
        return measured.correlation >= self.settings.min_correlation and measured.detail >= self.settings.min_detail

    def _rule(self, candidate: Candidate, measured: PairComparison) -> str:
        if candidate.mirrored:
            return "mirrored"
        if self.size[candidate.i] >= 0 and self.size[candidate.i] == self.size[candidate.j]:
            return "same_resolution_and_size"
        return "cropped" if measured.shown < WHOLE_FRAME else "perceptual"


def _told_by(settings: DedupeSection) -> str:
    """What decides which candidates are one, beside the pictures."""
    return f"{MIN_LIKENESS} {settings.min_correlation} {settings.min_detail}"


def _numbers_of_repeated(frame: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """For each row the number of its values, int64; −1 where they occur once."""
    numbers = frame.groupby(columns, sort=False).ngroup().to_numpy(np.int64)
    return np.where(frame.duplicated(columns, keep=False), numbers, -1)


def _lists(pictures: pd.Series, keys: pd.Series) -> list[list[int]]:
    """Pictures with equal keys, ascending, where there is more than one; −1 is no key."""
    frame = pd.DataFrame({"picture": pictures.to_numpy(), "key": keys.to_numpy()})
    frame = frame[frame["key"].ne(-1) & frame.duplicated("key", keep=False)]
    found = defaultdict[object, set[int]](set)
    for picture, key in zip(frame["picture"].tolist(), frame["key"].tolist(), strict=True):
        found[key].add(picture)
    return [sorted(pictures) for pictures in found.values()]


class _Trusted:
    """Pictures that are one without a look at their pixels."""

    def __init__(self) -> None:
        self._chains: list[tuple[Match, list[int]]] = []
        self._of: dict[int, list[int]] = {}

    def add(self, why: Match, chains: list[list[int]]) -> None:
        for chain in chains:
            for picture in chain:
                self._of.setdefault(picture, []).append(len(self._chains))
            self._chains.append((why, chain))

    @property
    def pictures(self) -> list[int]:
        return sorted(self._of)

    def of(self, picture: int) -> Iterable[tuple[int, Match]]:
        return [(other, why) for why, chain in (self._chains[n] for n in self._of.get(picture, [])) for other in chain]

    def chains(self) -> list[list[int]]:
        return [chain for _, chain in self._chains]


class _Components:
    """Disjoint sets of 0 … n − 1 with a label for every member, kept up to date by renaming the smaller set."""

    def __init__(self, count: int) -> None:
        self.label = np.arange(count, dtype=np.int32)
        self._members: dict[int, list[int]] = {}

    def join(self, i: int, j: int) -> None:
        first, second = int(self.label[i]), int(self.label[j])
        if first == second:
            return
        large, small = (self._members.pop(label, [label]) for label in (first, second))
        if len(large) < len(small):
            large, small = small, large
        name = int(self.label[large[0]])
        self.label[small] = name
        large.extend(small)
        self._members[name] = large


# --- photos -----------------------------------------------------------------------------------------------------------


def _assigned(photos: pd.DataFrame, pictures: _Pictures, star: _Star) -> pd.DataFrame:
    """Each photo's group and why it went; a picture's first photo stands for it."""
    keeper = star.keeper[pictures.of_photo]
    first = pd.Series(photos.index).groupby(pictures.of_photo).first().to_numpy()
    kept = first[keeper] if len(first) else photos.index.to_numpy()
    ids, kept_ids = photos["photo_id"].to_numpy(), photos["photo_id"].loc[kept].to_numpy()
    why = [
        None if label == of
        else Match("same_photo") if own == other
        else Match("same_bytes", 1.0, 0) if picture == keeps
        else star.match[picture]
        for label, of, own, other, picture, keeps in zip(
            photos.index, kept, ids, kept_ids, pictures.of_photo.tolist(), keeper.tolist(), strict=True
        )
    ]  # fmt: skip
    return _with_reasons(photos, kept_ids, why)


def _with_reasons(photos: pd.DataFrame, group: Sequence[str] | np.ndarray, why: Sequence[Match | None]) -> pd.DataFrame:
    table = photos[["photo_id", "domain", "sha256", "width_px", "height_px", "split_key"]].copy()
    table["group"] = group
    table["rule"] = pd.Series([match and match.rule for match in why], table.index, dtype=object)
    table["measure"] = pd.Series([match and match.measure for match in why], table.index, dtype="Float64")
    table["distance_bits"] = pd.Series([match and match.distance_bits for match in why], table.index, dtype="Int64")
    table["duplicate_of"] = table["group"].where(table["rule"].notna(), None)
    return table


def _without_conflicts(table: pd.DataFrame) -> pd.DataFrame:
    """One picture in several domains cannot be right in all: every one of its photos goes."""
    conflict = table.groupby("group")["domain"].transform("nunique") > 1
    table.loc[conflict, "rule"] = "both_domains"
    return table


def _gone(photos: pd.DataFrame, gone: dict[int, tuple[int, Match]], group: pd.Series) -> pd.DataFrame:
    """The photos that went for one in the preferred domain, in the group of that one, which may itself be a copy."""
    rows = photos.loc[list(gone)]
    preferred = group.loc[[home for home, _ in gone.values()]].to_numpy()
    return _with_reasons(
        rows, preferred, [Match("both_domains", why.measure, why.distance_bits) for _, why in gone.values()]
    )


def _smallest_ids(ids: pd.Series, component: np.ndarray) -> pd.Series:
    return ids.groupby(component).transform("min") if len(ids) else ids
