//! The identity that the place offers, where no key is configured: the links of Azure. `docs/identity.md` says which places have which.

use std::{
    collections::HashMap,
    error::Error as _,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
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
use bridge_core::failure::{causes, chain};
use reqwest::{Client, redirect};
use url::Url;

use super::from_aws::{Federated, FromAws};
use crate::token::{
    ANSWER, Chain, Fresh, Link, Links, NoToken, OfProcess, Renewed, Source, State, TOOL, Why, is_header, variable,
    within,
};

/// "Azure Instance Metadata Service", read 2026-11. Answers on virtual machines and in what runs on them.
const METADATA: &str = "http://169.254.169.254/";

/// Another address of the metadata service; the same variable as in Microsoft's other SDKs.
const METADATA_ADDRESS: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

/// For the metadata service to show that it is there: one hop away, it answers in milliseconds. Microsoft's other SDKs wait as long.
const PROBE: Duration = Duration::from_secs(1);

/// For a connection to an identity service.
const CONNECT: Duration = Duration::from_secs(3);

/// Which identity a process has in Azure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AzureIdentity {
    /// The user-assigned identity to use where there are several, instead of `AZURE_CLIENT_ID`.
    pub client_id: Option<String>,
    /// How a process on AWS gets in.
    pub from_aws: Option<FromAws>,
}

/// The identity of the place, one for all clients of the process. Nothing is sent or read until a token is asked for.
pub fn ambient(identity: AzureIdentity) -> Arc<dyn TokenCredential> {
    of_process(identity, true)
}

/// Which link of the chain gives a process its tokens, as far as that is known without asking.
pub async fn way(identity: AzureIdentity) -> String {
    Chain::new(Place { variable, identity, tools: true }).way().await
}

fn of_process(identity: AzureIdentity, tools: bool) -> Arc<dyn TokenCredential> {
    static KNOWN: OfProcess<(AzureIdentity, bool), Ambient> = OfProcess::new();
    let new = |(identity, tools): &(AzureIdentity, bool)| {
        Ambient::new(Place { variable, identity: identity.clone(), tools: *tools })
    };
    KNOWN.get((identity, tools), new)
}

/// The same without the tools of a developer, for a service that trusts the identity of a machine alone.
pub fn of_machine(client_id: Option<String>) -> Arc<dyn TokenCredential> {
    of_process(AzureIdentity { client_id, from_aws: None }, false)
}

/// What a process finds where it runs.
struct Place {
    variable: fn(&str) -> Option<String>,
    identity: AzureIdentity,
    tools: bool,
}

impl Place {
    fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name)
    }

    fn client_id(&self) -> Option<String> {
        self.identity.client_id.clone().or_else(|| self.variable("AZURE_CLIENT_ID"))
    }
}

type Tokens = State<AccessToken>;

/// The chain, and a token for each service that was asked for.
struct Ambient {
    chain: Arc<Chain<AccessToken, Place>>,
    tokens: Mutex<HashMap<String, Arc<Renewed<AccessToken>>>>,
}

impl Ambient {
    fn new(place: Place) -> Self {
        Self { chain: Arc::new(Chain::new(place)), tokens: Mutex::default() }
    }
}

impl fmt::Debug for Ambient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ambient(..)")
    }
}

#[async_trait]
impl TokenCredential for Ambient {
    async fn get_token(&self, scopes: &[&str], _: Option<TokenRequestOptions<'_>>) -> Result<AccessToken> {
        let scope = scopes.join(" ");
        let renewed = {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Renewed::new(Arc::clone(&self.chain) as Arc<dyn Source<AccessToken>>, &scope));
            Arc::clone(tokens.entry(scope.clone()).or_insert_with(new))
        };
        renewed.get().await.map_err(|none| {
            let told = none.to_string();
            Error::with_error(ErrorKind::Credential, none, told)
        })
    }
}

/// One of the SDK's credentials.
struct Sdk {
    credential: Arc<dyn TokenCredential>,
    limit: Duration,
}

#[async_trait]
impl Source<AccessToken> for Sdk {
    async fn issue(&self, scope: &str) -> std::result::Result<Fresh<AccessToken>, NoToken> {
        let asked = async { self.credential.get_token(&[scope], None).await.map_err(|error| no_token(&error)) };
        let token = within(self.limit, asked).await?;
        if !is_header(token.token.secret()) {
            return Err(NoToken::refused("gave a token that no header carries"));
        }
        Ok(Fresh { ends: Some(token.expires_on.into()), token })
    }
}

