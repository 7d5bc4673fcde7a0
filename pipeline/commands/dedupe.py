"""Commands about duplicates."""

from pathlib import Path

import click

from pipeline.commands.options import load, open_home, say, tell, with_config, with_home
from pipeline.counted import counted


@click.command(
    short_help="Write pages that show duplicates side by side.", epilog="Example: bokehflow duplicates --home demo-data"
)
@with_home
@with_config
@click.option("--pages", default=20, show_default=True, type=click.IntRange(min=1), help="Pages for each rule, at most.")
def duplicates(home: Path | None, config: Path | None, pages: int) -> None:
    """Write pages that show duplicates side by side, with rule and measure, the least sure first."""
    from pipeline.operations.duplicates import write_duplicates

    chosen = open_home(home)
    project, _ = load(chosen, config)
    index, failed = write_duplicates(project, chosen, pages)
    say("open it in a browser:")
    tell(index)
    if failed:
        words = f"{counted(len(failed), 'unreadable picture')} shown as grey"
        raise click.ClickException("\n".join([words, *failed]))
