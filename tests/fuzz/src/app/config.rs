//! The configuration's TOML, alone and with a secret in each place that has one.

use std::collections::BTreeMap;

use crate::{
    config::{Config, Sources},
    text,
};

const SECRET: &str = "5ecre7Key";

/// Read, or refused with all errors at once; and no secret shows, be the text around it as broken as it may.
pub(crate) fn run(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    // Without a line's end the text would be the path of a file.
    let before = format!("{text}\n");
    let broken = format!("[sites.\"azure:westeurope\"]\ncosmos_key = \"{SECRET}\"{text}\n");
    let own = format!("{text}\n[sites.\"aws:eu-west-1\"]\nsecret_access_key = \"{SECRET}\"\n");
    for file in [before, broken, own] {
        let environment = ["SERVICE_BUS_CONNECTION_STRING", "COSMOS_KEY"]
            .map(|name| (format!("BRIDGE_SITES_AZURE_WESTEUROPE_{name}"), format!("SharedAccessKey={SECRET}")));
        for environment in [BTreeMap::new(), environment.into()] {
            let sources = Sources { file: Some(file.clone()), site: Some("aws:us-east-1".to_owned()), environment };
            match Config::load(&sources) {
                Ok(config) => {
                    assert!(config.own_site().is_ok() && config.message_bytes_max() > 0);
                    assert!(config.entries.iter().all(|entry| !format!("{entry:?}").contains(SECRET)));
                }
                Err(errors) => assert!(!errors.to_string().contains(SECRET), "{errors}"),
            }
        }
    }
}
