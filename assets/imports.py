"""Photos of one's own: what `bokehflow import` does, and the asset by which they join all others."""

import dagster as dg

from assets.building_blocks import check, count_table, progress, stage_asset, table_result
from assets.contact_sheets import contact_sheet
from assets.jobs import WHY_TAG
from pipeline.config import Project
from pipeline.operations.imports import drop_former_imports, imported_rows, summary
from pipeline.operations.lists import TURN, lists_versions, withdrawn
from pipeline.operations.photos import photo_reader
from pipeline.operations.read_lists import are_only_imports_new, read_lists
from pipeline.operations.stages import provenance_of
from resources.home import HomeResource


def import_assets(project: Project) -> list[dg.AssetsDefinition]:
    """The asset of this module, for the project."""

    @stage_asset(
        project,
        "imported_photos",
        "collect",
        {"jpeg", "parquet"},
        description="Photos that `bokehflow import` and the project file's lists brought, with what is listed, stored and "
        "fingerprinted of each; whatever reads collected photos reads these too.",
        checks={
            "every_picture_is_there": "The bytes of every imported photo are in the home. Where they are not, import its "
            "folder again.",
            "lists_read_well": "Every row of the project file's lists could be read, and its picture fetched.",
        },
    )
    def imported_photos(context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        data = home.open()
        versions = lists_versions(project)
        is_asked = TURN in context.run.tags.get(WHY_TAG, TURN)
        read = read_lists(project, data) if is_asked or not are_only_imports_new(project, data) else []
        for line in summary(read).splitlines():
            context.log.info(line)
        provenance = provenance_of(project, data, "imported_photos").with_outside(**versions)
        frame = imported_rows(project, data, progress(context, "hashed"), withdrawn(project, data))
        info = data.tables.write("imported_photos", frame, provenance=provenance)
        drop_former_imports(data)
        counts = {"accepted": int(frame["reason"].isna().sum()), **frame["reason"].value_counts().to_dict()}
        accepted = frame[frame["reason"].isna()]
        sheet = contact_sheet(zip(accepted["photo_id"], map(photo_reader(data, project), accepted["sha256"]), strict=True))
        lost = frame.loc[frame["reason"] == "missing", "photo_id"]
        problems = [f"the bytes of {photo_id} are missing: import its folder again" for photo_id in lost]
        shown = {"counts": count_table(counts, "imported"), "pictures": sheet}
        wrong = [problem for one in read for problem in [*one.problems, *map(str, one.refused)]]
        checks = [
            check("every_picture_is_there", problems, dg.AssetCheckSeverity.WARN),
            check("lists_read_well", wrong, dg.AssetCheckSeverity.WARN),
        ]
        return table_result(info, shown, checks)

    return [imported_photos]
