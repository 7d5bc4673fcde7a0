"""Photos of one's own: what `bokehflow import` does, and the asset by which they join all others."""

import dagster as dg
import pandas as pd

from assets.common import check, count_table, progress, stage_asset, table_result
from assets.sheets import contact_sheet
from pipeline.config import Project
from pipeline.operations.imports import domain_tables
from pipeline.operations.months import IMPORTED
from pipeline.operations.photos import photo_reader
from pipeline.operations.versions import forgotten_photos, inputs_version
from resources.home import HomeResource


def import_assets(project: Project) -> list[dg.AssetsDefinition]:
    """The asset of this module, for the project."""

    @stage_asset(
        "imported_photos",
        "collect",
        {"jpeg", "parquet"},
        description="Photos that `bokehflow import` brought, as rows of the tables that collected photos have, under "
        f"the month `{IMPORTED}`.",
        check_specs=[dg.AssetCheckSpec("every_picture_is_there", asset="imported_photos")],
    )
    def imported_photos(context: dg.AssetExecutionContext, home: dg.ResourceParam[HomeResource]) -> dg.MaterializeResult:
        data = home.open()
        version = inputs_version(project, data, "imported_photos")
        imports = data.tables.read_or_empty("imports")
        living = imports[~imports["photo_id"].isin(forgotten_photos(data)) & imports["domain"].isin(project.domains)]
        rows = [domain_tables(project, data, living, domain, progress(context, "hashed")) for domain in project.domains]
        frame = pd.concat(rows, ignore_index=True)
        info = data.tables.write("imported_photos", frame, inputs_version=version)
        counts = {"accepted": int(frame["reason"].isna().sum()), **frame["reason"].value_counts().to_dict()}
        accepted = frame[frame["reason"].isna()]
        sheet = contact_sheet(zip(accepted["photo_id"], map(photo_reader(data, project), accepted["sha256"]), strict=True))
        lost = frame.loc[frame["reason"] == "missing", "photo_id"]
        problems = [f"the bytes of {photo_id} are missing: import its folder again" for photo_id in lost]
        shown = {"counts": count_table(counts, "imported"), "pictures": sheet}
        return table_result(info, shown, [check("every_picture_is_there", problems, dg.AssetCheckSeverity.WARN)])

    return [imported_photos]
