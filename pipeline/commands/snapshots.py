"""`bokehflow snapshot`: what is frozen, whether it is sound, what changed, and taking it elsewhere."""

import json
import sys
from pathlib import Path

import click

from pipeline.commands.options import load, open_home, say, tell, with_config, with_home
from pipeline.counted import counted
from pipeline.file_names import child
from pipeline.licenses import USES

SHARED = "derivatives"
"""The use that a licence must allow for a photo to be published: what goes out is cropped and scaled."""
SHOWN = 20
"""Findings and changes that are printed; the rest is counted, and `--json` has all."""


@click.group(short_help="List, verify, compare, export and publish snapshots.", epilog="Example: bokehflow snapshot list")
def snapshot() -> None:
    """Look at frozen snapshots, verify, compare, export, publish, restore or delete them. The beginning of an id will do."""


@snapshot.command("list", epilog="Example: bokehflow snapshot list --json")
@with_home
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_command(home: Path | None, as_json: bool) -> None:
    """List the snapshots, newest first."""
    from pipeline.dataset.layout import list_snapshots, read_facts, read_forgotten

    folder = open_home(home).snapshots
    found = [
        {"id": name, "counts": read_facts(folder, name)["counts"], "forgotten": len(read_forgotten(child(folder, name)))}
        for name in list_snapshots(folder)
    ]
    if as_json:
        tell(json.dumps({"snapshots": found}))
        return
    for entry in found:
        parts = ", ".join(f"{domain} {n['train']}+{n['test']}" for domain, n in entry["counts"].items())
        tell(f"{entry['id']}  {parts} (train+test)" + (f", {entry['forgotten']} forgotten" * bool(entry["forgotten"])))
    if not found:
        say(f"no snapshot in {folder}; `bokehflow run` freezes one")


@snapshot.command(
    short_help="Show counts, licences, owners, queries and models.", epilog="Example: bokehflow snapshot show d5b6"
)
@click.argument("snapshot_id")
@with_home
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(snapshot_id: str, home: Path | None, as_json: bool) -> None:
    """Show what a snapshot holds: counts, licences, owners, queries, models, and where its files lie."""
    from pipeline.dataset.layout import find_snapshot, read_facts
    from pipeline.operations.lineage import lineage_of_snapshot

    chosen = open_home(home)
    identifier = find_snapshot(chosen.snapshots, snapshot_id)
    answer = lineage_of_snapshot(chosen, identifier)
    folder = child(chosen.snapshots, identifier)
    answer.facts = {
        "folder": str(folder),
        "sha256": read_facts(chosen.snapshots, identifier)["sha256"],
        **answer.facts,
        "files": sorted(path.name for path in folder.iterdir()),
    }
    tell(json.dumps(answer.to_dict(), ensure_ascii=False) if as_json else answer.to_text())


@snapshot.command(short_help="Hash every byte again, and name what differs.", epilog="Example: bokehflow snapshot verify")
@click.argument("snapshot_id", required=False)
@with_home
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(snapshot_id: str | None, home: Path | None, as_json: bool) -> None:
    """Hash every byte of a snapshot again (without an id, of all); exit code 1 names the files and rows that differ."""
    from pipeline.dataset.layout import find_snapshot, list_snapshots
    from pipeline.dataset.verify import verify_snapshot
    from pipeline.errors import BokehflowError

    chosen = open_home(home)
    folder = chosen.snapshots
    names = [find_snapshot(folder, snapshot_id)] if snapshot_id else list_snapshots(folder)
    if not names:
        say(f"{folder}: there is no snapshot to verify")
    results, failed = [], {}
    for name in names:
        try:
            results.append(verify_snapshot(folder, name, chosen.shards))
        except (BokehflowError, OSError) as error:
            failed[name] = str(error)
    if as_json:
        shown = [
            {**vars(result), "sound": result.sound, "findings": [vars(finding) for finding in result.findings]}
            for result in results
        ]
        shown += [{"identifier": name, "sound": False, "findings": [], "error": error} for name, error in failed.items()]
        tell(json.dumps({"snapshots": shown}))
    for result in [] if as_json else results:
        state = "sound" if result.sound else counted(len(result.findings), "finding")
        tell(
            f"{result.identifier}: {state}; {counted(result.pictures, 'picture')} in {counted(result.shards, 'shard')}, "
            f"{result.hashed_bytes / 1e6:,.1f} MB hashed"
        )
        for photo_id in list(result.forgotten)[:SHOWN]:
            tell(f"  {photo_id}: forgotten")
        _some([f"  {finding}" for finding in result.findings])
    for name, error in failed.items():
        say(f"error: {name} could not be verified: {error}")
    sys.exit(0 if not failed and all(result.sound for result in results) else 1)


