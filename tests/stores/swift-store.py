#!/usr/bin/env python3
"""A throw-away OpenStack Swift on loopback, with tempauth or with Keystone. For tests only.

  swift-store.py start DIR PORT              proxy on PORT with tempauth and the S3 door, object,
                                       container and account servers on PORT+1, +2, +3,
                                       memcached on PORT+4
  swift-store.py start DIR PORT SECONDS      the same with Keystone on PORT+5 in place of tempauth
                                       and S3; tokens live so long
  swift-store.py kill DIR                    at once, what is thrown away anyway
  swift-store.py server-stop DIR NAME        one of them: object, container, account, proxy ...
  swift-store.py server-start DIR NAME       ... and it is back
  swift-store.py update DIR                  what the containers missed is told to them, once
  swift-store.py put DIR NAME                makes a container, or in one an empty object
  swift-store.py password DIR PASSWORD       Keystone only: the user gets another password, which
                                       ends the tokens of the old one
  swift-store.py template DIR                Keystone's database as `start` copies it from DIR

Run by the Python of the virtual environment that install-swift.sh makes. One object server,
one replica, no mounts, no root. Leaves in DIR: credentials-v1, credentials-v3,
credentials-s3 (for the clients), pid/ and log/. Installs nothing.
"""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request

BIN = os.path.dirname(sys.executable)
SELF = os.path.abspath(__file__)
# Beside the virtual environment.
TEMPLATE = os.path.join(os.path.dirname(os.path.dirname(BIN)), "keystone")
WAIT_SECONDS_MAX = 120

ACCOUNT, USER, KEY = "test", "tester", "vpool-test-swift"
KEYSTONE_USER, KEYSTONE_PROJECT, KEYSTONE_PASSWORD = "vpool", "storage", "vpool-test-first"
SERVICE_PASSWORD, ADMIN_PASSWORD = "vpool-test-service", "vpool-test-admin"
REGION = "RegionOne"

OFFSETS = {"proxy": 0, "object": 1, "container": 2, "account": 3, "memcached": 4, "keystone": 5}


def die(text):
    sys.exit(f"swift-store.py: {text}")


def write(directory, name, text, mode=0o644):
    path = os.path.join(directory, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)


# --- configuration ---------------------------------------------------------------------


def base(directory, port):
    user = subprocess.run(["id", "-un"], check=True, capture_output=True, text=True)
    return f"""[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
swift_dir = {directory}/etc
devices = {directory}/srv
user = {user.stdout.strip()}
mount_check = false
disable_fallocate = true
recon_cache_path = {directory}/cache
recon_lock_path = {directory}/cache
log_level = WARNING
log_udp_host = 127.0.0.1
log_udp_port = 1
network_chunk_size = 1048576
disk_chunk_size = 1048576
client_chunk_size = 1048576
object_chunk_size = 1048576
"""


def section(title, /, **settings):
    lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
    return f"[{title}]\n{lines}"


