#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The proof of the simulation: faults are planted into a copy of the source, one at a time, and each must be found.

planted.py [--seconds N] [NAME…]    all of them, or these; prints what was found, and after how long
planted.py --check                  only whether each still applies to the source

A fault is a change of text. One that does not apply any more is an error: it has to follow the source. HISTORY are
bugs that popfs once had; the commit that mended each is named.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PLANTED = {  # name: [(file, text, the text that takes its place)]
    "believes QUIT always": [
        ("src/sync/proof.c", "if ((unseen && !doubted) || !may_log_in_soon(sync, now_ms))", "if (unseen || !unseen)"),
        ("src/sync/proof.c", "    if (sync->quit_is_doubted) {\n", "    if (false) {\n"),
    ],
    "matches by position": [("src/sync/listed.c", "map[position] = msgnums[i];", "map[i] = msgnums[i];")],
    "does not sync the journal": [
        ("src/store/removals.c", "    if (journal_is_synced(&store->journal) && !store->is_name_owed)\n", "    if (fault == FAULT_NONE)\n"),
    ],
    "forgets RSET": [("src/sync/commit.c", "    if (!close_door(sync)) {\n", "    if (close_door(sync), false) {\n")],
    "keeps half a body": [
        (
            "src/sync/session.c",
            "    engine_link_drop(sync);\n    recover_jobs(",
            "    if (sync->body != NULL && sync->stream == NULL && sync->raw_octets > 0 && sync->jobs.in_flight.first->kind == JOB_BODY)\n"
            "        engine_receive_end(sync, sync->jobs.in_flight.first);\n"
            "    engine_link_drop(sync);\n    recover_jobs(",
        )
    ],
    "gives a body to its neighbour": [
        (
            "src/sync/receive.c",
            "    if (sync->body != NULL)\n        fault = keep(sync, job, &body);\n",
            "    if (sync->body != NULL)\n        fault = keep(sync, job, &body);\n"
            "    struct job *next = sync->jobs.in_flight.first == job ? job->next : sync->jobs.in_flight.first;\n"
            "    if (sync->raw_octets % 5 == 0 && next != NULL && next->kind == JOB_BODY) {\n"
            "        struct sync_request *requests = job->requests;\n"
            "        job->requests = next->requests;\n"
            "        next->requests = requests;\n"
            "    }\n",
        ),
        ("src/sync/job.c", "        if (request->message == job->message && !is_proof_only(", "        if (!is_proof_only("),
    ],
    "takes a lost QUIT for done": [
        (
            "src/sync/commit.c",
            "    if (commit->phase == COMMIT_PROVING) {\n        if (!waits_for_maildrop(",
            "    if (commit->phase == COMMIT_QUITTING) {\n"
            "        (void)engine_quit_believe(sync);\n"
            "        return;\n"
            "    }\n"
            "    if (commit->phase == COMMIT_PROVING) {\n        if (!waits_for_maildrop(",
        )
    ],
    "takes unsynced bodies for whole": [
        ("src/store/store.c", "*ret_opening_max = same_boot ? state->opening : state->synced;", "*ret_opening_max = state->opening;"),
    ],
    "notes no removal": [("src/sync/sync.c", "    return outlives_session(sync, message) ? note_lines(sync, &line, 1) : FAULT_NONE;", "    return going ? FAULT_NONE : note_lines(sync, &line, 1);")],
    "takes the one that was asked for not back, and says so": [
        ("src/sync/engine.c", "        fault = request->message != NULL ? note_one(sync, request->message, &restored)\n", "        fault = request->message != NULL ? FAULT_NONE\n"),
    ],
    "leaves a message of the listing out": [("src/sync/listing.c", "        if (same)\n            add_row(", "        if (same && at != 5)\n            add_row(")],
    "dates a message by the header before": [("src/sync/receive.c", "    header_clear(&sync->header);\n    sync->body_failure", "    sync->body_failure")],
    "stars no secret": [("src/pop3/veil.c", "    if (veil->password.len == 0 || text.len == 0)\n", "    if (veil->password.len < 4096 || text.len == 0)\n")],
    "deletes what has the UIDL now": [("src/sync/evidence.c", "        return EVIDENCE_NEEDED;\n", "        return EVIDENCE_NOT_NEEDED;\n")],
    "shows a kept body for whatever has its UIDL": [
        ("src/sync/identity.c", "    return !maildrop_message_is_proven(message) &&\n           (maildrop_", "    return message == NULL &&\n           (maildrop_"),
        ("src/sync/identity.c", "    if (!chance_draw(&drawn, sizeof(drawn)) ||", "    if (sync != NULL || !chance_draw(&drawn, sizeof(drawn)) ||"),
    ],
    "believes half a listing at once": [("src/sync/belief.c", "    if (!doubtful)\n", "    if (!contradicts)\n")],
    "hears no silence": [("src/sync/link.c", "    if (now_ms < give_up_ms(link))\n", "    if (link != NULL)\n")],
    "lets answers drip": [
        ("src/sync/link.c", "earlier(flow_line_by_ms(&link->flow, patience_ms(link)),\n                           flow_answer_by_ms(&link->flow, link->timeout_ms))", "INT64_MAX"),
        ("src/sync/engine.c", "    LOGIN_MS_MAX = 600000,", "    LOGIN_MS_MAX = 600000000,"),
    ],
    "believes every marker": [("src/sync/mark.c", "    if (verdict == MARKER_FAILS) {\n", "    if (verdict == MARKER_FAILS && sync == NULL) {\n")],
    "loses a CR between two reads": [("src/sync/eol.c", "    bool keep = eol->cr && next != '\\n';", "    bool keep = eol->cr && next != '\\n' && eol->out.len > 0;")],
}