@snapshot.command(
    short_help="Show which photos came, went, moved or changed.", epilog="Example: bokehflow snapshot diff 1f3a d5b6"
)
@click.argument("before")
@click.argument("after")
@with_home
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def diff(before: str, after: str, home: Path | None, as_json: bool) -> None:
    """Show which photos came, went, moved or changed from snapshot BEFORE to AFTER, and why."""
    from pipeline.operations.snapshots import diff_with_reasons

    found = diff_with_reasons(open_home(home), before, after)
    if as_json:
        tell(json.dumps(found.to_dict(), ensure_ascii=False))
        return
    counts = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in found.counts().items() if count)
    tell(f"{found.before} → {found.after}: {counts or 'nothing changed'}; {found.unchanged:,} unchanged")
    for kind, count in found.counts().items():
        lines = [
            f"  {change.photo_id}: {change.what}" + (f"; {change.why}" if change.why else "")
            for change in found.changes
            if change.kind == kind
        ]
        if count:
            tell(kind.replace("_", " "))
            _some(lines)


@snapshot.command(
    short_help="Export a snapshot with attribution and datasheet.",
    epilog="Example: bokehflow snapshot export d5b6 portraits --format hf",
)
@click.argument("snapshot_id")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["folders", "hf", "webdataset", "labelstudio", "fiftyone", "bundle"]),
    default="folders",
    show_default=True,
    help="folders: trainA, trainB, testA, testB of PNGs; hf: a Hugging Face dataset; webdataset: tar shards; "
    "labelstudio, fiftyone: for people to look at and decide; bundle: manifest and masks, no photo.",
)
@click.option("--rgba", is_flag=True, help="With folders: PNGs with the subject's alpha as fourth channel.")
@click.option("--use", type=click.Choice(list(USES)), help="Only photos whose licence allows this use.")
@click.option("--per-shard", type=click.IntRange(1, 99_999), help="With webdataset: pictures in a shard at most (1000).")
@click.option("--image-prefix", metavar="URL", help="With labelstudio: what stands before each picture's file in its task.")
@with_home
@with_config
def export(
    snapshot_id: str,
    folder: Path,
    format_name: str,
    rgba: bool,
    use: str | None,
    per_shard: int | None,
    image_prefix: str | None,
    home: Path | None,
    config: Path | None,
) -> None:
    """Export a snapshot into the new FOLDER, with attribution, datasheet and Croissant metadata."""
    from pipeline.dataset.export import PER_SHARD, ExportPlan, export_snapshot
    from pipeline.dataset.layout import find_snapshot
    from pipeline.dataset.restore import export_bundle
    from pipeline.errors import ConfigError
    from pipeline.licenses import allowed_for

    chosen = open_home(home)
    identifier = find_snapshot(chosen.snapshots, snapshot_id)
    if format_name == "bundle":
        if use or rgba or per_shard or image_prefix:
            raise ConfigError("a bundle holds no photo, so --use, --rgba, --per-shard and --image-prefix mean nothing to it")
        count = export_bundle(chosen.snapshots, identifier, {"mask": chosen.masks, "depth": chosen.depth}, folder)
        say(f"{folder}: manifest and {counted(count, 'mask')}; `bokehflow snapshot restore {folder}` rebuilds it elsewhere")
        return
    if rgba and format_name != "folders":
        raise ConfigError("--rgba is for --format folders; hf and webdataset have the alpha as a part of its own")
    if per_shard and format_name != "webdataset":
        raise ConfigError("--per-shard is for --format webdataset; no other format has shards of that kind")
    if image_prefix and format_name != "labelstudio":
        raise ConfigError("--image-prefix is for --format labelstudio; no other format says where its pictures are served")
    project, _ = load(chosen, config)
    licenses = allowed_for(use) if use else None
    domains = (project.training.domain_a, project.training.domain_b)
    plan = ExportPlan(format_name, *domains, rgba, licenses, use, per_shard or PER_SHARD, image_prefix)
    if format_name == "labelstudio":
        from dataclasses import replace

        from pipeline.operations.curation import hints_of

        plan = replace(plan, hints=hints_of(chosen))
    done = export_snapshot(chosen.snapshots, identifier, chosen.shards, folder, plan)
    say(f"{folder}: " + ", ".join(f"{name} {count:,}" for name, count in done.counts.items()))
    for reason, count in done.left_out.items():
        say(f"left out: {count:,} ({reason})")


