"""The `bokehflow` command: the commands put together, and errors made for people."""

import io
import os
import sys
import tempfile
import traceback

import click

from pipeline.commands import (
    beginning,
    collecting,
    dedupe,
    emulation,
    homes,
    lineage,
    masks,
    refocusing,
    reporting,
    review,
    running,
    snapshots,
    training,
)
from pipeline.commands.options import say
from pipeline.errors import DEFECT, BokehflowError, database_trouble, is_of_machine, machine_words
from pipeline.memory import keep_freed_memory
from pipeline.plain_text import plain_lines

UMASK_VARIABLE = "BOKEHFLOW_FILES"
"""Who may read what is written: `private`, or `group`."""


THEMES: dict[str, tuple[click.Command, ...]] = {
    "Begin": (beginning.init, running.demo, running.doctor, running.weights),
    "Make what is due": (running.run, running.dev, running.status),
    "Photos": (collecting.import_photos, dedupe.duplicates, collecting.forget),
    "Decide": (review.review, review.import_decisions, masks.mask_sheet),
    "Datasets": (snapshots.snapshot, lineage.lineage, homes.home),
    "Models": (training.train, training.translate, refocusing.refocus, training.export_model, training.publish_model),
    "Judge": (reporting.report, reporting.compare, reporting.benchmark),
    "Practise": (emulation.emulator, emulation.render_studio),
}
"""All commands, in the order in which a study needs them."""


class Overview(click.Group):
    """Commands by theme instead of by letter."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each theme, all of them equally wide."""
        widest = max(map(len, self.commands))
        for theme, commands in THEMES.items():
            with formatter.section(theme):
                room = formatter.width - widest - 6
                formatter.write_dl([(f"{one.name:<{widest}}", one.get_short_help_str(room)) for one in commands])


@click.group(cls=Overview, epilog="Example: bokehflow demo", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bokehflow")
def cli() -> None:
    """From Flickr searches to curated portrait datasets, and the models trained and judged on them."""


for command in (one for theme in THEMES.values() for one in theme):
    cli.add_command(command)


def main() -> None:
    """Entry point: errors made for people are printed without a traceback, with exit code 1.

    What nobody expected ends with 70 and leaves its traceback in a file.
    """
    os.umask(umask_of(os.environ.get(UMASK_VARIABLE)))
    _escape_what_the_terminal_lacks()
    keep_freed_memory()
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit("stopped")
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        say(shown.getvalue().rstrip("\n"))
        sys.exit(1)
    except BokehflowError as error:
        sys.exit(plain_lines(f"error: {error}"))
    except KeyboardInterrupt:
        sys.exit("stopped; run the same command again to go on")
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        sys.exit(last_resort(error))


def _escape_what_the_terminal_lacks() -> None:
    """A terminal of Latin letters shows an arrow, or a title in Greek, as `\\u2192`: it is no reason to end a run."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def umask_of(written: str | None) -> int:
    """Which rights new files do not get: nobody else has any, or with `group` those of the group."""
    masks = {None: 0o077, "": 0o077, "private": 0o077, "group": 0o007}
    if written not in masks:
        sys.exit(f"error: {UMASK_VARIABLE} is {written!r}; it may be private (the default) or group")
    return masks[written]


def last_resort(error: Exception) -> int:
    """Tell of a defect, or of a machine that fails, in a sentence; the traceback goes to a file. Returns the exit code."""
    if isinstance(error, OSError) and is_of_machine(error):
        return _told_of_machine(error, "a file")
    if trouble := database_trouble(error):
        return _told_of_machine(trouble, "Dagster's records")
    descriptor, path = tempfile.mkstemp(prefix="bokehflow-", suffix=".log")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"bokehflow {' '.join(sys.argv[1:])}\n\n")
        file.writelines(traceback.format_exception(error))
    words = "".join(each if each.isprintable() else " " for each in f"{type(error).__name__}: {error}")[:200]
    say(f"error: something unexpected went wrong ({words}); the details are in {path}, please report them")
    return DEFECT


def _told_of_machine(error: OSError, otherwise: str) -> int:
    say(f"error: {machine_words(error, otherwise)} and run the same command again")
    return 1


if __name__ == "__main__":
    main()
