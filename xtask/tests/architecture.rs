//! The shape of the workspace, as ARCHITECTURE.md draws it: who may know whom, what modules are not called, and what
//! the public API does not show.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Who may know whom, of our own crates. A crate that is not here may not exist; an edge that is not here may not.
/// Tests, benches and tools stand outside: they may know all, and nobody may know them.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("farloop-core", &[]),
    ("farloop-proto", &["farloop-core"]),
    ("farloop-store", &["farloop-core", "farloop-proto"]),
    ("farloop-macros", &[]),
    ("farloop-telemetry", &[]),
    ("farloop", &["farloop-core", "farloop-proto", "farloop-macros", "farloop-telemetry"]),
    // Never farloop: what schedules must not depend on what is scheduled.
    ("farloop-coordinator", &["farloop-core", "farloop-proto", "farloop-store", "farloop-telemetry"]),
    ("farloop-worker", &["farloop", "farloop-telemetry"]),
    (
        "farloop-cli",
        &[
            "farloop",
            "farloop-core",
            "farloop-proto",
            "farloop-store",
            "farloop-telemetry",
            "farloop-coordinator",
            "farloop-worker",
        ],
    ),
];
const OUTSIDE: &[&str] =
    &["farloop-test-cluster", "farloop-test-conformance", "farloop-test-simulation", "farloop-benches", "xtask"];

/// What the core may use of others: nothing that knows a clock, a socket, a thread or a random number.
const CORE_MAY_USE: &[&str] = &["bytes", "hashbrown", "slab", "thiserror", "uuid"];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "types", "manager", "misc"];

struct Dependency {
    name: String,
    ours: bool,
    dev: bool,
}

struct Package {
    name: String,
    root: PathBuf,
    dependencies: Vec<Dependency>,
}

