"""The real programs on what deploy/ would give them: configurations, streams, the compose file."""

import json
import os
import re
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import chart
import yaml

STAGES = ("intake", "scanner", "storage", "sender", "webhooks", "gateway")
COMPOSE = chart.ROOT / "deploy/compose.yaml"
DATABASE = "postgres://posthouse:pw@postgres/posthouse"
PASSWORDS = {"POSTHOUSE_NATS_PASSWORD": "pw_services", "POSTHOUSE_NATS_LOGINS_PASSWORD": "pw_logins"}
LOGIN = ("posthouse", PASSWORDS["POSTHOUSE_NATS_PASSWORD"])


def programs():
    """The folder with the built programs, and nats-server, if both are there."""
    folder, nats = os.environ.get("POSTHOUSE_BIN"), os.environ.get("NATS_SERVER")
    if folder and nats and Path(folder, "posthouse").is_file() and Path(nats).is_file():
        return Path(folder), Path(nats)
    return None


def without_ours(**more):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("POSTHOUSE_")}
    return kept | more


def check_configs(report):
    found = programs()
    if not found:
        report.skip("configurations", "POSTHOUSE_BIN and NATS_SERVER do not say where the programs are")
        return
    folder, _ = found
    for name, values in chart.values():
        resources = chart.render(values)
        for deployment in chart.of_kind(resources, "Deployment"):
            stage = chart.component(deployment)
            with tempfile.TemporaryDirectory() as scratch:
                path = written(scratch, stage, resources)
                environment = {it["name"]: it.get("value", DATABASE) for it in container(deployment).get("env", [])}
                command = [folder / f"posthouse-{stage}", "--check", "--config", path]
                report.run(f"{name}: posthouse-{stage} --check", command, env=without_ours(**environment))
    for stage, service in compose_services().items():
        command = [folder / f"posthouse-{stage}", "--check"]
        environment = service["environment"] | {f"POSTHOUSE_{stage.upper()}_DATABASE": DATABASE}
        if stage in ("intake", "scanner"):
            environment.pop(f"POSTHOUSE_{stage.upper()}_DATABASE")
        report.run(f"compose.yaml: posthouse-{stage} --check", command, env=without_ours(**environment))
    check_compose_up(report, folder)


def container(workload):
    return workload["spec"]["template"]["spec"]["containers"][0]


def written(folder, stage, resources):
    """The stage's ConfigMap as files, which name one another where they are now."""
    maps = [it for it in chart.of_kind(resources, "ConfigMap") if chart.component(it) == stage]
    for name, text in maps[0]["data"].items():
        Path(folder, name).write_text(text.replace("/etc/posthouse/config", folder))
    return Path(folder, f"posthouse-{stage}.toml")


