"""`bokehflow home`: homes as a whole."""

from contextlib import nullcontext

import click

from pipeline.commands.options import say, tell
from pipeline.counted import counted
from pipeline.file_names import expanded


@click.group(epilog="Example: bokehflow home copy ./data s3://lab/portraits")
def home() -> None:
    """Copy homes between folders and object storage."""


@home.command(short_help="Copy a home, verified.", epilog="Example: bokehflow home copy ./data s3://lab/portraits")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--at-work", is_flag=True, help="Copy although something is at work in the home: tables may not fit together.")
def copy(source: str, target: str, at_work: bool) -> None:
    """Copy a home between folders and object storage, verified; interrupted, the same command goes on.

    FROM and TO are folders or addresses, s3://BUCKET/PREFIX, gs:// or az://. Keys, region and endpoint come from the
    environment (AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL and their like).
    """
    from pipeline.errors import ConfigError
    from pipeline.operations.forget import AT_WORK
    from storage import Home
    from storage.bucket import Bucket, is_address
    from storage.copying import bring, check_target, duplicate, send

    if is_address(source):
        if is_address(target):
            raise ConfigError("one of FROM and TO must be a folder: copy into a folder first, and from there")
        copied = bring(Bucket(source), expanded(target).resolve(), say)
    else:
        origin = Home.at(source)
        if origin.working:
            raise ConfigError(f"{source}: it holds only part of the home; copy from {origin.working.address} instead")
        if not (origin.root / "tables").is_dir():
            raise ConfigError(f"{origin.root}: there is no home (it has no tables)")
        with nullcontext() if at_work else origin.left_alone(AT_WORK):
            if is_address(target):
                copied = send(origin, Bucket(target), say)
            else:
                folder = expanded(target).resolve()
                if folder.is_relative_to(origin.root):
                    raise ConfigError(f"{folder}: it lies in the home that is to be copied")
                check_target(folder)
                copied = duplicate(origin, folder, say)
    for name in copied.gone[:20]:
        say(f"gone at the source, and now there: {name}")
    if more := copied.gone[20:]:
        say(f"… and {len(more):,} more")
    tell(
        f"{counted(copied.files, 'file')}, {copied.sent:,} of them sent ({copied.sent_bytes / 1e6:,.1f} MB); "
        f"all verified: {target}"
    )
