"""Photos of one's own: what `bokehflow import` does, and the asset by which they join all others."""

import dagster as dg

from assets.building_blocks import check, count_table, progress, stage_asset, table_result
from assets.contact_sheets import contact_sheet
from pipeline.config import Project
from pipeline.operations.imports import drop_former_imports, imported_rows
from pipeline.operations.photos import photo_reader
from pipeline.operations.stages import provenance_of
from resources.home import HomeResource


def import_assets(project: Project) -> list[dg.AssetsDefinition]:
    """The asset of this module, for the project."""

    @stage_asset(
        project,
        "imported_photos",
        "collect",
        {"jpeg", "parquet"},
        description="Photos that `bokehflow import` brought, with what is listed, stored and fingerprinted of each; "
        "whatever reads collected photos reads these too.",
        check_specs=[dg.AssetCheckSpec("every_picture_is_there", asset="imported_photos")],
    )
    def imported_photos(context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        data = home.open()
        provenance = provenance_of(project, data, "imported_photos")
        frame = imported_rows(project, data, progress(context, "hashed"))
        info = data.tables.write("imported_photos", frame, provenance=provenance)
        drop_former_imports(data)
        counts = {"accepted": int(frame["reason"].isna().sum()), **frame["reason"].value_counts().to_dict()}
        accepted = frame[frame["reason"].isna()]
        sheet = contact_sheet(zip(accepted["photo_id"], map(photo_reader(data, project), accepted["sha256"]), strict=True))
        lost = frame.loc[frame["reason"] == "missing", "photo_id"]
        problems = [f"the bytes of {photo_id} are missing: import its folder again" for photo_id in lost]
        shown = {"counts": count_table(counts, "imported"), "pictures": sheet}
        return table_result(info, shown, [check("every_picture_is_there", problems, dg.AssetCheckSeverity.WARN)])

    return [imported_photos]
