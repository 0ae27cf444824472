"""What packages have besides the code: manual pages that are complete, completion that completes, the unit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from farm.cli import COMMANDS, cli
from farm.cli.man_pages import man_pages
from farm.cli.package_files import COMPLETIONS, client_files, completion, server_files, write
from farm.serve.systemd_unit import unit_text

TOP = Path(__file__).parents[2]
PAGES = man_pages()
SETTINGS = re.compile(r"^\.(TH|SH|SS|PP|TP|B|BR|nf|fi)( |$)")


def commands(ctx: click.Context) -> Iterator[click.Context]:
    """A command and all below it."""
    yield ctx
    if isinstance(ctx.command, click.Group):
        for name in ctx.command.list_commands(ctx):
            found = ctx.command.get_command(ctx, name)
            assert found is not None
            if found.hidden:
                continue
            yield from commands(click.Context(found, info_name=name, parent=ctx))


ALL = {ctx.command_path: ctx for ctx in commands(click.Context(cli, info_name="farm"))}


def page(path: str) -> str:
    """The text of the page in which a command is, with plain hyphens."""
    name = "-".join(path.split()[:2])
    return PAGES[f"{name}.1"].replace(r"\-", "-")


@pytest.mark.parametrize("path", ALL)
def test_a_manual_page_has_the_command_with_all_its_options(path: str) -> None:
    ctx, text = ALL[path], page(path)
    section = text if len(path.split()) <= 2 else text.partition(f".SS {path} ")[2].partition("\n.SS ")[0]

    assert section, "it has a section of its own"
    for option in ctx.command.params:
        if isinstance(option, click.Option) and not option.hidden:
            for name in (*option.opts, *option.secondary_opts):
                assert re.search(rf"^\.B .*{re.escape(name)}\b", section, re.MULTILINE), name


def test_each_command_has_a_page_that_the_first_one_names() -> None:
    assert {f"farm-{name}.1" for name in COMMANDS} | {"farm.1"} == PAGES.keys()
    assert [] == [name for name in COMMANDS if f"farm-{name}(1)" not in page("farm")]


@pytest.mark.parametrize("name", PAGES)
def test_groff_has_no_complaint(name: str) -> None:
    argv = ["groff", "-man", "-Tutf8", "-ww", "-rCHECKSTYLE=3"]
    done = subprocess.run(argv, input=PAGES[name], capture_output=True, text=True, check=True)

    assert "" == done.stderr
    unknown = [line for line in PAGES[name].splitlines() if line.startswith((".", "'")) and not SETTINGS.match(line)]
    assert [] == unknown, "text that begins like a request is escaped"


@pytest.mark.parametrize("shell", COMPLETIONS)
def test_its_shell_reads_the_completion(shell: str, tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(completion(shell))

    if shell != "zsh":  # which is not among what tests install
        subprocess.run([shell, "-n", script], check=True)
    assert "_FARM_COMPLETE" in script.read_text()


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    command = tmp_path / "farm"
    program = "import sys; from farm.cli import main; sys.argv[0] = 'farm'; main()"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{program}" "$@"\n')
    command.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(TOP)}
    ask = 'COMP_WORDS=({words}) COMP_CWORD={last}; _farm_completion farm; echo "${{COMPREPLY[@]}}"'

    def offered(words: str, last: int) -> list[str]:
        script = completion("bash").replace("complete -o", ": complete -o") + ask.format(words=words, last=last)
        done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert ["drain"] == offered("farm node dr", 2)
    assert ["--foreground", "--force"] == offered("farm up --fo", 2)


def test_packages_put_each_file_where_debian_looks_for_it(tmp_path: Path) -> None:
    write(client_files() | server_files(), tmp_path)

    assert (tmp_path / "usr/share/man/man1/farm-run.1.gz").is_file()
    assert (tmp_path / "usr/share/bash-completion/completions/farm").is_file()
    assert "ExecStart=/usr/bin/farm up --foreground" in (tmp_path / "lib/systemd/system/farm.service").read_text()


def test_the_unit_is_one_for_systemd(tmp_path: Path) -> None:
    unit = tmp_path / "farm.service"
    unit.write_text(unit_text("/bin/true", ["--home", "/srv/a farm 100%"]))

    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, "".join(line for line in done.stderr.splitlines() if "farm.service" in line))
    assert 'ExecStart=/bin/true --home "/srv/a farm 100%%" up --foreground\n' in unit.read_text()