#[test]
fn crates_know_only_whom_they_may() -> Result<()> {
    let rule: BTreeMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for package in packages()? {
        let name = package.name.as_str();
        seen.insert(name.to_owned());
        if OUTSIDE.contains(&name) {
            continue;
        }
        let Some(allowed) = rule.get(name) else {
            wrong.push(format!("{name} is not in the table"));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| d.ours) {
            let known = dependency.name.as_str();
            // A crate's tests may reach for what runs them; those of the core and the coordinator stand alone too.
            let alone = ["farloop-core", "farloop-coordinator"].contains(&name);
            let tests_only = dependency.dev && !alone && !OUTSIDE.contains(&known);
            if !allowed.contains(&known) && !tests_only {
                wrong.push(format!("{name} knows {known}"));
            }
        }
    }
    for name in rule.keys().chain(OUTSIDE) {
        if !seen.contains(*name) {
            wrong.push(format!("{name} is in the table and not in the workspace"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn the_core_is_pure() -> Result<()> {
    let packages = packages()?;
    let core = packages.iter().find(|p| p.name == "farloop-core").context("farloop-core")?;
    let used: Vec<_> = core.dependencies.iter().filter(|d| !d.dev).map(|d| d.name.as_str()).collect();
    let foreign: Vec<_> = used.iter().filter(|name| !CORE_MAY_USE.contains(name)).collect();
    ensure!(foreign.is_empty(), "farloop-core uses {foreign:?}");
    let lib = fs::read_to_string(core.root.join("src/lib.rs"))?;
    ensure!(lib.contains("#![no_std]"), "farloop-core is not no_std");
    // With `extern crate std` in non-test code clocks and sockets could be named again.
    for file in sources(&core.root.join("src"))? {
        let text = fs::read_to_string(&file)?;
        for (line, text) in text.lines().enumerate() {
            let code = text.split("//").next().unwrap_or_default();
            ensure!(!code.contains("extern crate std"), "{}:{}: std in the core", file.display(), line + 1);
        }
    }
    Ok(())
}

#[test]
fn modules_have_names() -> Result<()> {
    let mut wrong = Vec::new();
    for package in packages()? {
        for file in sources(&package.root)? {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            let parents = file.strip_prefix(&package.root).unwrap_or(&file).components();
            let folders: Vec<_> = parents.map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
            if EMPTY_NAMES.contains(&&*stem) || folders.iter().any(|f| EMPTY_NAMES.contains(&f.as_str())) {
                wrong.push(file.display().to_string());
            }
            let text = fs::read_to_string(&file)?;
            for name in inline_modules(&text).filter(|name| EMPTY_NAMES.contains(name)) {
                wrong.push(format!("{}: mod {name}", file.display()));
            }
        }
    }
    ensure!(wrong.is_empty(), "these names say nothing about what is inside:\n{}", wrong.join("\n"));
    Ok(())
}

/// `tonic` and `prost` may change their major version without farloop changing its own.
#[test]
fn the_public_api_shows_neither_tonic_nor_prost() -> Result<()> {
    let packages = packages()?;
    let sdk = packages.iter().find(|p| p.name == "farloop").context("farloop")?;
    let mut wrong = Vec::new();
    for file in sources(&sdk.root.join("src"))? {
        let text = fs::read_to_string(&file)?;
        for (line, item) in public_items(&text) {
            if ["tonic", "prost", "farloop_proto"].iter().any(|hidden| mentions(&item, hidden)) {
                wrong.push(format!("{}:{line}: {item}", file.display()));
            }
        }
    }
    ensure!(wrong.is_empty(), "these public items show the wire:\n{}", wrong.join("\n"));
    Ok(())
}

fn packages() -> Result<Vec<Package>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let text = |value: &Value, key: &str| value[key].as_str().map(str::to_owned);
    let list = metadata["packages"].as_array().context("packages")?;
    list.iter()
        .map(|package| {
            let manifest = PathBuf::from(text(package, "manifest_path").context("manifest_path")?);
            let dependencies = package["dependencies"].as_array().context("dependencies")?.iter();
            Ok(Package {
                name: text(package, "name").context("name")?,
                root: manifest.parent().context("a manifest lies in a folder")?.to_owned(),
                dependencies: dependencies
                    .map(|dependency| {
                        Ok(Dependency {
                            name: text(dependency, "name").context("name")?,
                            ours: !dependency["path"].is_null(),
                            dev: dependency["kind"] == "dev",
                        })
                    })
                    .collect::<Result<_>>()?,
            })
        })
        .collect()
}

/// Rust files below a folder, generated ones and build output excepted.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "target" && name != "generated" {
                found.extend(sources(&path)?);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    Ok(found)
}

fn inline_modules(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let line = line.trim_start();
        let rest = line.split_once("mod ").filter(|(before, _)| before.is_empty() || before.starts_with("pub"))?.1;
        Some(rest.trim_end_matches([';', '{', ' ', '}']))
    })
}

/// What follows a bare `pub`, up to its body: signature, type, re-export or field, with the line it begins on.
/// Public enum variants and trait items are read with their whole block, since they are public without saying so.
fn public_items(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let mut items = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let line = line.trim_start();
        // A conversion is public wherever it stands: `impl From<tonic::Status> for Error` shows tonic.
        let conversion = line.starts_with("impl") && line.contains("From<") && !line.contains("From<&'static");
        if !line.starts_with("pub ") && !conversion {
            continue;
        }
        let whole = line.starts_with("pub enum ") || line.starts_with("pub trait ");
        let mut item = String::new();
        let mut depth = 0_usize;
        for line in &lines[index..] {
            item.push_str(line.trim());
            item.push(' ');
            depth = (depth + line.matches('{').count()).saturating_sub(line.matches('}').count());
            let closed = depth == 0 && line.contains('}');
            let opened = line.contains('{') && !item.starts_with("pub use");
            if line.contains(';')
                || closed
                || (opened && !whole)
                || (line.trim_end().ends_with(',') && depth == 0 && is_field(&item))
            {
                break;
            }
        }
        items.push((index + 1, item.trim().to_owned()));
    }
    items
}

fn is_field(item: &str) -> bool {
    !["fn ", "struct ", "enum ", "trait ", "type ", "use "].iter().any(|keyword| item.contains(keyword))
}

/// Whether a path that begins with this crate's name stands in the text.
fn mentions(item: &str, krate: &str) -> bool {
    item.match_indices(krate).any(|(at, _)| {
        let before = item[..at].chars().next_back();
        let after = &item[at + krate.len()..];
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn the_reader_of_public_items_sees_what_it_should() {
    let text = "\
pub use crate::error::{\n    Error,\n    tonic::Status,\n};
pub(crate) use tonic::Code;
pub fn connect(\n    address: &str, // tonic\n) -> Result<tonic::Channel> {\n    let x = prost::y();\n}
pub struct Open {\n    pub channel: tonic::Channel,\n    inner: prost::Thing,\n}
pub enum Shown {\n    A(prost::Error),\n}
impl From<tonic::Status> for Error {\n}
";
    let shown: Vec<usize> = public_items(text)
        .iter()
        .filter(|(_, i)| mentions(i, "tonic") || mentions(i, "prost"))
        .map(|(l, _)| *l)
        .collect();
    assert_eq!(shown, [1, 6, 12, 15, 18]);
    assert_eq!(
        inline_modules("pub mod utils;\n    mod helpers {\nlet x = a mod b").collect::<Vec<_>>(),
        ["utils", "helpers"]
    );
}
