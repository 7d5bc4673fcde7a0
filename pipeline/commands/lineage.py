"""`bokehflow lineage`: from a photo forwards, from a model back; text, JSON or a picture of the graph."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.options import Command, open_home, say, tell, with_home
from pipeline.counted import counted

if TYPE_CHECKING:
    from pipeline.dataset.lineage import Lineage, RunFacts
    from storage import Home


def with_output(command: Command) -> Command:
    """Give a command `--json` and `--svg`."""
    command = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)
    return click.option(
        "--svg", type=click.Path(dir_okay=False, path_type=Path), help="Draw the graph into this file as well."
    )(command)


@click.group(
    short_help="Follow photos to models, and models back to photos.", epilog="Example: bokehflow lineage model cyclegan@0"
)
def lineage() -> None:
    """Follow a photo to the models trained on it, or a model back to its photos, owners and licences."""


@lineage.command(epilog="Example: bokehflow lineage photo flickr:49512345678 --svg photo.svg")
@click.argument("photo_id")
@with_home
@with_output
def photo(photo_id: str, home: Path | None, as_json: bool, svg: Path | None) -> None:
    """From a photo to decisions, snapshots, models and evaluations.

    PHOTO_ID is an id as in the tables, Flickr's number alone, or any address by which Flickr or Wikimedia Commons name the
    photo.
    """
    from pipeline.operations.lineage import lineage_of_photo

    _show(lineage_of_photo(open_home(home), photo_id), as_json, svg)


@lineage.command(
    short_help="From a snapshot to queries, owners, licences, models.", epilog="Example: bokehflow lineage snapshot d5b6"
)
@click.argument("snapshot_id")
@with_home
@with_output
def snapshot(snapshot_id: str, home: Path | None, as_json: bool, svg: Path | None) -> None:
    """From a snapshot to queries, decisions, owners, licences and models."""
    from pipeline.operations.lineage import lineage_of_snapshot

    _show(lineage_of_snapshot(open_home(home), snapshot_id), as_json, svg)


@lineage.command(
    short_help="From a model to photos, owners, licences and code.",
    epilog="Example: bokehflow lineage model cyclegan@0 --photos photos.csv",
)
@click.argument("run")
@click.option(
    "--photos", type=click.Path(dir_okay=False, path_type=Path), help="Write every photo it was trained on to this CSV."
)
@click.option(
    "--prov",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it as W3C PROV (PROV-JSON) into this file as well.",
)
@click.option(
    "--spdx",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it as SPDX 3 (AI and Dataset profiles, JSON-LD) into this file as well.",
)
@with_home
@with_output
def model(
    run: str,
    photos: Path | None,
    prov: Path | None,
    spdx: Path | None,
    home: Path | None,
    as_json: bool,
    svg: Path | None,
) -> None:
    """From a model (its run, or RECIPE@SEED) to its photos, owners, licences, code and configuration."""
    from pipeline.dataset.lineage import model_photos
    from pipeline.operations.lineage import find_run, lineage_of_model

    chosen = open_home(home)
    answer = lineage_of_model(chosen, run)
    if as_json or photos or prov or spdx:
        facts = find_run(chosen, run)
        rows = model_photos(facts, chosen.snapshots)
        answer.facts["photos"] = rows
        if photos:
            _write_csv(photos, rows)
        if prov:
            _write_prov(prov, facts, rows, chosen.snapshots)
        if spdx:
            _write_spdx(spdx, facts, rows, chosen)
    _show(answer, as_json, svg)


def _show(answer: "Lineage", as_json: bool, svg: Path | None) -> None:
    from pipeline.atomic import write_text
    from pipeline.dataset.lineage_svg import lineage_svg

    if svg:
        write_text(svg, lineage_svg(answer))
        say(f"the graph is in {svg}")
    if not as_json:
        answer.facts.pop("photos", None)
    tell(json.dumps(answer.to_dict(), ensure_ascii=False) if as_json else answer.to_text())


def _write_csv(path: Path, rows: list[dict[str, object]]) -> None:
    from pipeline.atomic import write_text
    from pipeline.spreadsheet import csv_text, harmless

    columns = ["photo_id", "domain", "title", "owner", "owner_name", "license", "page_url"]
    write_text(path, csv_text([columns, *([harmless(row[name]) for name in columns] for row in rows)]))
    say(f"{counted(len(rows), 'photo')} in {path}")


def _write_prov(path: Path, run: "RunFacts", rows: list[dict[str, object]], snapshots: Path) -> None:
    from pipeline.atomic import write_text
    from pipeline.dataset.layout import read_facts
    from pipeline.dataset.provenance import model_provenance

    document = model_provenance(run, rows, str(read_facts(snapshots, run.snapshot)["sha256"]))
    write_text(path, json.dumps(document, indent=1) + "\n")
    say(f"the provenance is in {path}")


def _write_spdx(path: Path, run: "RunFacts", rows: list[dict[str, object]], home: "Home") -> None:
    from pipeline.atomic import write_text
    from pipeline.dataset.spdx import model_spdx
    from pipeline.operations.lineage import frozen, trained_s

    document = model_spdx(run, rows, frozen(home, run.snapshot), trained_s(home, run))
    write_text(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    say(f"the SPDX document is in {path}")
