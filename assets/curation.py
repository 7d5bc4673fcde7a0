"""Curation: the queue that a person works through, the reviewed CSVs, and what was kept."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.building_blocks import check, count_table, progress, stage_asset, table_result
from assets.contact_sheets import contact_sheet
from pipeline.config import Project
from pipeline.curation.agreement import Agreement, Reviewed
from pipeline.curation.curate import disagreements, too_few
from pipeline.curation.decisions import folder_version
from pipeline.operations.curation import MadeCuration, make_curated, make_queue, update_hints
from pipeline.operations.photos import photo_reader
from pipeline.operations.stages import UNQUEUED, provenance_of
from pipeline.operations.tasks import engine_of
from pipeline.plain_text import plain_markdown
from pipeline.tables import among
from resources.home import HomeResource
from resources.segmenter import SegmenterResource
from storage import Home

if TYPE_CHECKING:
    from pipeline.curation.ranking import Ranking


def curation_assets(project: Project) -> list[dg.AssetsDefinition | dg.SourceAsset]:
    """The assets of this stage, for the project."""
    return [hints_asset(project), queue_asset(project), decisions_asset(), curated_asset(project)]


def decisions_asset() -> dg.SourceAsset:
    """The asset `review_decisions`: the folder that people put their decisions into."""

    @dg.observable_source_asset(
        name="review_decisions",
        group_name="curation",
        description="The folder `review/reviewed/`: what curators decided. Its content is the data version.",
        tags={"dagster/kind/csv": ""},
    )
    def review_decisions(home: dg.ResourceParam[HomeResource]) -> dg.DataVersion:
        return dg.DataVersion(folder_version(home.open().reviewed))

    return review_decisions


def hints_asset(project: Project) -> dg.AssetsDefinition:
    """The asset `photo_hints`."""

    @stage_asset(
        project,
        "photo_hints",
        "curation",
        {"parquet"},
        deps=["unique_photos"],
        description="What is measured of each picture once: people, sharpness, colours. Suggestions and rules look at it.",
        checks={
            "every_picture_is_measured": "Every picture could be read and measured; nobody is asked about the others.",
        },
    )
    def photo_hints(
        context: dg.AssetExecutionContext,
        home: dg.ResourceParam[HomeResource],
        segmenter: dg.ResourceParam[SegmenterResource],
    ) -> dg.MaterializeResult:
        data = home.open()
        provenance = provenance_of(project, data, "photo_hints")
        unique, known = data.tables.read("unique_photos"), data.tables.read_or_empty("photo_hints", columns=["sha256"])
        kept = unique[unique["rule"].isna()]
        report, engine = progress(context, "pictures measured"), partial(engine_of, project, data)
        frame, unmeasured = update_hints(project, data, segmenter, kept, report, engine)
        info = data.tables.write("photo_hints", frame, provenance=provenance)
        if len(unmeasured) or data.tables.info("unmeasured_pictures"):
            data.tables.write("unmeasured_pictures", unmeasured)
        data.hints_journal.unlink(missing_ok=True)
        new = frame[~among(frame["sha256"], known["sha256"])]
        people = frame.loc[among(frame["sha256"], kept["sha256"]), "people"].value_counts().sort_index().to_dict()
        shown = {"newly measured": len(new), "people": count_table(people, "people in the picture")}
        without = [f"{row.sha256}: {row.reason}, {row.detail}" for row in unmeasured.itertuples()]
        return table_result(info, shown, [check("every_picture_is_measured", without, dg.AssetCheckSeverity.WARN)])

    return photo_hints


def queue_asset(project: Project) -> dg.AssetsDefinition:
    """The asset `review_queue`."""

    @stage_asset(
        project,
        "review_queue",
        "curation",
        {"csv"},
        deps=["unique_photos", "photo_hints"],
        description="CSV batches of photos that nobody has decided, with hints and thumbnails. "
        "Fill in `decision` and `reason` and save the file, under any name, in `review/reviewed/`; "
        "or decide on the page that `bokehflow review` opens.",
        checks={
            "nobody_waits_unqueued": "Every photo that nobody has decided is in a batch.",
            "batches_are_as_written": "Nobody filled in a batch where it lies: decisions count in `review/reviewed/` alone.",
        },
    )
    def review_queue(home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        data = home.open()
        provenance = provenance_of(project, data, "review_queue")
        made = make_queue(project, data)
        info = data.tables.write("review_queue", made.table, provenance=provenance)
        waiting = made.table[made.table["waiting"]]
        suggested = waiting["suggested_decision"].fillna("nothing") + " " + waiting["suggested_reason"].fillna("")
        shown = {
            "new": count_table(made.new, "newly queued"),
            "suggested": count_table(suggested.str.strip().value_counts().to_dict(), "suggested for those who wait"),
            "decided by rules": made.decided_by_rules,
            "batches": dg.MetadataValue.path(str(data.review_queue)),
            "save reviewed files in": dg.MetadataValue.path(str(data.reviewed)),
            **(ranking_metadata(made.ranking) if made.ranking else {}),
        }
        checks = [
            check("nobody_waits_unqueued", made.unqueued),
            check("batches_are_as_written", made.filled_in_place, dg.AssetCheckSeverity.WARN),
        ]
        return table_result(info, shown, checks)

    return review_queue


def curated_asset(project: Project) -> dg.AssetsDefinition:
    """The asset `curated_photos`."""

    @stage_asset(
        project,
        "curated_photos",
        "curation",
        {"parquet"},
        deps=["unique_photos", "review_decisions", *(["photo_hints"] if project.curation.rules else [])],
        description="What was decided about each photo: kept, moved or dropped, by whom and why.",
        checks={
            "decisions_valid": "Every row in `review/reviewed/` could be read. Mend the rows named; until then nothing is "
            "made of the decisions.",
            "enough_kept": "Every domain has as many kept photos as `min_kept_per_domain` asks. Until then `bokehflow "
            "review` has more to do.",
            "curators_agree": "Nobody contradicts the decision that counts, and no conflict waits for a third curator.",
        },
    )
    def curated_photos(home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        data = home.open()
        provenance = provenance_of(project, data, "curated_photos")
        made = make_curated(project, data)
        if made.unqueued:
            provenance = replace(provenance, notes={**provenance.notes, UNQUEUED: str(made.unqueued)})
        info, frame = data.tables.write("curated_photos", made.table, provenance=provenance), made.table
        checks = [
            check("decisions_valid", [str(problem) for problem in made.problems if problem.is_fatal]),
            check("enough_kept", too_few(frame, list(project.domains), project.curation.min_kept_per_domain)),
            check("curators_agree", disagreements(frame, made.twice.conflicts), dg.AssetCheckSeverity.WARN),
        ]
        return table_result(info, _curated_shown(project, data, made), checks)

    return curated_photos


def _curated_shown(project: Project, data: Home, made: MadeCuration) -> dict[str, Any]:
    frame, read = made.table, photo_reader(data, project)
    kept, dropped = frame[frame["target_domain"].notna()], frame.loc[frame["decision"] == "drop", "reason"]
    by_rule = {rule.name: int((frame["curator"] == f"rule:{rule.name}").sum()) for rule in project.curation.rules}
    counts = {
        **{f"kept in {domain}": int(count) for domain, count in kept["target_domain"].value_counts().items()},
        **{f"dropped, {reason}": int(count) for reason, count in dropped.value_counts().items()},
        **{f"decided by rule {name}": count for name, count in by_rule.items()},
        "undecided": made.undecided,
    }
    notes = [str(problem) for problem in made.problems if not problem.is_fatal]
    pictures = {
        f"kept in {domain}": contact_sheet(zip(rows["photo_id"], map(read, rows["sha256"]), strict=True))
        for domain, rows in kept.groupby("target_domain")
    }
    agreed = agreement_metadata(made.twice) if made.is_double else {}
    return {"counts": count_table(counts, "curated"), **({"not counted": notes} if notes else {}), **pictures, **agreed}


def ranking_metadata(ranking: "Ranking") -> dict[str, int | float]:
    """How well the learnt order of review guesses."""
    return {
        "ranking: decisions learnt from": ranking.decisions,
        "ranking: cross-validated accuracy": ranking.accuracy,
        "ranking: always the commoner answer": ranking.baseline,
    }


def agreement_metadata(found: Reviewed) -> dict[str, dg.MetadataValue]:
    """How far two curators agree, by domain and by who they are."""

    def row(name: str, agreement: Agreement) -> str:
        kappa = "" if agreement.kappa is None else f"{agreement.kappa:.2f}"
        return f"| {plain_markdown(name)} | {agreement.photos:,} | {agreement.agreeing:,} | {kappa} |"

    rows = [row(name, one) for name, one in {"all": found.agreement, **found.domains, **found.curators}.items()]
    head = "| double review | photos | decided alike | kappa |\n|---|---|---|---|\n"
    kappa = found.agreement.kappa
    return {
        "double review": dg.MetadataValue.md(head + "\n".join(rows)),
        "double review: conflicts": dg.MetadataValue.int(len(found.conflicts)),
        **({} if kappa is None else {"double review: kappa": dg.MetadataValue.float(kappa)}),
    }
