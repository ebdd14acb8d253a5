//! The identity that the place offers, where no key is configured.

use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_identity::{DeveloperToolsCredential, ManagedIdentityCredential, WorkloadIdentityCredential};

/// The identity of the place: that of a workload with a federated token (Kubernetes), the managed identity of a function
/// or a container app, or else whoever is signed in to the developer tools of this machine.
///
/// Which one it is, is told by the variables that each place sets ("Managed identities for App Service", "Workload
/// identity", read 2026-11). Nothing is sent: what is wrong shows at the first call.
///
/// # Errors
/// The place says that it has an identity, and then lacks a part of it.
pub fn ambient() -> azure_core::Result<Arc<dyn TokenCredential>> {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if set("AZURE_FEDERATED_TOKEN_FILE") {
        return Ok(WorkloadIdentityCredential::new(None)?);
    }
    if set("IDENTITY_ENDPOINT") {
        return Ok(ManagedIdentityCredential::new(None)?);
    }
    Ok(DeveloperToolsCredential::new(None)?)
}
