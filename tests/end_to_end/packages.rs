//! What `just package` makes: small, with everything that a host looks for, and without the clouds of localcloud.

use std::{os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use crate::program::must;

/// The packages, unpacked as the hosts do it.
pub(crate) fn packages() -> PathBuf {
    let folder = std::env::var_os("BRIDGE_PACKAGE_DIR");
    folder.expect("BRIDGE_PACKAGE_DIR names the unpacked packages: run the tests through ./just test").into()
}

/// "Lambda quotas", read 2026-11: 250 MB unpacked. The design's own bound is 12 MB packed, which `deploy/package.py` holds.
#[test]
fn each_package_has_what_its_host_looks_for() {
    let folder = packages();
    let files = ["lambda/bootstrap", "function/bridge", "function/host.json"];
    let functions = ["function/Replicate/function.json", "function/Heartbeat/function.json"];
    for file in files.iter().chain(&functions) {
        assert!(folder.join(file).is_file(), "{file}");
    }
    for program in ["lambda/bootstrap", "function/bridge"] {
        let mode = std::fs::metadata(folder.join(program)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{program} has its run bit");
    }
    let host: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("function/host.json")).unwrap()).unwrap();
    assert_eq!(host["customHandler"]["description"]["defaultExecutablePath"], "bridge");
}

#[test]
fn no_package_has_localcloud() {
    for program in ["lambda/bootstrap", "function/bridge"] {
        let program = packages().join(program);
        let refused = Command::new(&program).args(["local"]).output().unwrap();
        assert_eq!(refused.status.code(), Some(64), "{}", String::from_utf8_lossy(&refused.stderr));
        must(Command::new(&program).arg("--version"));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = Command::new(cargo);
    tree.args(["tree", "--locked", "--package", "bridge", "--edges", "normal", "--prefix", "none"]);
    tree.current_dir(env!("CARGO_MANIFEST_DIR"));
    let with = String::from_utf8(must(&mut tree).stdout).unwrap();
    let without = String::from_utf8(must(tree.arg("--no-default-features")).stdout).unwrap();
    for package in ["localcloud ", "dynoxide-rs ", "rusqlite "] {
        assert!(with.contains(package), "{package}is where the test looks for it");
        assert!(!without.contains(package), "{package}is in the package");
    }
}