/// A refused identity stops the worker; an identity service that cannot be reached must not. The SDK reports both as failed credentials, so
/// the causes decide.
pub(super) fn no_token(error: &Error) -> NoToken {
    let is_away = |error: &Error| match error.kind() {
        ErrorKind::Io | ErrorKind::Connection => true,
        ErrorKind::HttpResponse { status, .. } => status.is_server_error() || u16::from(*status) == 429,
        _ => false,
    };
    let away = causes(error).filter_map(|cause| cause.downcast_ref()).any(is_away);
    NoToken { told: words(error), why: if away { Why::Away } else { Why::Refused } }
}

/// An error in one line, without the links to web pages that the SDK adds.
pub(super) fn words(error: &Error) -> String {
    let said = error.source().map_or_else(|| error.to_string(), chain);
    let said = said.split("\nTo troubleshoot").next().unwrap_or_default();
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[async_trait]
impl Links<AccessToken> for Place {
    async fn links(&self) -> Vec<Link<AccessToken>> {
        let link = |name, state| Link { name, state };
        let mut links = vec![
            link("service principal", service_principal(self)),
            link("workload identity", workload(self)),
            link("managed identity of a function, an app or a container app", managed_by_variables(self)),
        ];
        let (here, elsewhere) = from_aws(self);
        links.extend(here.map(|state| link(FROM_AWS, state)));
        links.push(link("managed identity of a virtual machine", managed_by_metadata(self)));
        if self.tools {
            links.push(link("developer tools", developer_tools()));
        }
        links.extend(elsewhere.map(|state| link(FROM_AWS, state)));
        links
    }
}

const FROM_AWS: &str = "role of AWS";

/// Where the process runs on AWS for certain, and where it may.
fn from_aws(place: &Place) -> (Option<Tokens>, Option<Tokens>) {
    let Some(from) = &place.identity.from_aws else { return (None, None) };
    let source = match Federated::new(from.clone()) {
        Ok(source) => Arc::new(source),
        Err(error) => return (Some(State::Refused(words(&error))), None),
    };
    // Lambda, ECS and EKS; "Lambda environment variables" and "Container credential provider", read 2026-11.
    let of_aws = [
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ];
    if of_aws.into_iter().any(|name| place.variable(name).is_some()) {
        (Some(State::Given(source)), None)
    } else {
        (None, Some(State::Perhaps(source)))
    }
}

/// What a credential comes to that the environment sets up.
fn given(credential: Result<Arc<impl TokenCredential + 'static>>) -> Tokens {
    match credential {
        Ok(credential) => State::Given(Arc::new(Sdk { credential, limit: ANSWER })),
        Err(error) => State::Refused(words(&error)),
    }
}

fn service_principal(place: &Place) -> Tokens {
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

fn workload(place: &Place) -> Tokens {
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
fn managed_by_variables(place: &Place) -> Tokens {
    let set = |name| place.variable(name).is_some();
    let refused = |what: &str| {
        State::Refused(format!(
            "{what} has an identity service of its own, which the bridge does not ask: use a service principal"
        ))
    };
    if place.variable("IDENTITY_HEADER").is_some_and(|header| !is_header(&header)) {
        return State::Refused("IDENTITY_HEADER has a character that no header carries".to_owned());
    }
    match (set("IDENTITY_ENDPOINT"), set("IDENTITY_HEADER")) {
        (true, true) if set("IDENTITY_SERVER_THUMBPRINT") => refused("Service Fabric"),
        (true, true) => given(managed(place, None)),
        (true, false) if set("IMDS_ENDPOINT") => refused("Azure Arc"),
        (true, false) => State::Refused("IDENTITY_ENDPOINT is set without IDENTITY_HEADER".to_owned()),
        (false, _) if set("MSI_ENDPOINT") && set("MSI_SECRET") => refused("Azure Machine Learning"),
        (false, _) => State::Absent("IDENTITY_ENDPOINT is not set".to_owned()),
    }
}

fn managed_by_metadata(place: &Place) -> Tokens {
    if place.variable("MSI_ENDPOINT").is_some() {
        return State::Absent("Cloud Shell has none".to_owned());
    }
    let address = place.variable(METADATA_ADDRESS);
    let address = match address.as_deref().unwrap_or(METADATA).parse::<Url>() {
        Ok(address) => address,
        Err(error) => return State::Refused(format!("{METADATA_ADDRESS} is no address: {error}")),
    };
    match managed(place, Some(address.clone())) {
        Ok(credential) => {
            let named = place.client_id().is_some();
            State::Perhaps(Arc::new(Probed { address, credential: Sdk { credential, limit: ANSWER }, named }))
        }
        Err(error) => State::Refused(words(&error)),
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

fn developer_tools() -> Tokens {
    match DeveloperToolsCredential::new(None) {
        Ok(credential) => State::Perhaps(Arc::new(Tools(Sdk { credential, limit: TOOL }))),
        Err(error) => State::Absent(chain(&error)),
    }
}

/// Those that are signed in; that none is, is no mistake.
struct Tools(Sdk);

#[async_trait]
impl Source<AccessToken> for Tools {
    async fn issue(&self, scope: &str) -> std::result::Result<Fresh<AccessToken>, NoToken> {
        self.0.issue(scope).await.map_err(|error| NoToken::absent(error.told))
    }
}

/// By the proxies of the environment, as Entra ID answers on the Internet.
pub(super) fn over_the_network() -> ClientOptions {
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
        let mut request = request.clone();
        // The SDK takes it from the environment as it stands, and panics at a line's end.
        if let Some(header) = variable("IDENTITY_HEADER").filter(|_| self.metadata.is_none()) {
            request.insert_header("x-identity-header", header);
        }
        if let Some(address) = &self.metadata {
            let mut url = address.clone();
            url.set_path(request.url().path());
            url.set_query(request.url().query());
            *request.url_mut() = url;
        }
        self.client.execute_request(&request).await
    }
}

/// A metadata service that is asked whether it is there first: the SDK would ask one that is not there for over a minute.
struct Probed {
    address: Url,
    credential: Sdk,
    /// A service that is there is asked for a certain identity: what the next link has is another one.
    named: bool,
}

#[async_trait]
impl Source<AccessToken> for Probed {
    async fn issue(&self, scope: &str) -> std::result::Result<Fresh<AccessToken>, NoToken> {
        self.probe().await?;
        self.credential.issue(scope).await.map_err(|error| match error.why {
            Why::Refused if !self.named => NoToken::absent(error.told),
            _ => error,
        })
    }
}

impl Probed {
    /// Without its header Azure's service answers 400, at once; what answers otherwise is another cloud's.
    async fn probe(&self) -> std::result::Result<(), NoToken> {
        let client = Client::builder().no_proxy().redirect(redirect::Policy::none()).timeout(PROBE).build();
        let client = client.map_err(|error| NoToken::absent(error.to_string()))?;
        let mut url = self.address.clone();
        url.set_path("/metadata/identity/oauth2/token");
        let host = self.address.host_str().unwrap_or_default();
        match client.get(url).send().await {
            Ok(answer) if answer.status() == 400 => Ok(()),
            Ok(answer) => {
                let status = answer.status().as_u16();
                Err(NoToken::absent(format!("{host} answered {status}, as no service of Azure does")))
            }
            Err(_) => Err(NoToken::silent(format!("{host} did not answer within {} s", PROBE.as_secs()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(variable: fn(&str) -> Option<String>) -> Place {
        Place { variable, identity: AzureIdentity::default(), tools: true }
    }

    fn state(variables: fn(&str) -> Option<String>, link: &str) -> String {
        let links = futures_util::FutureExt::now_or_never(place(variables).links()).expect("it asks nobody");
        match links.into_iter().find(|known| known.name.starts_with(link)).unwrap().state {
            State::Absent(why) => format!("absent: {why}"),
            State::Refused(why) => format!("refused: {why}"),
            State::Given(_) => "given".to_owned(),
            State::Perhaps(_) => "perhaps".to_owned(),
        }
    }

    fn set(name: &str, names: &[&str]) -> Option<String> {
        names.contains(&name).then(|| "https://127.0.0.1/".to_owned())
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
        let ambient = Ambient::new(place(|name| set(name, &["IDENTITY_ENDPOINT", "IMDS_ENDPOINT"])));
        let error = ambient.get_token(&["https://servicebus.azure.net/.default"], None).await.unwrap_err().to_string();
        let expected = "asked in this order: service principal: AZURE_CLIENT_SECRET is not set; \
                        workload identity: AZURE_FEDERATED_TOKEN_FILE is not set; managed identity of a function, an app or a container app: Azure Arc";
        assert!(error.starts_with(expected) && !error.contains("virtual machine"), "{error}");
    }

    #[test]
    fn a_header_that_no_request_carries_is_refused_by_its_name() {
        let variables = |name: &str| match name {
            "IDENTITY_HEADER" => Some("let\nme-in".to_owned()),
            name => set(name, &["IDENTITY_ENDPOINT"]),
        };
        let told = state(variables, "managed identity of a function");
        assert_eq!(told, "refused: IDENTITY_HEADER has a character that no header carries");
    }

    #[test]
    fn an_identity_service_out_of_reach_does_not_stop_the_worker() {
        let refused = Error::with_message(ErrorKind::Credential, "no such identity");
        assert_eq!(no_token(&refused).why, Why::Refused);
        let network = Error::with_message(ErrorKind::Io, "connection refused");
        let wrapped = Error::with_error(ErrorKind::Credential, network, "token request failed");
        assert_eq!(no_token(&wrapped).why, Why::Away);
    }
}
