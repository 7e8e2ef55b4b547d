# SPDX-License-Identifier: MIT
"""What the shells offer: bash and fish are asked, zsh reads its files."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPLETIONS = ROOT / "contrib/completions"

# The function's own view, without the readline that would call it.
BASH = """
compopt() {{ :; }}
source /usr/share/bash-completion/bash_completion
source {file}
COMP_WORDS=({words}) COMP_CWORD={index} COMP_LINE={line} COMP_POINT={point}
{function} {command} {word} {previous}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def split_like_readline(line):
    """Blanks separate, ":" and "=" are words of their own."""
    words = []
    for word in re.split(r"(?<!\\) +", line):
        words += [piece for piece in re.split(r"([:=]+)", word) if piece] or [""]
    return words


def bash(line, home="/nonexistent", path="/usr/bin:/bin"):
    words = split_like_readline(line)
    command = words[0]
    script = BASH.format(file=COMPLETIONS / "bash" / command, words=" ".join(map(shlex.quote, words)), index=len(words) - 1,
                         line=shlex.quote(line), point=len(line.encode()), function=f"_{command}", command=command,
                         word=shlex.quote(words[-1]), previous=shlex.quote(words[-2]))
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, env={"HOME": str(home), "PATH": path})
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return sorted(word for word in done.stdout.splitlines() if word)


def fish(line, home="/nonexistent", path="/usr/bin:/bin"):
    files = " ".join(f"source {path};" for path in sorted((COMPLETIONS / "fish").iterdir()))
    done = subprocess.run(["fish", "--no-config", "-c", f"{files} complete -C {shlex.quote(line)}"], capture_output=True, text=True,
                          env={"HOME": str(home), "PATH": path})
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return sorted(row.split("\t")[0] for row in done.stdout.splitlines())


@pytest.mark.parametrize("path", [*sorted((COMPLETIONS / "zsh").iterdir())], ids=lambda path: path.name)
def test_zsh_can_read_it(path):
    done = subprocess.run(["zsh", "-n", path], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    assert path.read_text().startswith(f"#compdef {path.name[1:]}\n")


# -- popfsctl


@pytest.mark.parametrize("shell", [bash, fish])
def test_commands(shell):
    assert shell("popfsctl ") == ["bin", "commit", "prefetch", "refresh", "rollback", "status", "umount", "undelete", "verify"]
    assert shell("popfsctl -q un") == ["undelete"]
    assert "--json" in shell("popfsctl --")


@pytest.mark.parametrize("shell", [bash, fish])
def test_mount_points_are_those_of_popfs(shell, fake):
    assert str(fake.mountpoint) in shell("popfsctl refresh /tmp/popfs-ctl-")
    assert shell(f"popfsctl refresh {fake.mountpoint}") == [str(fake.mountpoint)]


@pytest.mark.parametrize("shell", [bash, fish])
def test_undelete_offers_what_lies_in_the_trash(shell, unmounted):
    trash = unmounted.mountpoint / ".popfs/trash"
    trash.mkdir(parents=True)
    for name in ("a1.eml", "a2.eml", "b1.eml", "with blank.eml"):
        (trash / name).touch()
    (unmounted.mountpoint / "c.eml").touch()
    assert shell(f"popfsctl undelete {unmounted.mountpoint} a") == ["a1.eml", "a2.eml"]
    assert shell(f"popfsctl undelete {unmounted.mountpoint} a1.eml b") == ["b1.eml"]
    assert shell(f"popfsctl undelete {unmounted.mountpoint} with") in (["with\\ blank.eml"], ["with blank.eml"])
    assert shell(f"popfsctl prefetch {unmounted.mountpoint} c") == ["c.eml"]
    assert shell(f"popfsctl status {unmounted.mountpoint} ") == []


@pytest.mark.parametrize("shell", [bash, fish])
def test_bin_offers_what_lies_in_the_bin(shell, unmounted):
    program = unmounted.folder / "popfsctl"
    program.write_text("#!/bin/sh\necho \"a1.eml  2026-11-25 09:12  2026-11-22 14:30  4.1 KiB  $1  $2\"\n"
                       "echo 'with blank.eml  2026-11-25 09:12  -  3 B  -  a  2026-11-25 09:12  b'\n")
    program.chmod(0o755)
    path = f"{unmounted.folder}:/usr/bin:/bin"
    assert shell(f"popfsctl bin {unmounted.mountpoint} a", path=path) == ["a1.eml"]
    assert shell(f"popfsctl bin {unmounted.mountpoint} w", path=path) in (["with\\ blank.eml"], ["with blank.eml"])


# -- popfs


def option_names():
    rows = (ROOT / "src/cli/options.c").read_text().split("option_rows[] = {", 1)[1].split("};", 1)[0]
    names = set(re.findall(r'^    \{"(\w+)", KIND', rows, re.MULTILINE))
    assert len(names) > 30
    return names


@pytest.mark.parametrize("shell", [bash, fish])
def test_every_option_that_popfs_knows_is_offered(shell):
    offered = {word.split("=")[0] for word in shell("popfs -o ")}
    assert offered - {"default_permissions"} == option_names()


def test_zsh_knows_every_option():
    text = (COMPLETIONS / "zsh/_popfs").read_text()
    assert set(re.findall(r"'(\w+)\[", text)) - {"default_permissions"} == option_names()


def test_bash_completes_behind_commas_and_values():
    assert bash("popfs -o ro,t") == ["ro,timeout=", "ro,tls=", "ro,top="]
    assert bash("popfs -o ro,tls=") == ["off", "on", "starttls"]
    assert bash("popfs -o tls=o") == ["off", "on"]
    assert bash("popfs -o tls=on,siz") == ["on,size="]
    assert bash("popfs -o size=s") == ["strict"]
    assert bash("popfs -o auth=scram-sha-256") == ["scram-sha-256", "scram-sha-256-plus"]


def test_fish_completes_behind_commas_and_values():
    assert fish("popfs -o ro,tls=o") == ["ro,tls=off", "ro,tls=on"]
    assert fish("popfs -o siz") == ["size=auto", "size=strict"]


def test_files_and_folders(tmp_path):
    (tmp_path / "password").touch()
    (tmp_path / "point").mkdir()
    assert bash(f"popfs -o passfile={tmp_path}/p") == [f"{tmp_path}/password", f"{tmp_path}/point"]
    assert bash(f"popfs pops://h {tmp_path}/p") == [f"{tmp_path}/point"]
    assert fish(f"popfs pops://h {tmp_path}/p") == [f"{tmp_path}/point/"]


def test_sources_are_schemes_and_accounts(tmp_path):
    (tmp_path / ".config/popfs").mkdir(parents=True)
    (tmp_path / ".config/popfs/config").write_text("[work]\nsource = pops://a@example.org\n[home]\n")
    assert bash("popfs ", tmp_path) == ["home", "pop3://", "pops://", "work"]
    assert fish("popfs w", tmp_path) == ["work"]
    assert bash("popfs -o ro pops:", tmp_path) == ["//"]
