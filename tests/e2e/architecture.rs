//! Holds `docs/architecture.md` to what Cargo sees.

use std::process::Command;

use serde_json::Value;

/// Lowest first: a crate depends only on crates of lower lines. The second to the fourth are one layer.
const LAYERS: [&[&str]; 6] = [
    &[
        "contract",
        "injection",
        "opinion",
        "outside",
        "service",
        "local-nats",
        "test-dns",
        "test-model",
        "test-peer",
        "codegen",
    ],
    &["mail", "documents", "nats-login"],
    &["bus", "store", "reading"],
    &["mcp"],
    &["intake", "scanner", "storage", "sender", "webhooks", "gateway", "trainer"],
    &["posthouse", "e2e"],
];

#[test]
fn dependencies_point_down() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .output()
        .expect("run cargo metadata");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("parse metadata");

    let mut violations = Vec::new();
    let packages = metadata["packages"].as_array().expect("packages");
    for package in packages {
        let name = package["name"].as_str().expect("name");
        let own = layer(name).unwrap_or_else(|| panic!("give {name} a layer"));
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let (on, kind) = (dependency["name"].as_str().expect("name"), &dependency["kind"]);
            if kind.is_null() && layer(on).is_some_and(|it| own <= it) {
                violations.push(format!("{name} -> {on}"));
            }
        }
    }
    assert!(violations.is_empty(), "{violations:?}");
    assert_eq!(packages.len(), LAYERS.concat().len(), "a layer names a crate that is gone");
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|it| it.contains(&name))
}
