"""Checks what is in deploy/: `check.py WHAT…`, with chart, refusals, mutations, files, configs, streams,
first-mail or checkov.

tests/prepare installs what it needs. The programs are looked for in POSTHOUSE_BIN, nats-server in NATS_SERVER.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import chart
import custom
import first_mail
import helm_python
import kubernetes_validate
import mutations
import policy
import programs
import schema
import yaml
from report import Report

HERE = Path(__file__).parent
OLDEST = "1.29"
TOOLS = Path(sys.executable).parent


def check_chart(report):
    said = helm_python.lint(chart.CHART)["messages"]
    report.tell("helm lint", [it["error"] for it in said if it["severity"] > 1])
    is_current = schema.SCHEMA.read_text() == schema.text()
    report.tell("values.schema.json", [] if is_current else ["is not what `just chart-schema` makes: run it"])
    report.tell("copies in files/", copies())
    newest = kubernetes_validate.latest_version()
    for name, values in chart.values():
        resources = chart.render(values)
        report.tell(f"{name}: {len(resources)} resources are unique", twice(resources))
        for version in (OLDEST, newest):
            wrong = [line for it in resources if not custom.is_custom(it) for line in validate(it, version)]
            report.tell(f"{name}: Kubernetes {version}, strictly", wrong)
        customs = [it for it in resources if custom.is_custom(it)]
        wrong = [f"{chart.name(it)}: {line}" for it in customs for line in custom.check(it)]
        report.tell(f"{name}: {len(customs)} custom resources", wrong)
        for check in policy.CHECKS:
            report.tell(f"{name}: {check.__name__}", check(resources))


def validate(resource, version):
    try:
        kubernetes_validate.validate(resource, version, strict=True)
    except Exception as err:
        yield f"{chart.name(resource)}: {err}"


def twice(resources):
    names = [chart.name(it) for it in resources]
    return sorted({it for it in names if names.count(it) > 1})


def copies():
    """What the chart has of other folders, because a chart cannot reach out of its own."""
    pairs = {chart.ROOT / "deploy/nats/accounts.conf": chart.CHART / "files/accounts.conf"}
    monitoring = chart.ROOT / "deploy/monitoring"
    if monitoring.is_dir():
        pairs[monitoring / "alerts.yaml"] = chart.CHART / "files/alerts.yaml"
        for path in {
            it.name for folder in (monitoring, chart.CHART / "files") for it in folder.glob("dashboards/*.json")
        }:
            pairs[monitoring / "dashboards" / path] = chart.CHART / "files/dashboards" / path
    for original, copy in pairs.items():
        if not original.is_file() or not copy.is_file() or original.read_bytes() != copy.read_bytes():
            yield f"{copy.relative_to(chart.ROOT)} is not {original.relative_to(chart.ROOT)}: `just chart-files` copies"


def stage(name, **values):
    return {"stages": {name: values}}


REFUSED = [
    ("an unknown key", {"stagse": {}}, "stagse"),
    ("an unknown key of a stage", stage("intake", replica=1), "replica"),
    ("an unknown stage", stage("scaner", replicas=1), "scaner"),
    ("an unknown key of a program", stage("sender", config={"mx_prot": 25}), "mx_prot"),
    ("a key of a program that the chart sets", stage("storage", config={"database": "sqlite:x"}), "database"),
    ("a key of a program of the wrong type", stage("intake", config={"max_errors": "ten"}), "max_errors"),
    ("a negative number of replicas", stage("scanner", replicas=-1), "replicas"),
    ("no replicas", stage("scanner", replicas=0), "replicas"),
    ("KEDA for who pulls nothing", stage("intake", autoscaling={"type": "keda"}), "type"),
    ("min above max", stage("scanner", autoscaling={"type": "keda", "min": 9, "max": 3}), "min 9 is above max 3"),
    ("more senders than addresses, scaled", stage("sender", autoscaling={"type": "keda", "max": 3}), "egressPool.size"),
    ("more senders than addresses, fixed", stage("sender", replicas=3), "egressPool.size"),
    ("submission without a certificate", stage("intake", submission={"enabled": True}), "tls.existingSecret"),
    ("a DKIM key without a Secret", stage("sender", dkim=[{"domain": "a.example", "selector": "s"}]), "existingSecret"),
    ("external NATS without a URL", {"nats": {"mode": "external"}}, "nats.url"),
    ("a password in the URL of NATS", {"nats": {"mode": "external", "url": "nats://me:pw@nats:4222"}}, "url"),
    ("bundled NATS without logins", {"nats": {"login": {"method": "none"}}}, "password"),
    ("three copies on one server", {"nats": {"replicas": 3}}, "nats.bundled.servers"),
    ("two servers of NATS", {"nats": {"bundled": {"servers": 2}}}, "servers"),
    ("a domain in capitals", {"domains": ["Example.COM"]}, "domains"),
    ("no domain", {"domains": []}, "domains"),
    ("an image by half a digest", stage("intake", image={"digest": "sha256:abc"}), "digest"),
    ("another way to make streams", {"streams": {"manage": "yes"}}, "manage"),
    ("sign-ups over plain HTTP", {"publicUrl": "http://mail.example.com"}, "publicUrl"),
]


def check_refusals(report):
    for what, values, why in REFUSED:
        try:
            chart.render(values)
            report.tell(f"refuses {what}", ["it was taken"])
        except (helm_python.HelmValuesError, helm_python.HelmRenderError) as err:
            report.tell(f"refuses {what}", [] if why in str(err) else [f"but does not say {why!r}: {err}"])


def check_mutations(report):
    mutations.check(report, lambda it: validate(it, OLDEST))


def check_files(report):
    deploy = chart.ROOT / "deploy"
    report.run("hadolint", [TOOLS / "hadolint", "--config", HERE / "hadolint.yaml", deploy / "Dockerfile"])
    compose = [TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", deploy / "compose.yaml"]
    report.run("compose.yaml is what the specification says", compose)
    plain = [deploy / "compose.yaml", deploy / "monitoring/prometheus.yml", *chart.CHART.glob("*.yaml")]
    report.run("yamllint", [TOOLS / "yamllint", "--strict", "--config-file", HERE / "yamllint.yaml", *plain])
    report.tell("compose.yaml", programs.compose_problems(yaml.safe_load((deploy / "compose.yaml").read_text())))


def check_configs(report):
    programs.check_configs(report)


def check_streams(report):
    programs.check_streams(report)


def check_checkov(report):
    """182 rules of somebody else; tests/deploy/checkov.yaml says which do not fit, and why."""
    checkov = TOOLS / "checkov"
    if not checkov.is_file():
        report.skip("checkov", "not installed: `just deploy-check` does that (about 290 MB)")
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, values in chart.values():
            if not name.startswith(("defaults", "values-")):
                continue
            rendered = Path(folder) / f"{name}.yaml"
            rendered.write_text(yaml.safe_dump_all(chart.render(values)))
            command = [checkov, "--config-file", HERE / "checkov.yaml", "-f", rendered]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
            failed = [it for it in done.stdout.splitlines() if "FAILED" in it or it.startswith("Check:")]
            looked = re.search(r"Passed checks: [1-9]", done.stdout)
            wrong = (failed or [done.stderr or done.stdout]) if done.returncode or not looked else []
            report.tell(f"checkov: {name}", wrong)


CHECKS = {
    "chart": check_chart,
    "refusals": check_refusals,
    "mutations": check_mutations,
    "files": check_files,
    "configs": check_configs,
    "streams": check_streams,
    "first-mail": first_mail.check,
    "checkov": check_checkov,
}


def main():
    report = Report()
    for what in sys.argv[1:] or CHECKS:
        CHECKS[what](report)
    report.close()


if __name__ == "__main__":
    main()