def configure(directory, port, keystone):
    etc = os.path.join(directory, "etc")
    write(
        etc,
        "swift.conf",
        section("swift-hash", swift_hash_path_prefix="p", swift_hash_path_suffix="s")
        + section("storage-policy:0", name="only", default="yes"),
    )
    for name in ("object", "container", "account"):
        text = base(directory, port + OFFSETS[name])
        text += section("pipeline:main", pipeline=f"{name}-server")
        text += section(f"app:{name}-server", use=f"egg:swift#{name}")
        # Daemons read the servers' files.
        text += section(f"{name}-replicator") + section(f"{name}-auditor")
        text += section(f"{name}-updater", interval=1, slowdown=0, concurrency=1)
        write(etc, f"{name}-server.conf", text)

    filters = "catch_errors gatekeeper healthcheck proxy-logging cache listing_formats bulk"
    filters += " authtoken keystoneauth" if keystone else " s3api tempauth"
    filters += " copy slo dlo"
    text = base(directory, port)
    text += section("pipeline:main", pipeline=f"{filters} proxy-logging proxy-server")
    # While a container's servers are away the proxy knows from its cache that it is there.
    text += section(
        "app:proxy-server",
        use="egg:swift#proxy",
        account_autocreate="true",
        recheck_container_existence=3600,
        recheck_account_existence=3600,
    )
    for name in "catch_errors gatekeeper healthcheck listing_formats bulk copy slo dlo".split():
        text += section(f"filter:{name}", use=f"egg:swift#{name}")
    text += section("filter:proxy-logging", use="egg:swift#proxy_logging")
    servers = f"127.0.0.1:{port + OFFSETS['memcached']}"
    text += section("filter:cache", use="egg:swift#memcache", memcache_servers=servers)
    text += section(
        "filter:s3api", use="egg:swift#s3api", location="us-east-1", check_bucket_owner="false"
    )
    text += section(
        "filter:tempauth", use="egg:swift#tempauth", **{f"user_{ACCOUNT}_{USER}": f"{KEY} .admin"}
    )
    url = f"http://127.0.0.1:{port + OFFSETS['keystone']}"
    text += section(
        "filter:authtoken",
        **{"paste.filter_factory": "keystonemiddleware.auth_token:filter_factory"},
        www_authenticate_uri=f"{url}/v3",
        auth_url=url,
        auth_type="password",
        username="swift",
        password=SERVICE_PASSWORD,
        user_domain_id="default",
        project_name="service",
        project_domain_id="default",
        delay_auth_decision="True",
        include_service_catalog="False",
        # Seconds that a token is taken for good after Keystone was asked; its end counts all
        # the same. What Keystone has revoked meanwhile is found out when memcached forgets.
        token_cache_time=300,
    )
    text += section("filter:keystoneauth", use="egg:swift#keystoneauth", operator_roles="member")
    write(etc, "proxy-server.conf", text)

    secrets = {
        "credentials-v1": f"user={ACCOUNT}:{USER}\nkey={KEY}\n",
        "credentials-s3": f"access_key={ACCOUNT}:{USER}\nsecret_key={KEY}\n",
        "credentials-v3": f"user={KEYSTONE_USER}\npassword={KEYSTONE_PASSWORD}\n"
        f"project={KEYSTONE_PROJECT}\n",
    }
    for name, text in secrets.items():
        write(directory, name, text, 0o600)


def make_rings(directory, port):
    from swift.common.ring import RingBuilder

    for name in ("object", "container", "account"):
        builder = RingBuilder(part_power=6, replicas=1, min_part_hours=1)
        builder.add_dev(
            {
                "region": 1,
                "zone": 1,
                "ip": "127.0.0.1",
                "port": port + OFFSETS[name],
                "device": "d1",
                "weight": 1,
            }
        )
        builder.rebalance()
        builder.get_ring().save(os.path.join(directory, "etc", f"{name}.ring.gz"))


# --- processes -------------------------------------------------------------------------


def pid_of(directory, name):
    """The process that `name` was started as, if it still runs and is not another one."""
    try:
        with open(os.path.join(directory, "pid", name)) as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().decode(errors="replace").split("\0")
    except (OSError, ValueError):
        return None
    return pid if any(word.startswith(directory) for word in words) else None


def command_of(directory, name):
    port = int(open(os.path.join(directory, "port")).read()) + OFFSETS[name]
    if name == "memcached":
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        memcached = shutil.which("memcached", path=os.environ["PATH"] + ":/usr/bin:/usr/sbin")
        if not memcached:
            die("memcached is not installed (tests/stores/install-swift.sh)")
        # The file is not written without -d: it is there to tell the process by.
        return [memcached, *user, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", "64",
                "-P", os.path.join(directory, "memcached")]
    if name == "keystone":
        return [sys.executable, SELF, "run-keystone", directory, str(port)]
    return [sys.executable, SELF, "run", directory, f"swift-{name}-server",
            f"{directory}/etc/{name}-server.conf"]


