"""`bokehflow init`: a project of one's own, without a checkout to copy from."""

import shlex
from pathlib import Path

import click

from pipeline.commands.options import say
from pipeline.package_files import SETTINGS_PAGE, STARTING_PROJECTS

FIRST = {
    "flickr": "set FLICKR_API_KEY and FLICKR_API_SECRET",
    "commons": "write an address of yours as its contact: Commons needs one, and no key",
}
"""What each source wants before it is asked."""
NEXT = """\
{path} is written. What to do next:

  cd {folder}
  edit {path.name}: its queries are those of the 2018 study; every key is explained in
      {page}
  {first}; or, with photos of your own, take out the queries and run
      bokehflow import PHOTOS --domain ordinary
  bokehflow doctor      says whether anything is missing
  bokehflow run         collects, and stops when photos wait for your review
  bokehflow review      opens the page on which you review them
  bokehflow run         goes on from there, to a dataset\
"""


@click.command(
    short_help="Write a commented project file to start from.", epilog="Example: bokehflow init portraits --source commons"
)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--source", type=click.Choice(list(STARTING_PROJECTS)), default="flickr", show_default=True, help="Whom the queries ask."
)
@click.option("--name", help="The project's name, shown in reports; without it, that of the folder.")
def init(folder: Path, source: str, name: str | None) -> None:
    """Write a commented project file into FOLDER, and say what to do next. What is there is never overwritten."""
    from pipeline.operations.new_project import write_project

    path = write_project(folder, name, source)
    say(NEXT.format(path=path, folder=shlex.quote(str(folder)), page=SETTINGS_PAGE, first=FIRST[source]))
