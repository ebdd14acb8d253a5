//! The identity that the place offers, where no key is configured: one chain, whose error names every link and its answer.
//!
//! A link that the environment sets up is the last one that is tried: another identity in its place would hide what is wrong with it.
//! `docs/identity.md` says which places have which link.

use std::{
    error::Error as _,
    fmt,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use azure_core::{
    Error, Result,
    credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions},
    error::ErrorKind,
    http::{AsyncRawResponse, ClientOptions, HttpClient, Request, Transport},
};
use azure_identity::{
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions, DeveloperToolsCredential,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use bridge_core::failure::{NoCredentials, chain};
use reqwest::{Client, redirect};
use url::Url;

/// "Azure Instance Metadata Service", read 2026-11. Answers on virtual machines and in what runs on them.
const METADATA: &str = "http://169.254.169.254/";

/// Another address of the metadata service; the same variable as in Microsoft's other SDKs.
const METADATA_ADDRESS: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

/// For the metadata service to show that it is there: one hop away, it answers in milliseconds. Microsoft's other SDKs wait as long.
const PROBE: Duration = Duration::from_secs(1);

/// For a connection to an identity service.
const CONNECT: Duration = Duration::from_secs(3);

/// The identity of the place; `client_id` names the one to use where there are several, instead of `AZURE_CLIENT_ID`. Nothing is sent
/// or read until a token is asked for.
pub fn ambient(client_id: Option<String>) -> Arc<dyn TokenCredential> {
    Arc::new(Ambient { place: Place::of_process(client_id), links: OnceLock::new(), chosen: OnceLock::new() })
}

/// What a process finds where it runs.
struct Place {
    variable: fn(&str) -> Option<String>,
    client_id: Option<String>,
}

impl Place {
    fn of_process(client_id: Option<String>) -> Self {
        Self { variable, client_id }
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn client_id(&self) -> Option<String> {
        self.client_id.clone().or_else(|| self.variable("AZURE_CLIENT_ID"))
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// One way to an identity.
struct Link {
    name: &'static str,
    state: State,
}

enum State {
    /// The place does not have it, and why that is known.
    Absent(String),
    /// The place has it, and it cannot be used.
    Refused(String),
    /// The environment sets it up.
    Given(Arc<dyn TokenCredential>),
    /// It may be there: whether it is shows when it is asked.
    Perhaps(Arc<dyn TokenCredential>),
}

/// The chain. The link that gives the first token gives all later ones.
struct Ambient {
    place: Place,
    links: OnceLock<Vec<Link>>,
    chosen: OnceLock<Arc<dyn TokenCredential>>,
}

impl fmt::Debug for Ambient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ambient(..)")
    }
}

#[async_trait]
impl TokenCredential for Ambient {
    async fn get_token(&self, scopes: &[&str], options: Option<TokenRequestOptions<'_>>) -> Result<AccessToken> {
        if let Some(chosen) = self.chosen.get() {
            return chosen.get_token(scopes, options).await;
        }
        let mut answers = Vec::new();
        for Link { name, state } in self.links.get_or_init(|| links(&self.place)) {
            let (credential, last) = match state {
                State::Absent(why) => {
                    answers.push(format!("{name}: {why}"));
                    continue;
                }
                State::Refused(why) => {
                    answers.push(format!("{name}: {why}"));
                    return Err(Error::with_message(ErrorKind::Credential, told(&answers)));
                }
                State::Given(credential) => (credential, true),
                State::Perhaps(credential) => (credential, false),
            };
            match credential.get_token(scopes, options.clone()).await {
                Ok(token) => {
                    let _ = self.chosen.set(Arc::clone(credential));
                    return Ok(token);
                }
                Err(error) => {
                    answers.push(format!("{name}: {}", words(&error)));
                    // A service that is there was asked for a certain identity: that of the developer tools is another one.
                    let there = *error.kind() != ErrorKind::Other;
                    if last || there && self.place.client_id().is_some() {
                        return Err(Error::with_error(ErrorKind::Credential, error, told(&answers)));
                    }
                }
            }
        }
        let none = NoCredentials(told(&answers));
        Err(Error::with_error(ErrorKind::Credential, none.clone(), none.to_string()))
    }
}

fn told(answers: &[String]) -> String {
    format!("no token could be had. Asked in this order: {}", answers.join("; "))
}

/// An error in one line, without the links to web pages that the SDK adds.
fn words(error: &Error) -> String {
    let said = error.source().map_or_else(|| error.to_string(), chain);
    let said = said.split("\nTo troubleshoot").next().unwrap_or_default();
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn links(place: &Place) -> Vec<Link> {
    let link = |name, state| Link { name, state };
    vec![
        link("service principal", service_principal(place)),
        link("workload identity", workload(place)),
        link("managed identity of a function, an app or a container app", managed_by_variables(place)),
        link("managed identity of a virtual machine", managed_by_metadata(place)),
        link("developer tools", developer_tools()),
    ]
}

/// What a credential comes to that the environment sets up.
fn given(credential: Result<Arc<impl TokenCredential + 'static>>) -> State {
    match credential {
        Ok(credential) => State::Given(credential),
        Err(error) => State::Refused(chain(&error)),
    }
}

fn service_principal(place: &Place) -> State {
    let Some(secret) = place.variable("AZURE_CLIENT_SECRET") else {
        return if place.variable("AZURE_CLIENT_CERTIFICATE_PATH").is_some() {
            let instead =
                "set AZURE_CLIENT_SECRET, or give the principal a federated credential (AZURE_FEDERATED_TOKEN_FILE)";
            State::Refused(format!(
                "AZURE_CLIENT_CERTIFICATE_PATH is set, and the bridge signs in with no certificate: {instead}"
            ))
        } else {
            State::Absent("AZURE_CLIENT_SECRET is not set".to_owned())
        };
    };
    let (Some(tenant), Some(client)) = (place.variable("AZURE_TENANT_ID"), place.variable("AZURE_CLIENT_ID")) else {
        return State::Refused("AZURE_CLIENT_SECRET needs AZURE_TENANT_ID and AZURE_CLIENT_ID".to_owned());
    };
    let options = ClientSecretCredentialOptions { client_options: over_the_network() };
    given(ClientSecretCredential::new(&tenant, client, Secret::new(secret), Some(options)))
}

fn workload(place: &Place) -> State {
    let Some(file) = place.variable("AZURE_FEDERATED_TOKEN_FILE") else {
        return State::Absent("AZURE_FEDERATED_TOKEN_FILE is not set".to_owned());
    };
    let options = WorkloadIdentityCredentialOptions {
        credential_options: ClientAssertionCredentialOptions { client_options: over_the_network() },
        client_id: place.client_id(),
        tenant_id: place.variable("AZURE_TENANT_ID"),
        token_file_path: Some(PathBuf::from(file)),
    };
    given(WorkloadIdentityCredential::new(Some(options)))
}

/// "Managed identities for App Service", read 2026-11, which holds for Functions and Container Apps too.
fn managed_by_variables(place: &Place) -> State {
    let set = |name| place.variable(name).is_some();
    let refused = |what: &str| {
        State::Refused(format!(
            "{what} has an identity service of its own, which the bridge does not ask: use a service principal"
        ))
    };
    match (set("IDENTITY_ENDPOINT"), set("IDENTITY_HEADER")) {
        (true, true) if set("IDENTITY_SERVER_THUMBPRINT") => refused("Service Fabric"),
        (true, true) => given(managed(place, None)),
        (true, false) if set("IMDS_ENDPOINT") => refused("Azure Arc"),
        (true, false) => State::Refused("IDENTITY_ENDPOINT is set without IDENTITY_HEADER".to_owned()),
        (false, _) if set("MSI_ENDPOINT") && set("MSI_SECRET") => refused("Azure Machine Learning"),
        (false, _) => State::Absent("IDENTITY_ENDPOINT is not set".to_owned()),
    }
}

fn managed_by_metadata(place: &Place) -> State {
    if place.variable("MSI_ENDPOINT").is_some() {
        return State::Absent("Cloud Shell has none".to_owned());
    }
    let address = place.variable(METADATA_ADDRESS);
    let address = match address.as_deref().unwrap_or(METADATA).parse::<Url>() {
        Ok(address) => address,
        Err(error) => return State::Refused(format!("{METADATA_ADDRESS} is no address: {error}")),
    };
    match managed(place, Some(address.clone())) {
        Ok(credential) => State::Perhaps(Arc::new(Probed { address, credential })),
        Err(error) => State::Refused(chain(&error)),
    }
}

fn managed(place: &Place, metadata: Option<Url>) -> Result<Arc<ManagedIdentityCredential>> {
    let client = Client::builder().no_proxy().redirect(redirect::Policy::none()).connect_timeout(CONNECT).build();
    let client = client.map_err(|error| Error::with_error(ErrorKind::Other, error, "HTTP"))?;
    let client_options = ClientOptions {
        transport: Some(Transport::new(Arc::new(Metadata { client, metadata }))),
        ..ClientOptions::default()
    };
    let user_assigned_id = place.client_id().map(UserAssignedId::ClientId);
    let mut options = ManagedIdentityCredentialOptions::default();
    (options.user_assigned_id, options.client_options) = (user_assigned_id, client_options);
    ManagedIdentityCredential::new(Some(options))
}

fn developer_tools() -> State {
    match DeveloperToolsCredential::new(None) {
        Ok(credential) => State::Perhaps(credential),
        Err(error) => State::Absent(chain(&error)),
    }
}

/// By the proxies of the environment, as Entra ID answers on the Internet.
fn over_the_network() -> ClientOptions {
    let client = Client::builder().redirect(redirect::Policy::none()).connect_timeout(CONNECT).build();
    // A client that cannot be built is left to the SDK, which says why.
    ClientOptions { transport: client.ok().map(|client| Transport::new(Arc::new(client))), ..ClientOptions::default() }
}

/// Asks identity services of the machine: past every proxy.
#[derive(Debug)]
struct Metadata {
    client: Client,
    /// Another address than the SDK's own.
    metadata: Option<Url>,
}

#[async_trait]
impl HttpClient for Metadata {
    async fn execute_request(&self, request: &Request) -> Result<AsyncRawResponse> {
        let Some(address) = &self.metadata else { return self.client.execute_request(request).await };
        let mut request = request.clone();
        let mut url = address.clone();
        url.set_path(request.url().path());
        url.set_query(request.url().query());
        *request.url_mut() = url;
        self.client.execute_request(&request).await
    }
}

/// A metadata service that is asked whether it is there first: the SDK would ask one that is not there for over a minute.
#[derive(Debug)]
struct Probed {
    address: Url,
    credential: Arc<ManagedIdentityCredential>,
}

#[async_trait]
impl TokenCredential for Probed {
    async fn get_token(&self, scopes: &[&str], options: Option<TokenRequestOptions<'_>>) -> Result<AccessToken> {
        self.probe().await?;
        self.credential.get_token(scopes, options).await
    }
}

impl Probed {
    /// Without its header Azure's service answers 400, at once; what answers otherwise is another cloud's.
    async fn probe(&self) -> Result<()> {
        let absent = |why: String| Error::with_message(ErrorKind::Other, why);
        let client = Client::builder().no_proxy().redirect(redirect::Policy::none()).timeout(PROBE).build();
        let client = client.map_err(|error| absent(error.to_string()))?;
        let mut url = self.address.clone();
        url.set_path("/metadata/identity/oauth2/token");
        let host = self.address.host_str().unwrap_or_default();
        match client.get(url).send().await {
            Ok(answer) if answer.status() == 400 => Ok(()),
            Ok(answer) => {
                Err(absent(format!("{host} answered {}, as no service of Azure does", answer.status().as_u16())))
            }
            Err(_) => Err(absent(format!("{host} did not answer within {} s", PROBE.as_secs()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(variables: fn(&str) -> Option<String>, link: &str) -> String {
        let place = Place { variable: variables, client_id: None };
        let state = links(&place).into_iter().find(|known| known.name.starts_with(link)).unwrap().state;
        match state {
            State::Absent(why) => format!("absent: {why}"),
            State::Refused(why) => format!("refused: {why}"),
            State::Given(_) => "given".to_owned(),
            State::Perhaps(_) => "perhaps".to_owned(),
        }
    }

    fn set(name: &str, names: &[&str]) -> Option<String> {
        names.contains(&name).then(|| "https://127.0.0.1/\n".to_owned())
    }

    #[test]
    fn each_place_has_its_link_and_what_is_not_supported_says_so() {
        let nothing = |_: &str| None;
        assert_eq!(state(nothing, "service"), "absent: AZURE_CLIENT_SECRET is not set");
        assert_eq!(state(nothing, "workload"), "absent: AZURE_FEDERATED_TOKEN_FILE is not set");
        assert_eq!(state(nothing, "managed identity of a function"), "absent: IDENTITY_ENDPOINT is not set");
        assert_eq!(state(nothing, "managed identity of a virtual machine"), "perhaps");
        assert_eq!(
            state(|name| set(name, &["AZURE_CLIENT_SECRET"]), "service"),
            "refused: AZURE_CLIENT_SECRET needs AZURE_TENANT_ID and AZURE_CLIENT_ID"
        );
        let certificate = state(|name| set(name, &["AZURE_CLIENT_CERTIFICATE_PATH"]), "service");
        assert!(certificate.starts_with("refused: AZURE_CLIENT_CERTIFICATE_PATH is set"), "{certificate}");
        let arc = state(|name| set(name, &["IDENTITY_ENDPOINT", "IMDS_ENDPOINT"]), "managed identity of a function");
        assert!(arc.starts_with("refused: Azure Arc"), "{arc}");
        let fabric = |name: &str| set(name, &["IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT"]);
        assert!(state(fabric, "managed identity of a function").starts_with("refused: Service Fabric"));
        let learning = |name: &str| set(name, &["MSI_ENDPOINT", "MSI_SECRET"]);
        assert!(state(learning, "managed identity of a function").starts_with("refused: Azure Machine Learning"));
        assert_eq!(state(learning, "managed identity of a virtual machine"), "absent: Cloud Shell has none");
        let missing = state(|name| set(name, &["AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID"]), "workload");
        assert!(missing.starts_with("refused: "), "{missing}");
    }

    #[tokio::test]
    async fn the_error_names_every_link_and_stops_at_the_one_that_was_set_up() {
        let place = Place { variable: |name| set(name, &["IDENTITY_ENDPOINT", "IMDS_ENDPOINT"]), client_id: None };
        let ambient = Ambient { place, links: OnceLock::new(), chosen: OnceLock::new() };
        let error = ambient.get_token(&["https://servicebus.azure.net/.default"], None).await.unwrap_err().to_string();
        let expected = "no token could be had. Asked in this order: service principal: AZURE_CLIENT_SECRET is not set; \
                        workload identity: AZURE_FEDERATED_TOKEN_FILE is not set; managed identity of a function, an app or a container app: Azure Arc";
        assert!(error.starts_with(expected) && !error.contains("virtual machine"), "{error}");
    }
}