def launch(directory, name):
    if pid_of(directory, name):
        return
    with open(os.path.join(directory, "log", name), "ab") as log:
        child = subprocess.Popen(
            command_of(directory, name),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    write(os.path.join(directory, "pid"), name, str(child.pid))


def finish(directory, name):
    """Ends a process at once, and waits until it is gone."""
    pid = pid_of(directory, name)
    if pid:
        os.kill(pid, signal.SIGKILL)
        for _ in range(200):
            if not pid_of(directory, name):
                break
            time.sleep(0.02)
    try:
        os.unlink(os.path.join(directory, "pid", name))
    except FileNotFoundError:
        pass


def answers(directory, name):
    port = int(open(os.path.join(directory, "port")).read()) + OFFSETS[name]
    try:
        if name == "memcached":
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        path = {"proxy": "/healthcheck", "keystone": "/v3"}.get(name, "/")
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
        request.method = "GET" if name in ("proxy", "keystone") else "OPTIONS"
        with urllib.request.urlopen(request, timeout=10):
            return True
    except OSError:
        return False


def wait_for(directory, name):
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not answers(directory, name):
        if not pid_of(directory, name):
            with open(os.path.join(directory, "log", name), errors="replace") as log:
                die(f"{name} died: {''.join(log.readlines()[-5:])}")
        if time.monotonic() > deadline:
            die(f"{name} does not answer after {WAIT_SECONDS_MAX} s")
        time.sleep(0.05)


def run(directory, program, *arguments):
    """Runs one of Swift's programs with its settings from DIR/etc in place of /etc/swift."""
    from swift.common import storage_policy, utils

    utils.set_swift_dir(os.path.join(directory, "etc"))
    storage_policy.reload_storage_policies()
    import runpy

    sys.argv = [os.path.join(BIN, program), *arguments]
    runpy.run_path(sys.argv[0], run_name="__main__")


# --- Keystone --------------------------------------------------------------------------


def keystone_conf(directory, seconds):
    write(
        directory,
        "keystone.conf",
        section("DEFAULT", log_file=f"{directory}/log/keystone.log")
        + section("database", connection=f"sqlite:///{directory}/keystone/keystone.db")
        + section("token", provider="fernet", expiration=seconds)
        + section("fernet_tokens", key_repository=f"{directory}/keystone/fernet")
        + section("fernet_receipts", key_repository=f"{directory}/keystone/fernet")
        + section("credential", key_repository=f"{directory}/keystone/credential")
        + section("identity", password_hash_algorithm="bcrypt", password_hash_rounds=4),
    )


def template(directory):
    """Makes what does not depend on ports: a database with three users."""
    work = directory + ".new"
    shutil.rmtree(work, ignore_errors=True)
    for name in ("keystone/fernet", "keystone/credential", "log"):
        os.makedirs(os.path.join(work, name), mode=0o700)
    keystone_conf(work, 3600)
    manage = [os.path.join(BIN, "keystone-manage"), "--config-file", f"{work}/keystone.conf"]
    user = subprocess.run(["id", "-un"], check=True, capture_output=True, text=True)
    user = user.stdout.strip()
    owner = ["--keystone-user", user, "--keystone-group", user]

    def do(*arguments):
        done = subprocess.run([*manage, *arguments], capture_output=True, text=True)
        if done.returncode:
            die(f"keystone-manage {arguments[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}")

    do("db_sync")
    do("fernet_setup", *owner)
    do("credential_setup", *owner)
    for name, password, project, role in (
        ("admin", ADMIN_PASSWORD, "admin", "admin"),
        ("swift", SERVICE_PASSWORD, "service", "admin"),
        (KEYSTONE_USER, KEYSTONE_PASSWORD, KEYSTONE_PROJECT, "member"),
    ):
        do("bootstrap", "--bootstrap-username", name, "--bootstrap-password", password,
           "--bootstrap-project-name", project, "--bootstrap-role-name", role,
           "--bootstrap-region-id", REGION, "--bootstrap-public-url", "http://127.0.0.1:1/v3",
           "--bootstrap-internal-url", "http://127.0.0.1:1/v3",
           "--bootstrap-admin-url", "http://127.0.0.1:1/v3")
    shutil.rmtree(directory, ignore_errors=True)
    os.rename(os.path.join(work, "keystone"), directory)
    shutil.rmtree(work)


def prepare_keystone(directory, port, seconds):
    shutil.copytree(TEMPLATE, os.path.join(directory, "keystone"))
    keystone_conf(directory, seconds)
    database = sqlite3.connect(os.path.join(directory, "keystone", "keystone.db"))
    with database:
        url = f"http://127.0.0.1:{port + OFFSETS['keystone']}/v3"
        database.execute("UPDATE endpoint SET url = ?", (url,))
        service = "5" * 32
        database.execute(
            "INSERT INTO service (id, type, enabled, extra) VALUES (?, 'object-store', 1, ?)",
            (service, json.dumps({"name": "swift"})),
        )
        url = f"http://127.0.0.1:{port}/v1/AUTH_%(tenant_id)s"
        for number, interface in enumerate(("public", "internal")):
            database.execute(
                "INSERT INTO endpoint (id, interface, service_id, url, extra, enabled, region_id)"
                " VALUES (?, ?, ?, ?, '{}', 1, ?)",
                (str(number) * 32, interface, service, url, REGION),
            )
    database.close()


def run_keystone(directory, port):
    conf = os.path.join(directory, "keystone.conf")
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = conf
    sys.argv = ["keystone", "--config-file", conf]
    from keystone.server.wsgi import initialize_public_application
    import waitress

    waitress.serve(initialize_public_application(), host="127.0.0.1", port=int(port), threads=8)


# --- as a client -----------------------------------------------------------------------


def ask(method, url, fields, body=None):
    request = urllib.request.Request(url, data=body, method=method)
    for name, value in fields.items():
        request.add_header(name, value)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers, answer.read()


def log_in(url, user, secret, project):
    """A token of Keystone's, and what it says with it."""
    domain = {"id": "default"}
    user = {"name": user, "domain": domain, "password": secret}
    scope = {"project": {"name": project, "domain": domain}}
    body = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}
    body = json.dumps({"auth": body}).encode()
    header, body = ask("POST", f"{url}/auth/tokens", {"Content-Type": "application/json"}, body)
    return header["X-Subject-Token"], json.loads(body)["token"]


