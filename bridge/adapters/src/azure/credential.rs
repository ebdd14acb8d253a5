//! How a worker proves to Service Bus who it is. Prints no secret, in no format.

use std::{fmt, sync::Arc, time::Duration};

use azure_core::credentials::TokenCredential;

/// Proof of identity for a Service Bus namespace or one of its queues.
#[derive(Clone)]
pub enum ServiceBusCredential {
    /// A key of a shared access policy; signatures are made here.
    SharedKey {
        /// Name of the policy.
        name: String,
        /// Its key, as the portal shows it.
        key: String,
        /// How long a signature is good for.
        life: Duration,
    },
    /// A token of Microsoft Entra ID: a managed identity, or a federated one from another cloud.
    Token(Arc<dyn TokenCredential>),
}

impl fmt::Debug for ServiceBusCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SharedKey { name, .. } => write!(f, "SharedKey {{ name: {name:?}, key: *** }}"),
            Self::Token(_) => f.write_str("Token(***)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_prints_its_name_and_never_its_key() {
        let (name, key) = ("worker".to_owned(), "c2VjcmV0".to_owned());
        let credential = ServiceBusCredential::SharedKey { name, key, life: Duration::from_hours(1) };
        assert_eq!(format!("{credential:?}"), r#"SharedKey { name: "worker", key: *** }"#);
        assert!(!format!("{credential:#?}").contains("c2VjcmV0"));
    }
}
