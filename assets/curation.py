"""Curation: the queue that a person works through, the reviewed CSVs, and what was kept."""

import dagster as dg

from assets.common import check, count_table, progress, stage_asset, table_result
from assets.sheets import contact_sheet
from pipeline.config import Project
from pipeline.curation.agreement import Agreement, Reviewed, reviewed_twice
from pipeline.curation.curate import curate, decided_groups, disagreements, one_per_photo, too_few
from pipeline.curation.decisions import folder_version, opinions
from pipeline.curation.double_review import DoubleReview
from pipeline.operations.curation import reviewed, update_hints
from pipeline.operations.photo_tables import all_rows, newest_rows
from pipeline.operations.photos import photo_reader
from pipeline.operations.stages import provenance_of
from pipeline.operations.tasks import engine_of
from pipeline.operations.tombstones import forgotten_photos
from pipeline.plain_text import plain_markdown
from resources.home import HomeResource
from resources.segmenter import SegmenterResource


def curation_assets(project: Project) -> list[dg.AssetsDefinition | dg.SourceAsset]:
    """The assets of this stage, for the project."""

    @stage_asset(
        project,
        "photo_hints",
        "curation",
        {"parquet"},
        deps=["unique_photos"],
        description="What is measured of each picture once: people, sharpness, colours. Suggestions and rules look at it.",
        check_specs=[dg.AssetCheckSpec("every_picture_is_measured", asset="photo_hints")],
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
        report, over = progress(context, "pictures measured"), engine_of(project, data)
        frame, unmeasured = update_hints(project, data, segmenter, kept, report, over)
        info = data.tables.write("photo_hints", frame, provenance=provenance)
        if len(unmeasured) or data.tables.info("unmeasured_pictures"):
            data.tables.write("unmeasured_pictures", unmeasured)
        data.hints_journal.unlink(missing_ok=True)
        new = frame[~frame["sha256"].isin(known["sha256"])]
        people = frame.loc[frame["sha256"].isin(kept["sha256"]), "people"].value_counts().sort_index().to_dict()
        shown = {"newly measured": len(new), "people": count_table(people, "people in the picture")}
        without = [f"{row.sha256}: {row.reason}, {row.detail}" for row in unmeasured.itertuples()]
        return table_result(info, shown, [check("every_picture_is_measured", without, dg.AssetCheckSeverity.WARN)])

    @stage_asset(
        project,
        "review_queue",
        "curation",
        {"csv"},
        deps=["unique_photos", photo_hints],
        description="CSV batches of photos that nobody has decided, with hints and thumbnails. "
        "Fill in `decision` and `reason` and save the file, under any name, in `review/reviewed/`; "
        "or decide on the page that `bokehflow review` opens.",
        check_specs=[
            dg.AssetCheckSpec("nobody_waits_unqueued", asset="review_queue"),
            dg.AssetCheckSpec("batches_are_as_written", asset="review_queue"),
        ],
    )
    def review_queue(home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        from pipeline.curation.queue import QueueFolders, filled_in_place, queue_photos, with_fingerprints
        from pipeline.curation.ranking import learn
        from pipeline.curation.suggestions import rule_decisions

        data = home.open()
        provenance = provenance_of(project, data, "review_queue")
        unique, queued = data.tables.read("unique_photos"), data.tables.read_or_empty("review_queue")
        unmeasured = data.tables.read_or_empty("unmeasured_pictures", columns=["sha256"])
        unique = unique[~unique["sha256"].isin(unmeasured["sha256"])]  # nobody can look at them
        words = opinions(reviewed(data, project)[0])
        decided = decided_groups(unique, words)
        learning = len(words) >= project.curation.learn_from
        hints = data.tables.read("photo_hints")
        fingerprints = newest_rows(project, data, "fingerprints")
        seen = with_fingerprints(one_per_photo(unique).merge(hints, on="sha256"), fingerprints) if learning else None
        ranking = None if seen is None else learn(seen, words, project.curation.learn_from)
        by_rules = rule_decisions(unique, hints, project.curation.rules, decided)
        frame = queue_photos(
            unique=unique,
            listing=all_rows(project, data, "photo_listing"),
            queued=queued,
            hints=hints,
            fingerprints=fingerprints,
            decided_groups=decided | decided_groups(unique, by_rules),
            forgotten=forgotten_photos(data),
            folders=QueueFolders(data.review_queue, data.thumbnails),
            settings=project.curation,
            ranking=ranking,
        )
        data.reviewed.mkdir(parents=True, exist_ok=True)
        info = data.tables.write("review_queue", frame, provenance=provenance)
        new = frame[~frame["photo_id"].isin(set(queued["photo_id"]))]
        waiting = frame[frame["waiting"]]
        suggested = waiting["suggested_decision"].fillna("nothing") + " " + waiting["suggested_reason"].fillna("")
        shown = {
            "new": count_table(new["domain"].value_counts().to_dict(), "newly queued"),
            "suggested": count_table(suggested.str.strip().value_counts().to_dict(), "suggested for those who wait"),
            "decided by rules": len(by_rules),
            "batches": dg.MetadataValue.path(str(data.review_queue)),
            "save reviewed files in": dg.MetadataValue.path(str(data.reviewed)),
        }
        if ranking is not None:
            shown |= {
                "ranking: decisions learnt from": ranking.decisions,
                "ranking: cross-validated accuracy": ranking.accuracy,
                "ranking: always the commoner answer": ranking.baseline,
            }
        groups = decided | decided_groups(unique, by_rules)
        groups |= set(unique.loc[unique["photo_id"].isin(set(frame["photo_id"])), "group"])
        unqueued = unique.loc[unique["rule"].isna() & ~unique["group"].isin(groups), "photo_id"].tolist()
        checks = [
            check("nobody_waits_unqueued", unqueued),
            check("batches_are_as_written", filled_in_place(data.review_queue), dg.AssetCheckSeverity.WARN),
        ]
        return table_result(info, shown, checks)

    @dg.observable_source_asset(
        name="review_decisions",
        group_name="curation",
        description="The folder `review/reviewed/`: what curators decided. Its content is the data version.",
        tags={"dagster/kind/csv": ""},
    )
    def review_decisions(home: dg.ResourceParam[HomeResource]) -> dg.DataVersion:
        return dg.DataVersion(folder_version(home.open().reviewed))

    @stage_asset(
        project,
        "curated_photos",
        "curation",
        {"parquet"},
        deps=["unique_photos", review_decisions, *(["photo_hints"] if project.curation.rules else [])],
        description="What was decided about each photo: kept, moved or dropped, by whom and why.",
        check_specs=[
            dg.AssetCheckSpec("decisions_valid", asset="curated_photos", blocking=True),
            dg.AssetCheckSpec("enough_kept", asset="curated_photos", blocking=True),
            dg.AssetCheckSpec("curators_agree", asset="curated_photos"),
        ],
    )
    def curated_photos(home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        data = home.open()
        provenance = provenance_of(project, data, "curated_photos")
        decisions, problems = reviewed(data, project)
        unique = data.tables.read("unique_photos")
        from pipeline.curation.suggestions import rule_decisions

        hints, rules = data.tables.read_or_empty("photo_hints"), project.curation.rules
        by_rules = rule_decisions(unique, hints, rules, decided_groups(unique, decisions))
        double = DoubleReview.of(project.curation)
        frame = curate(unique, decisions, by_rules, double)
        info = data.tables.write("curated_photos", frame, provenance=provenance)
        kept = frame[frame["target_domain"].notna()]
        counts = {
            **{f"kept in {domain}": int(count) for domain, count in kept["target_domain"].value_counts().items()},
            **{
                f"dropped, {reason}": int(count)
                for reason, count in frame.loc[frame["decision"] == "drop", "reason"].value_counts().items()
            },
            **{f"decided by rule {rule.name}": int((frame["curator"] == f"rule:{rule.name}").sum()) for rule in rules},
            "undecided": int(unique["rule"].isna().sum()) - len(frame),
        }
        read = photo_reader(data, project)
        pictures = {
            f"kept in {domain}": contact_sheet(zip(rows["photo_id"], map(read, rows["sha256"]), strict=True))
            for domain, rows in kept.groupby("target_domain")
        }
        twice = reviewed_twice(unique, decisions, double)
        checks = [
            check("decisions_valid", [str(problem) for problem in problems if problem.is_fatal]),
            check("enough_kept", too_few(frame, list(project.domains), project.curation.min_kept_per_domain)),
            check("curators_agree", disagreements(frame, twice.conflicts), dg.AssetCheckSeverity.WARN),
        ]
        notes = [str(problem) for problem in problems if not problem.is_fatal]
        shown = {"counts": count_table(counts, "curated"), **({"not counted": notes} if notes else {}), **pictures}
        if double.share:
            shown |= agreement_metadata(twice)
        return table_result(info, shown, checks)

    return [photo_hints, review_queue, review_decisions, curated_photos]


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