def keystone_url(directory):
    port = int(open(os.path.join(directory, "port")).read()) + OFFSETS["keystone"]
    return f"http://127.0.0.1:{port}/v3"


def password(directory, new):
    url = keystone_url(directory)
    token, _ = log_in(url, "admin", ADMIN_PASSWORD, "admin")
    fields = {"X-Auth-Token": token, "Content-Type": "application/json"}
    _, users = ask("GET", f"{url}/users?name={KEYSTONE_USER}", fields)
    user = json.loads(users)["users"][0]["id"]
    body = json.dumps({"user": {"password": new}}).encode()
    ask("PATCH", f"{url}/users/{user}", fields, body)


def put(directory, name):
    proxy = f"http://127.0.0.1:{open(os.path.join(directory, 'port')).read()}"
    if os.path.exists(os.path.join(directory, "keystone.conf")):
        url = keystone_url(directory)
        token, about = log_in(url, KEYSTONE_USER, KEYSTONE_PASSWORD, KEYSTONE_PROJECT)
        account = f"{proxy}/v1/AUTH_{about['project']['id']}"
    else:
        fields = {"X-Auth-User": f"{ACCOUNT}:{USER}", "X-Auth-Key": KEY}
        header, _ = ask("GET", f"{proxy}/auth/v1.0", fields)
        token, account = header["X-Auth-Token"], header["X-Storage-Url"]
    ask("PUT", f"{account}/{name}", {"X-Auth-Token": token}, b"")


# --- commands --------------------------------------------------------------------------


def start(directory, port, seconds=None):
    port = int(port)
    for name in ("etc", "srv/d1", "cache", "log", "pid"):
        os.makedirs(os.path.join(directory, name), exist_ok=True)
    write(directory, "port", str(port))
    configure(directory, port, seconds is not None)
    make_rings(directory, port)
    names = ["memcached", "account", "container", "object", "proxy"]
    if seconds is not None:
        prepare_keystone(directory, port, int(seconds))
        names.insert(0, "keystone")
    for name in names:
        launch(directory, name)
    for name in names:
        wait_for(directory, name)


def kill(directory):
    for name in OFFSETS:
        finish(directory, name)


def server_start(directory, name):
    launch(directory, name)
    wait_for(directory, name)


def update(directory):
    conf = f"{directory}/etc/object-server.conf"
    command = [sys.executable, SELF, "run", directory, "swift-object-updater", conf, "once"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        die(f"swift-object-updater: {done.stdout}{done.stderr}")


def main():
    commands = {
        "start": start,
        "kill": kill,
        "server-stop": finish,
        "server-start": server_start,
        "update": update,
        "password": password,
        "put": put,
        "template": template,
        "run": run,
        "run-keystone": run_keystone,
    }
    arguments = sys.argv[1:]
    if len(arguments) < 2 or arguments[0] not in commands:
        sys.exit(__doc__)
    commands[arguments[0]](os.path.abspath(arguments[1]), *arguments[2:])


main()