@snapshot.command(
    short_help="Publish a snapshot on the Hugging Face Hub.",
    epilog="Example: bokehflow snapshot publish d5b6 ann/portraits --dry-run",
)
@click.argument("snapshot_id")
@click.argument("repo", metavar="OWNER/NAME")
@click.option("--dry-run", is_flag=True, help="Show every file and the card, and send nothing.")
@click.option("--use", type=click.Choice(list(USES)), help="Only photos whose licence allows this use (derivatives).")
@click.option("--all-licenses", is_flag=True, help="Photos of every licence, unknown ones too; All Rights Reserved never.")
@click.option("--private", is_flag=True, help="Make the repository, where it is new, for yourself alone.")
@with_home
@with_config
def publish(
    snapshot_id: str,
    repo: str,
    dry_run: bool,
    use: str | None,
    all_licenses: bool,
    private: bool,
    home: Path | None,
    config: Path | None,
) -> None:
    """Publish a snapshot as the dataset OWNER/NAME on the Hugging Face Hub: pictures that may be shared, a bundle for all.

    The token comes from HF_TOKEN, the server from HF_ENDPOINT.
    """
    import shutil

    from pipeline.atomic import own_name
    from pipeline.dataset import hub
    from pipeline.dataset.export import ExportPlan
    from pipeline.dataset.layout import find_snapshot
    from pipeline.dataset.published import every_license, make_ready
    from pipeline.errors import ConfigError
    from pipeline.licenses import allowed_for

    if use and all_licenses:
        raise ConfigError("--use and --all-licenses contradict each other; give one of them")
    hub.check_repo(repo)
    chosen = open_home(home)
    identifier = find_snapshot(chosen.snapshots, snapshot_id)
    project, _ = load(chosen, config)
    licenses = every_license(chosen.snapshots, identifier) if all_licenses else allowed_for(use or SHARED)
    domains = (project.training.domain_a, project.training.domain_b)
    plan = ExportPlan("hf", *domains, licenses=licenses, use=None if all_licenses else use or SHARED, is_rehearsal=dry_run)
    if all_licenses:
        say("WARNING: --all-licenses publishes photos whose licence may forbid it. You answer for every one of them.")
    folder = child(chosen.root, own_name())
    try:
        ready = make_ready(
            chosen.snapshots, identifier, chosen.shards, {"mask": chosen.masks, "depth": chosen.depth}, folder, plan
        )
        for reason, count in ready.exported.left_out.items():
            say(f"left out: {count:,} ({reason}); their ids, titles, owners, digests and masks are in the bundle")
        if dry_run:
            for name, size in ready.files.items():
                tell(f"{'~' * (name in ready.estimated) + f'{size:,}':>14}  {name}")
            total = f"{'~' * bool(ready.estimated)}{sum(ready.files.values()):,}"
            tell(f"{total:>14}  bytes in {counted(len(ready.files), 'file')}\n\n{ready.card}")
            say(f"dry run: nothing was sent to {repo}")
            return
        say(f"sending {sum(ready.files.values()) / 1e6:,.1f} MB in {counted(len(ready.files), 'file')}")
        done = hub.publish(folder, repo, f"bokehflow snapshot {identifier}", private)
        tell(f"{done.url}: {counted(done.files, 'file')}, checked; commit {done.commit}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@snapshot.command(
    short_help="Rebuild a snapshot, by its id or from a bundle.", epilog="Example: bokehflow snapshot restore d5b6"
)
@click.argument("source")
@click.option("--without-missing", is_flag=True, help="Freeze what could be restored, as a snapshot of its own.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_home
@with_config
def restore(source: str, without_missing: bool, as_json: bool, home: Path | None, config: Path | None) -> None:
    """Rebuild a snapshot, by its id or from a bundle's folder: fetch missing photos, check every digest.

    Exit code 1 names what Flickr no longer has.
    """
    from contextlib import ExitStack

    from pipeline.operations.emulated_flickr import emulated_flickr
    from pipeline.operations.forget import AT_WORK
    from pipeline.operations.snapshots import freeze_what_is_left
    from pipeline.operations.snapshots import restore as restore_into

    chosen = open_home(home)
    project, _ = load(chosen, config)
    with ExitStack() as stack:
        stack.enter_context(chosen.lock("run"))
        # A photo that is forgotten meanwhile is looked for once more by the next run.
        stack.enter_context(chosen.lock(AT_WORK, shared=True))
        stack.enter_context(emulated_flickr(chosen, project))
        done = restore_into(chosen, project, source)
        frozen = done.identifier if done.whole else freeze_what_is_left(chosen, source) if without_missing else None
    say(
        f"{done.identifier}: {counted(done.pictures, 'picture')}, of these {done.already_there:,} as they were, "
        f"{done.made:,} made anew, {counted(done.fetched, 'photo')} fetched"
    )
    if as_json:
        tell(json.dumps({**vars(done), "whole": done.whole, "frozen": frozen}, ensure_ascii=False))
    else:
        _some([f"  {photo_id}: missing, {why}" for photo_id, why in done.missing.items()])
        _some([f"  {photo_id}: differs, {why}" for photo_id, why in done.differing.items()])
        for name in done.damaged:
            tell(f"  {name} is not as it was frozen, and nothing here tells what it was; restore from a bundle or a copy")
        rest = "not whole, and so not put in place; --without-missing freezes the rest under an id of its own"
        tell(frozen or ("not whole" if done.damaged else rest))
    sys.exit(0 if done.whole else 1)


@snapshot.command(
    short_help="Delete snapshots, and shards that nothing needs.", epilog="Example: bokehflow snapshot delete 1f3a"
)
@click.argument("snapshot_ids", nargs=-1, metavar="[ID]...")
@click.option("--with-models", is_flag=True, help="Delete the models that were trained on them, too.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and delete nothing.")
@with_home
@with_config
def delete(snapshot_ids: tuple[str, ...], with_models: bool, dry_run: bool, home: Path | None, config: Path | None) -> None:
    """Delete snapshots with what was made of them, and shards that nothing needs any more; without an ID, those alone.

    Photos, masks and decisions stay, and so does the snapshot of what the tables hold now.
    """
    from contextlib import nullcontext

    from pipeline.dataset.layout import find_snapshot
    from pipeline.errors import StorageError
    from pipeline.operations.forget import quiet_home
    from pipeline.operations.snapshots import delete as delete_all
    from pipeline.operations.snapshots import doomed

    chosen = open_home(home)
    identifiers = sorted({find_snapshot(chosen.snapshots, one) for one in snapshot_ids})
    with nullcontext(True) if dry_run else quiet_home(chosen) as is_quiet:
        if not is_quiet:
            raise StorageError(f"{chosen.root}: a process is at work in this home; end it first, or wait for it")
        asks = with_models and chosen.project_file(config).exists()
        depth_by = load(chosen, config)[0].depth.estimator if asks else "none"
        what = doomed(chosen, identifiers, with_models, depth_by)
        size = sum(chosen.bytes_below(path) for path in what.paths)
        if identifiers and chosen.dagster.exists() and not dry_run:
            from assets.headless import open_instance
            from assets.partitions import SNAPSHOTS

            with open_instance(chosen) as instance:
                for one in identifiers:
                    instance.delete_dynamic_partition(SNAPSHOTS.name or "", one)
        if not dry_run:
            delete_all(chosen, what)
    for path in (*what.models, *what.made, *what.snapshots):
        tell(f"  {path.relative_to(chosen.root)}")
    counts = f"{counted(len(identifiers), 'snapshot')}, {counted(len(what.models), 'model')}, "
    shards = f"{counted(len(what.shards), 'shard')} that nothing else needs"
    say(f"{'would be deleted' if dry_run else 'deleted'}: {counts}{shards}; {size / 1e6:,.1f} MB")


def _some(lines: list[str]) -> None:
    for line in lines[:SHOWN]:
        tell(line)
    if len(lines) > SHOWN:
        tell(f"  … and {len(lines) - SHOWN:,} more (--json has all)")
