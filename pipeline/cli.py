"""The `bokehflow` command: the commands put together, and errors made for people."""

import sys

import click

from pipeline.commands import collecting, dedupe, emulation, lineage, masks, reporting, review, running, snapshots, training
from pipeline.errors import BokehflowError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bokehflow")
def cli() -> None:
    """From Flickr searches to curated portrait datasets, and the models trained and judged on them."""


for command in (
    running.demo,
    running.run,
    running.dev,
    running.status,
    running.doctor,
    running.weights,
    masks.mask_sheet,
    review.review,
    dedupe.duplicates,
    collecting.import_photos,
    collecting.forget,
    snapshots.snapshot,
    lineage.lineage,
    training.train,
    training.translate,
    training.export_model,
    reporting.report,
    emulation.emulator,
    emulation.render_studio,
):
    cli.add_command(command)


def main() -> None:
    """Entry point: errors made for people are printed without a traceback, with exit code 1."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit("stopped")
    except click.ClickException as error:
        error.show()
        sys.exit(1)
    except BokehflowError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; run the same command again to go on")


if __name__ == "__main__":
    main()
