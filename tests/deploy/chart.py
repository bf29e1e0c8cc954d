"""The chart as Helm renders it, by its value sets."""

from pathlib import Path

import helm_python
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/posthouse"
RELEASE, NAMESPACE = "mail", "posthouse"

# The defaults, the value sets, and what none of them has.
SETS = {path.stem.removeprefix("values-"): path for path in sorted(CHART.glob("values-*.yaml"))}
WITHOUT = {
    "policies off, streams by hand": {"networkPolicy": {"enabled": False}, "streams": {"manage": "external"}},
    "a key instead of a password": {
        "nats": {"mode": "external", "url": "nats://nats.example:4222", "login": {"method": "nkey"}},
    },
    "no intake": {"stages": {"intake": {"enabled": False}}},
    "limits for receivers, secrets, environment": {
        "stages": {
            "sender": {
                "shaping": (ROOT / "deploy/config/shaping.toml").read_text(),
                "secretMounts": [{"secret": "relay", "path": "/etc/posthouse/relay"}],
                "env": [{"name": "RUST_LOG", "value": "debug"}],
            }
        }
    },
}


def values():
    """Name and values of everything that is checked."""
    yield "defaults", {}
    for name, path in SETS.items():
        yield f"values-{name}", yaml.safe_load(path.read_text())
    yield from WITHOUT.items()


def render(wanted):
    """What would be applied: a list of resources."""
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render(wanted, name=RELEASE, namespace=NAMESPACE)
    texts = [text for path, text in files.items() if path.endswith(".yaml")]
    return [it for text in texts for it in yaml.safe_load_all(text) if it]


def of_kind(resources, *kinds):
    return [it for it in resources if it["kind"] in kinds]


def workloads(resources):
    return of_kind(resources, "Deployment", "StatefulSet", "Job")


def name(resource):
    return f"{resource['kind']}/{resource['metadata']['name']}"


def component(resource):
    return resource["metadata"]["labels"]["app.kubernetes.io/component"]


def selects(selector, labels):
    """Whether a label selector fits labels."""
    wanted = selector.get("matchLabels", {}).items()
    among = selector.get("matchExpressions", [])
    return all(labels.get(key) == value for key, value in wanted) and all(
        it["operator"] == "In" and labels.get(it["key"]) in it["values"] for it in among
    )