def compose_all():
    """The compose file as it is without any variable set."""
    return yaml.safe_load(re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", COMPOSE.read_text()))


def compose_services():
    return {name: it for name, it in compose_all()["services"].items() if name in STAGES}


def compose_problems(compose):
    """What the specification of compose does not ask for, and we do."""
    services = compose["services"]
    for stage in STAGES:
        if stage not in services:
            yield f"no service {stage}"
    for name, service in services.items():
        if "no-new-privileges:true" not in service.get("security_opt", []) or service.get("cap_drop") != ["ALL"]:
            yield f"{name}: keeps privileges"
        if service.get("restart") == "unless-stopped" and "healthcheck" not in service and name != "prometheus":
            yield f"{name}: no healthcheck"
        if "build" not in service and not re.search(
            r":(v?[0-9][0-9.]+[a-z0-9.-]*|17-bookworm|local)$", service["image"]
        ):
            yield f"{name}: {service['image']} has no version"
        for kind in ("networks", "secrets"):
            yield from (f"{name}: no such {kind}: {it}" for it in service.get(kind, []) if it not in compose[kind])
        for port in service.get("ports", []):
            if name != "intake" and not port.startswith("127.0.0.1:"):
                yield f"{name}: published to the world: {port}"
        if name in ("intake", "scanner") and ("database" in service["networks"] or "env_file" in service):
            yield f"{name}: reaches the database"
    if not all(compose["networks"][it].get("internal") for it in ("bus", "database")):
        yield "the networks within lead outside"


# In place of Docker, which is not to be had: notes what it is asked, and makes an issuer with the real program.
DOCKER = """#!/usr/bin/env bash
echo "$*" >>"$0.log"
for word; do case $word in *:/secrets) secrets=${word%:/secrets} ;; esac; done
if [[ $1 == run ]]; then exec "$POSTHOUSE_PROGRAM" nats issuer "$secrets/new-issuer"; fi
"""


def up_without_docker(report, folder, scratch):
    """Runs deploy/compose-up with secrets in `scratch`; returns the environment that it ran in."""
    docker = Path(scratch, "docker")
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    environment = without_ours(
        PATH=f"{scratch}:{os.environ['PATH']}",
        POSTHOUSE_PROGRAM=str(folder / "posthouse"),
        POSTHOUSE_COMPOSE_SECRETS=str(Path(scratch, "secrets")),
    )
    report.run("deploy/compose-up, without Docker", [chart.ROOT / "deploy/compose-up"], env=environment)
    return environment


def check_compose_up(report, folder):
    """The script makes what the compose file names, once, and nothing that others can read."""
    with tempfile.TemporaryDirectory() as scratch:
        secrets = Path(scratch, "secrets")
        states = []
        for _ in range(2):
            up_without_docker(report, folder, scratch)
            states.append({it.name: it.read_text() for it in secrets.iterdir() if it.is_file()})
        report.tell(
            "deploy/compose-up makes secrets once", [] if states[0] == states[1] else ["others the second time"]
        )
        compose = compose_all()
        named = {Path(it["file"]).name for it in compose["secrets"].values()}
        named |= {Path(it).name for service in compose["services"].values() for it in service.get("env_file", [])}
        report.tell("compose.yaml names what it makes", [f"no {it}" for it in named if not states[0].get(it)])
        mode = secrets.stat().st_mode & 0o777
        report.tell("others cannot get at them", [] if mode == 0o700 else [f"the folder has mode {mode:o}"])
        wanted = ["compose version", "build", "run --rm", "up --detach --wait"]
        asked = Path(scratch, "docker.log").read_text()
        report.tell("what it asks of Docker", [f"not {it}" for it in wanted if it not in asked])


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


@contextmanager
def nats_server(binary, configuration, environment, port):
    """A server of our own; it ends with the block."""
    log = Path(f"{configuration}.log")
    with log.open("w") as output:
        server = subprocess.Popen([binary, "--config", configuration], env=environment, stderr=output)
    try:
        for _ in range(600):
            with socket.socket() as it:
                if it.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if server.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.05)
        yield
    finally:
        server.terminate()
        server.wait(timeout=60)


def local(text, folder, port, monitor):
    """The chart's configuration of NATS, with this machine's folders and ports, and alone."""
    text = text.replace("0.0.0.0:4222", f"127.0.0.1:{port}").replace("0.0.0.0:8222", f"127.0.0.1:{monitor}")
    text = text.replace("/var/lib/nats", f"{folder}/data").replace("/tmp/nats-server.pid", f"{folder}/pid")
    return re.sub(r"(?ms)^(cluster|tls) \{.*?^\}\n", "", text)


def nats_files(resources):
    """The ConfigMap of the chart's own NATS."""
    return next(it for it in chart.of_kind(resources, "ConfigMap") if chart.component(it) == "nats")["data"]


def check_streams(report):
    found = programs()
    if not found:
        report.skip("streams", "POSTHOUSE_BIN and NATS_SERVER do not say where the programs are")
        return
    folder, nats = found
    with tempfile.TemporaryDirectory() as scratch:
        key = subprocess.run(
            [folder / "posthouse", "nats", "issuer", Path(scratch, "issuer")],
            capture_output=True,
            text=True,
            check=True,
        )
        environment = without_ours(POD_NAME="nats-0", POSTHOUSE_NATS_ISSUER=key.stdout.strip(), **PASSWORDS)
        Path(scratch, "password").write_text(PASSWORDS["POSTHOUSE_NATS_PASSWORD"])
        resources = chart.render({"streams": {"manage": "nack"}})
        maps = nats_files(resources)
        port = free_port()
        Path(scratch, "accounts.conf").write_text(maps["accounts.conf"])
        configuration = Path(scratch, "nats-server.conf")
        configuration.write_text(local(maps["nats-server.conf"], scratch, port, free_port()))
        with nats_server(nats, configuration, environment, port):
            made = make_as_nack(report, resources, port)
            job = without_ours(
                POSTHOUSE_NATS=f"nats://127.0.0.1:{port}",
                POSTHOUSE_NATS_USER="posthouse",
                POSTHOUSE_NATS_PASSWORD_FILE=f"{scratch}/password",
            )
            verify = [folder / "posthouse", "streams", "verify"]
            report.run("`posthouse streams verify` agrees with what NACK would make", verify, env=job)
            jobs = [it for it in chart.of_kind(chart.render({}), "Job")]
            command = [folder / "posthouse", *container(jobs[0])["args"]]
            report.run("the Job has nothing to do after that", command, env=job)
            Client(port, *LOGIN).delete_streams()
            report.run("the Job makes all of it", command, env=job)
            report.tell("and the same as NACK", differences(made, Client(port, *LOGIN).streams()))
        clustered = chart.render(yaml.safe_load(chart.SETS["airgapped"].read_text()))
        maps = nats_files(clustered)
        # Its certificate is not here.
        text = re.sub(r"(?ms)^tls \{.*?^\}\n", "", maps["nats-server.conf"])
        configuration.write_text(text)
        report.run("a cluster's configuration", [nats, "-t", "--config", configuration], env=environment)