HISTORY = {
    "487a8c0 a wish counts before it is noted": [
        (
            "src/sync/sync.c",
            "    if (fault == FAULT_NONE)\n        fault = note_wish(sync, message, going);\n    if (fault == FAULT_NONE)\n        set_going(sync, message, going);\n",
            "    if (fault == FAULT_NONE) {\n        set_going(sync, message, going);\n        fault = note_wish(sync, message, going);\n    }\n",
        )
    ],
    "a38ad35 what a QUIT may have deleted is taken back": [
        ("src/sync/sync.c", "    return !going && maildrop_message_is_leaving(message) ? FAULT_BUSY : FAULT_NONE;", "    return FAULT_NONE;"),
    ],
    "b6e8ec3 one that QUIT is about keeps all others in the trash": [
        ("src/sync/engine.c", "        if (fault == FAULT_BUSY)\n            outcome = fault;\n        else if (fault", "        if (fault"),
    ],
    "ded1f22 nobody answers who waits for a stream that fails": [
        ("src/sync/stream.c", "    stream_fail(sync, stream, fault);\n}\n\nvoid engine_stream_give_up", "    stream->fault = fault;\n    store_body_free(stream->body);\n    stream->body = NULL;\n}\n\nvoid engine_stream_give_up"),
    ],
    "7615e56 a commit is done that no session could prove": [
        ("src/sync/proof.c", "        leave_unproven(sync, failure);", "        (void)engine_quit_believe(sync);"),
    ],
}


def copy_source(folder):
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, target)


def build(folder):
    return subprocess.run(["ninja", "-C", folder / "build", "tests/sim/sim"], capture_output=True, text=True)


def plant(folder, changes):
    for name, text, other in changes:
        path = folder / name
        source = path.read_text()
        if source.count(text) != 1:
            sys.exit(f"planted.py: {name} has {source.count(text)} times: {text}")
        path.write_text(source.replace(text, other))


def check():
    """What each would change is there once."""
    stale = []
    for planted, changes in (PLANTED | HISTORY).items():
        for name, text, _ in changes:
            count = (ROOT / name).read_text().count(text)
            if count != 1:
                stale.append(f"{planted}: {name} has {count} times: {text}")
    return stale


def restore(folder, changes):
    for name, _, _ in changes:
        shutil.copyfile(ROOT / name, folder / name)


def attempt(folder, name, changes, seconds):
    plant(folder, changes)
    built = build(folder)
    if built.returncode != 0:
        restore(folder, changes)
        print(f"{name}: does not build\n{built.stdout[-2000:]}")
        return False
    begun = time.monotonic()
    run = subprocess.run([folder / "build/tests/sim/sim", "--first", "1", "--seconds", str(seconds)], capture_output=True, text=True)
    took = time.monotonic() - begun
    restore(folder, changes)
    seeds = re.search(r"^(\d+) seeds", run.stdout, re.MULTILINE)
    said = re.search(r"^seed .*", run.stdout, re.MULTILINE)
    count = seeds[1] if seeds else "?"
    print(f"{name}: {'found' if said else 'NOT FOUND'} after {took:.1f} s and {count} seeds{': ' + said[0] if said else ''}", flush=True)
    return said is not None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if arguments.check:
        sys.exit("\n".join(check()) or 0)
    everything = PLANTED | HISTORY
    chosen = [name for name in everything if not arguments.names or any(word in name for word in arguments.names)]
    with tempfile.TemporaryDirectory(prefix="popfs-planted-") as temporary:
        folder = Path(temporary)
        copy_source(folder)
        subprocess.run(["meson", "setup", "-Dwerror=false", folder / "build", folder], capture_output=True, check=True)
        build(folder)
        found = sum(attempt(folder, name, everything[name], arguments.seconds) for name in chosen)
    print(f"{found} of {len(chosen)} found")
    sys.exit(found != len(chosen))


if __name__ == "__main__":
    main()
