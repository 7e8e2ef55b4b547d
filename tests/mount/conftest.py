# SPDX-License-Identifier: MIT
"""Fixtures: one Dovecot and one authority for the run, one folder (and what is mounted in it) for each test."""

import concurrent.futures
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import certs  # noqa: E402
import dovecot  # noqa: E402
import mailbox  # noqa: E402
import mounting  # noqa: E402
import scripted  # noqa: E402
import secluded as seclusion  # noqa: E402


def pytest_sessionstart(session):
    """Without these nothing here means anything; that is a failure and not a reason to skip."""
    missing = []
    if not os.path.exists("/dev/fuse"):
        missing.append("/dev/fuse is missing (in a container: --device /dev/fuse --cap-add SYS_ADMIN)")
    if os.geteuid() != 0:
        missing.append("the mount tests must run as root (they start a Dovecot)")
    for program in ("dovecot", "fusermount3", "openssl", "setpriv", "rsync", "restic", "borg", "bsdtar", "cpio", "less", "git", "rg", "nsenter"):
        if not shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin"):
            missing.append(f"{program} is not installed: run contrib/packages.sh")
    if not (shutil.which("vim") or shutil.which("vim.tiny")):
        missing.append("neither vim nor vim.tiny is installed: run contrib/packages.sh")
    if missing:
        pytest.exit("; ".join(missing), returncode=1)


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: waits or works for four seconds and more, so that it is begun early")


def pytest_xdist_auto_num_workers():
    """-n auto: most of a test's time is waiting; with POPFS_LONG many make several mounts at once."""
    return 4 if "POPFS_LONG" in os.environ else int(os.environ.get("POPFS_WORKERS", 6))


def pytest_collection_modifyitems(items):
    """Slow tests first, or the others have to wait for one in the end. A worker is given a quarter of its share at once, and in order:
    each such part begins with some of them."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    part = max(len(items) // workers // 4, 2)
    slow = [item for item in items if item.get_closest_marker("slow")]
    others = [item for item in items if not item.get_closest_marker("slow")]
    items[:] = []
    for worker in range(workers):
        first = slow[worker::workers]
        filling = max(part - len(first), 0)
        items += first + others[:filling]
        del others[:filling]
    items += others


@pytest.fixture(scope="session")
def root_folder():
    folder = Path(tempfile.mkdtemp(prefix="popfs-tests-"))
    folder.chmod(0o755)  # Dovecot's processes must get through
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def authority(root_folder):
    return certs.Authority(root_folder / "ca")


@pytest.fixture(scope="session")
def certificate(authority):
    return authority.issue("server")


@pytest.fixture(scope="session")
def mail_server(root_folder, certificate):
    server = dovecot.Dovecot(root_folder / "dovecot", certificate)
    server.reader = server.account("reader", "a secret 50% off")
    server.reader.add(mailbox.odd())
    server.fresh = [server.account(f"u{i:02}", f"pass word {i}") for i in range(60)]
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def truth(mail_server):
    """UIDL -> octets for the user `reader`, by a client of twenty lines."""
    with mail_server.reader.raw() as session:
        octets = session.everything()
    assert octets == {mail.name: mailbox.wire(mail.data) for mail in mailbox.odd()}
    return octets


@pytest.fixture
def account(mail_server):
    """A user of this test alone, with an empty maildrop."""
    return mail_server.fresh.pop()


@pytest.fixture
def place():
    place = mounting.Place()
    yield place
    mounting.unmount_hard(place.mountpoint)
    mounting.unmount_below(place.folder)
    try:
        place.check_reports()
    finally:
        shutil.rmtree(place.folder)


@pytest.fixture
def one_place():
    """one_place(): a place of its own for one mount of several in a test."""

    @contextlib.contextmanager
    def make():
        place = mounting.Place()
        try:
            yield place
            place.check_reports()
        finally:
            mounting.unmount_hard(place.mountpoint)
            subprocess.run(["rm", "-rf", place.folder], check=True)

    return make


@pytest.fixture
def secluded(place):
    place.folder.chmod(0o755)  # for users who are not root
    with seclusion.Secluded(place.folder) as there:
        yield there


@pytest.fixture
def on_dovecot(place):
    """on_dovecot(account, how) mounts an account; `how` is plain, stls or tls."""

    def mount(account, how="plain", options="", **rest):
        words = [f"passfile={place.passfile(account.password)}", "timeout=20"]
        words += [f"cafile={account.server.folder.parent}/ca/ca.pem"] if how != "plain" else ["tls=off"]
        words += [options] if options else []
        scheme, port = ("pops", account.server.tls_port) if how == "tls" else ("pop3", account.server.port)
        return mounting.mounted(place, f"{scheme}://{account.user}@127.0.0.1:{port}", ",".join(words), **rest)

    return mount


@pytest.fixture
def serve():
    """serve(Script(…)) starts a scripted server that ends with the test."""
    servers = []

    def start(script, **rest):
        server = scripted.Server(script, **rest)
        server.__enter__()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.__exit__()


@pytest.fixture
def on_script(place):
    """on_script(server) mounts what a scripted server offers, in the clear."""

    def mount(server, options="", **rest):
        return mounting.mounted(place, script_source(server), script_options(place, server, options), **rest)

    return mount


def script_source(server, scheme="pop3"):
    return f"{scheme}://{server.script.user}@127.0.0.1:{server.port}"


def script_options(place, server, more="", tls="tls=off"):
    words = [f"passfile={place.passfile(server.script.password)}", "timeout=10", tls, more]
    return ",".join(word for word in words if word)


@contextlib.contextmanager
def side_by_side(request, parameter, run, at_once):
    """Gives value -> future of run(value), for the tests to look at; starts those of the module's selected tests, `at_once` at a time.
    Where there are several workers these are what runs at once: each would start what another one was given, so each waits to be asked."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        yield Asked(run)
        return
    values = [item.callspec.params[parameter] for item in request.session.items
              if item.module is request.module and hasattr(item, "callspec") and parameter in item.callspec.params]
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        yield {value: pool.submit(run, value) for value in values}
        pool.shutdown(cancel_futures=True)


class Asked:
    """Runs when somebody asks for the result."""

    def __init__(self, run, value=None):
        self._run, self._value = run, value

    def __getitem__(self, value):
        return Asked(self._run, value)

    def result(self):
        return self._run(self._value)