def make_as_nack(report, resources, port):
    """Makes the streams as NACK makes them of its resources, by JetStream's API."""
    client = Client(port, *LOGIN)
    wrong = []
    for resource in chart.of_kind(resources, "Stream", "Consumer"):
        spec = {key: it for key, it in resource["spec"].items() if key not in ("preventDelete", "account")}
        if resource["kind"] == "Stream":
            subject, body = f"STREAM.CREATE.{spec['name']}", snake(spec)
        else:
            stream = spec.pop("streamName")
            subject = f"CONSUMER.CREATE.{stream}.{spec['durableName']}.{spec['filterSubject']}"
            body = {"stream_name": stream, "config": snake(spec) | {"name": spec["durableName"]}}
        answer = client.ask(f"$JS.API.{subject}", body)
        if "error" in answer:
            wrong.append(f"{chart.name(resource)}: {answer['error']}")
    report.tell("JetStream takes what NACK would make", wrong)
    return client.streams()


def differences(some, others):
    """Between streams and consumers as JetStream has them."""
    for name in sorted({*some, *others}):
        one, other = some.get(name, {}), others.get(name, {})
        for key in sorted({*one, *other}):
            if one.get(key) != other.get(key):
                yield f"{name}: {key} is {one.get(key)} by NACK, and {other.get(key)} by the Job"


NAMES = {"maxMsgsPerSubject": "max_msgs_per_subject", "replicas": "num_replicas", "allowRollup": "allow_rollup_hdrs"}
NAMES |= {"allowAtomicPublish": "allow_atomic"}
UNITS = {"s": 1, "m": 60, "h": 3600}


def snake(value):
    """A resource's words as JetStream's: other names, and times in nanoseconds."""
    if isinstance(value, dict):
        return {NAMES.get(key) or re.sub("([A-Z])", r"_\1", key).lower(): timed(key, it) for key, it in value.items()}
    return [snake(it) for it in value] if isinstance(value, list) else value


def timed(key, value):
    if key in ("maxAge", "duplicateWindow", "ackWait"):
        return int(value[:-1]) * UNITS[value[-1]] * 1_000_000_000
    return snake(value)


class Client:
    """As much of NATS's protocol as a request takes."""

    def __init__(self, port, user, password):
        self.stream = socket.create_connection(("127.0.0.1", port), timeout=30).makefile("rwb")
        self.stream.readline()
        login = {"verbose": False, "pedantic": False, "user": user, "pass": password, "lang": "python", "version": "0"}
        self.say(f"CONNECT {json.dumps(login)}\r\nSUB _INBOX.deploy 1\r\n".encode())

    def say(self, octets):
        self.stream.write(octets)
        self.stream.flush()

    def ask(self, subject, body):
        body = json.dumps(body).encode()
        self.say(f"PUB {subject} _INBOX.deploy {len(body)}\r\n".encode() + body + b"\r\n")
        while line := self.stream.readline().decode():
            verb, *words = line.split()
            if verb == "MSG":
                answer = self.stream.read(int(words[-1]))
                self.stream.readline()
                return json.loads(answer)
            if verb == "PING":
                self.say(b"PONG\r\n")
            if verb == "-ERR":
                raise RuntimeError(line)
        raise RuntimeError("NATS closed the connection")

    def streams(self):
        """The configurations of all streams and consumers, without what JetStream notes about them."""
        found = {}
        for stream in self.ask("$JS.API.STREAM.LIST", {})["streams"]:
            name = stream["config"]["name"]
            found[name] = without_notes(stream["config"])
            for consumer in self.ask(f"$JS.API.CONSUMER.LIST.{name}", {})["consumers"]:
                found[f"{name}/{consumer['name']}"] = without_notes(consumer["config"])
        return found

    def delete_streams(self):
        # Last the one that another one names as its source.
        for name in sorted({it.partition("/")[0] for it in self.streams()}, key="DEAD".__eq__):
            self.ask(f"$JS.API.STREAM.DELETE.{name}", {})


def without_notes(configuration):
    return {key: it for key, it in configuration.items() if key not in ("metadata", "name")}
