//! The certificates that TLS trusts, where the environment names them. The clients of both clouds read the same two variables, and one of them
//! panics at what it cannot use.

use std::{ffi::OsString, fs, path::Path};

use crate::exit::Misuse;

/// Refuses variables of certificates that name none. One that is not set leaves the system's own.
///
/// # Errors
/// The variable, what it names, and what it must name.
pub(crate) fn check(environment: impl Fn(&str) -> Option<OsString>) -> Result<(), Misuse> {
    let certificate =
        |path: &Path| fs::read(path).is_ok_and(|bytes| bytes.windows(BEGIN.len()).any(|window| window == BEGIN));
    let is_file: &dyn Fn(&Path) -> bool = &certificate;
    let is_folder: &dyn Fn(&Path) -> bool =
        &|path| fs::read_dir(path).is_ok_and(|entries| entries.flatten().any(|entry| certificate(&entry.path())));
    for (name, what, holds) in
        [("SSL_CERT_FILE", "a file with certificates", is_file), ("SSL_CERT_DIR", "a folder of such files", is_folder)]
    {
        let Some(value) = environment(name) else { continue };
        if !holds(Path::new(&value)) {
            return Err(Misuse(format!(
                "{name} is {:?}, which is not {what} in PEM form: correct it, or unset it to trust the system's own",
                value.to_string_lossy()
            )));
        }
    }
    Ok(())
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_no_certificate_is_refused_by_name() {
        let folder = std::env::temp_dir().join(format!("bridge-trust-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        let at = |name: &str| folder.join(name).into_os_string();
        fs::write(at("other.txt"), "no certificate").unwrap();
        let said = |variable: &str, value: OsString| check(|name| (name == variable).then(|| value.clone()));
        for (variable, value) in [
            ("SSL_CERT_FILE", OsString::new()),
            ("SSL_CERT_FILE", at("nowhere.pem")),
            ("SSL_CERT_FILE", at("other.txt")),
            ("SSL_CERT_FILE", folder.clone().into()),
            ("SSL_CERT_DIR", OsString::new()),
            ("SSL_CERT_DIR", folder.clone().into()),
        ] {
            let error = said(variable, value.clone()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{variable} is ")) && error.contains("unset it"), "{value:?}: {error}");
        }
        fs::write(at("ca.pem"), "a comment\n-----BEGIN CERTIFICATE-----\nMII=\n").unwrap();
        assert!(said("SSL_CERT_FILE", at("ca.pem")).is_ok() && said("SSL_CERT_DIR", folder.clone().into()).is_ok());
        assert!(check(|_| None).is_ok());
        fs::remove_dir_all(folder).unwrap();
    }
}
