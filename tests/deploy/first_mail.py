"""From the compose file to the first mail, by the words of docs/operations.md, without Docker.

Every program runs with the environment that compose.yaml gives it, on the secrets that deploy/compose-up makes. What differs is
what containers are for: addresses and folders, and SQLite in place of PostgreSQL.
"""

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import chart
import programs

PATIENCE = 120
PAGE = chart.ROOT / "docs/operations.md"


def check(report):
    found = programs.programs()
    if not found:
        report.skip("first mail", "POSTHOUSE_BIN and NATS_SERVER do not say where the programs are")
        return
    if not shutil.which("curl"):
        report.skip("first mail", "there is no curl, which docs/operations.md uses")
        return
    with tempfile.TemporaryDirectory() as scratch:
        House(report, *found, Path(scratch)).open()


class House:
    def __init__(self, report, binaries, nats, folder):
        self.report, self.binaries, self.nats, self.folder = report, binaries, nats, folder
        self.port = programs.free_port()
        self.running, self.environments = {}, {}
        self.ports = {}

    def open(self):
        environment = programs.up_without_docker(self.report, self.binaries, self.folder)
        secrets = self.folder / "secrets"
        self.words = {"/run/secrets": str(secrets), "nats://nats:4222": f"nats://127.0.0.1:{self.port}"}
        configuration = self.folder / "nats-server.conf"
        text = (chart.ROOT / "deploy/nats/nats-server.conf").read_text()
        configuration.write_text(programs.local(text, self.folder, self.port, programs.free_port()))
        (self.folder / "accounts.conf").write_text((chart.ROOT / "deploy/nats/accounts.conf").read_text())
        logins = dict(line.split("=", 1) for line in (secrets / "nats.env").read_text().splitlines())
        try:
            with programs.nats_server(self.nats, configuration, environment | logins, self.port):
                self.run_all()
        finally:
            for it in self.running.values():
                it.kill()

    def run_all(self):
        compose = programs.compose_all()
        streams = compose["services"]["streams"]
        command = [self.binaries / "posthouse", *streams["command"]]
        self.report.run("compose.yaml: streams", command, env=self.here("posthouse", streams["environment"]))
        try:
            # Intake first, whose port the sender has to know.
            for stage in programs.STAGES:
                self.start(stage, compose["services"][stage]["environment"])
            self.wait_until_ready()
            self.follow_the_page()
        finally:
            self.stop()

    def here(self, stage, environment):
        """What a container has in its environment, with this machine's addresses."""
        text = dict(environment)
        for key, value in text.items():
            for old, new in self.words.items():
                value = value.replace(old, new)
            if address := re.fullmatch(r"0\.0\.0\.0:(\d+)", value):
                value = f"127.0.0.1:{self.ports.setdefault((stage, address[1]), programs.free_port())}"
            if stage == "sender":
                intake = self.ports.get(("intake", "2525"))
                value = value.replace('host="intake",port=2525', f'host="127.0.0.1",port={intake}')
            text[key] = value
        if stage not in ("intake", "scanner", "posthouse"):
            text[f"POSTHOUSE_{stage.upper()}_DATABASE"] = f"sqlite:{self.folder}/posthouse.db"
        return programs.without_ours(**text)

    def start(self, stage, environment):
        environment = self.here(stage, environment)
        with open(self.folder / f"{stage}.log", "w") as log:
            process = subprocess.Popen([self.binaries / f"posthouse-{stage}"], env=environment, stderr=log)
        self.running[stage] = process
        self.environments[stage] = environment

    def wait_until_ready(self):
        """By what the containers are asked for their health."""
        deadline = time.monotonic() + PATIENCE
        for stage, process in self.running.items():
            command = [self.binaries / f"posthouse-{stage}", "--ready"]
            while True:
                asked = subprocess.run(
                    command, env=self.environments[stage], capture_output=True, text=True, timeout=30
                )
                if asked.returncode == 0 or process.poll() is not None or time.monotonic() > deadline:
                    break
                time.sleep(0.2)
            wrong = [asked.stderr, (self.folder / f"{stage}.log").read_text()[-2000:]] if asked.returncode else []
            self.report.tell(f"compose.yaml: {stage} is ready", wrong)

    def follow_the_page(self):
        """The page's own shell commands, which end by printing the mail."""
        block = next(it for it in re.findall(r"(?ms)^```sh\n(.*?)^```", PAGE.read_text()) if "v1/signup" in it)
        api, smtp = self.ports["gateway", "4801"], self.ports["intake", "2525"]
        assert "127.0.0.1:4801" in block and "127.0.0.1:25 " in block, "the page has other addresses now"
        block = block.replace("127.0.0.1:4801", f"127.0.0.1:{api}").replace("127.0.0.1:25 ", f"127.0.0.1:{smtp} ")
        done = subprocess.run(["bash", "-euc", block], capture_output=True, text=True, timeout=PATIENCE)
        is_there = "you@example.net" in done.stdout and "Hello" in done.stdout
        self.report.tell("docs/operations.md: the first mail comes", [] if is_there else [done.stdout, done.stderr])

    def stop(self):
        """They end by themselves, and well."""
        for process in self.running.values():
            process.terminate()
        for stage, process in self.running.items():
            try:
                code = process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                code = "none within 40 s"
            self.report.tell(f"compose.yaml: {stage} ends well", [] if code == 0 else [f"exit status {code}"])
