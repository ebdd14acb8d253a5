//! The identity that the place offers, where no key is configured: the links of AWS. `docs/identity.md` says which places have which.
//!
//! The sources are the SDK's own. Its chain is not used: it goes on to the next link where the environment sets one up and it is broken.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_config::{
    Region, ecs::EcsCredentialsProvider, environment::EnvironmentVariableCredentialsProvider, imds,
    profile::ProfileFileCredentialsProvider, provider_config::ProviderConfig,
    web_identity_token::WebIdentityTokenCredentialsProvider,
};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use aws_sdk_sqs::{
    config::http::HttpResponse,
    error::{ConnectorError, ProvideErrorMetadata, SdkError},
};
use aws_types::os_shim_internal::{Env, Fs};
use bridge_core::failure::{causes, chain};
use tokio::time::timeout;

use super::{EndpointError, client, credential, from_azure::FromAzure, http};
use crate::token::{
    ANSWER, Chain, Fresh, Link, Links, NoToken, OfProcess, Renewed, Source, State, TOOL, Why, is_header, within,
};

/// How long a request waits for credentials. Shorter than its own attempt, so that the error names who did not answer.
const WAIT: Duration = Duration::from_millis(3_500);

/// For one request to the metadata service of an instance: one hop away, it answers in milliseconds. As the SDK has it.
const METADATA: Duration = Duration::from_secs(1);

/// Who calls, kept fresh. Nothing is read or sent until a request needs it.
#[derive(Debug)]
pub(super) struct Identity(Arc<Renewed<Credentials>>);

impl Identity {
    /// The identity of the place, one for all clients of the process. `from_azure`: how a process on Azure gets in.
    pub(super) fn of_process(region: &Region, from_azure: Option<FromAzure>) -> Self {
        static KNOWN: OfProcess<(Region, Option<FromAzure>), Renewed<Credentials>> = OfProcess::new();
        let key = (region.clone(), from_azure);
        let new = |(region, from_azure): &(Region, Option<FromAzure>)| {
            Renewed::new(Arc::new(Chain::new(Place::new(region, from_azure.clone()))), "")
        };
        Self(KNOWN.get(key, new))
    }

    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let silent = || NoToken::away(format!("no link of the chain has answered within {} s", WAIT.as_secs_f32()));
        let given = timeout(WAIT, self.0.get()).await.unwrap_or_else(|_| Err(silent()));
        given.map_err(CredentialsError::provider_error)
    }
}

impl ProvideCredentials for Identity {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

/// The client of STS in a region, as the process that the place makes of us.
pub(crate) async fn sts(region: Region) -> Result<aws_sdk_sts::Client, EndpointError> {
    let identity = SharedCredentialsProvider::new(Identity::of_process(&region, None));
    client::sts(region, Some(identity)).await
}

/// What a process finds where it runs.
struct Place {
    variable: fn(&str) -> Option<String>,
    region: Region,
    from_azure: Option<Arc<FromAzure>>,
}

/// Which link of the chain gives a process its credentials, as far as that is known without asking.
pub async fn way(region: &str, from_azure: Option<&FromAzure>) -> String {
    Chain::new(Place::new(&Region::new(region.to_owned()), from_azure.cloned())).way().await
}

impl Place {
    fn new(region: &Region, from_azure: Option<FromAzure>) -> Self {
        Self { variable: crate::token::variable, region: region.clone(), from_azure: from_azure.map(Arc::new) }
    }
}

#[async_trait]
impl Links<Credentials> for Place {
    async fn links(&self) -> Vec<Link<Credentials>> {
        let link = |name, state| Link { name, state };
        let mut config = ProviderConfig::without_region().with_region(Some(self.region.clone()));
        if let Some(client) = http::client() {
            config = config.with_http_client(client);
        }
        let mut links = vec![
            link("environment", self.environment()),
            link("profile", self.profile(&config).await),
            link("web identity", self.web_identity(&config)),
            link("container", self.container(&config)),
        ];
        // Another cloud's place has no instance of this one: what answers there at the same address is not asked.
        let (here, elsewhere) = self.by_azure();
        links.extend(here.map(|state| link(FROM_AZURE, state)));
        links.push(link("instance", self.instance(&config)));
        links.extend(elsewhere.map(|state| link(FROM_AZURE, state)));
        links
    }
}

const FROM_AZURE: &str = "identity of Azure";

impl Place {
    fn is_set(&self, name: &str) -> bool {
        (self.variable)(name).is_some()
    }

    fn environment(&self) -> State<Credentials> {
        let (id, secret) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
        match (self.is_set(id), self.is_set(secret) || self.is_set("SECRET_ACCESS_KEY")) {
            (true, true) => given(EnvironmentVariableCredentialsProvider::new(), ANSWER),
            (true, false) => State::Refused(format!("{id} is set without {secret}")),
            (false, true) => State::Refused(format!("{secret} is set without {id}")),
            (false, false) => State::Absent(format!("{id} is not set")),
        }
    }

    /// A profile that is named and missing is a mistake. One that has settings alone is none.
    #[allow(clippy::default_trait_access, reason = "the SDK exports the type under a deprecated name alone")]
    async fn profile(&self, config: &ProviderConfig) -> State<Credentials> {
        let named = (self.variable)("AWS_PROFILE");
        let profiles = match aws_config::profile::load(&Fs::real(), &Env::real(), &Default::default(), None).await {
            Ok(profiles) => profiles,
            Err(error) => return State::Refused(chain(&error)),
        };
        if let Some(name) = named.filter(|name| profiles.get_profile(name).is_none()) {
            return State::Refused(format!("AWS_PROFILE names {name:?}, and no file has a profile of this name"));
        }
        if profiles.profiles().next().is_none() {
            return State::Absent("no file has one".to_owned());
        }
        State::Perhaps(Arc::new(Sdk {
            provider: ProfileFileCredentialsProvider::builder().configure(config).build(),
            limit: TOOL,
            absent: is_not_loaded,
        }))
    }

    fn web_identity(&self, config: &ProviderConfig) -> State<Credentials> {
        let (file, role) = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN");
        match (self.is_set(file), self.is_set(role)) {
            (true, true) => given(WebIdentityTokenCredentialsProvider::builder().configure(config).build(), ANSWER),
            (true, false) => State::Refused(format!("{file} is set without {role}")),
            (false, _) => State::Absent(format!("{file} is not set")),
        }
    }

    fn container(&self, config: &ProviderConfig) -> State<Credentials> {
        let (relative, full) = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI");
        if !self.is_set(relative) && !self.is_set(full) {
            return State::Absent(format!("{relative} is not set"));
        }
        let token = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
        // As it stands: the SDK sends it so.
        if std::env::var(token).is_ok_and(|token| !is_header(&token)) {
            return State::Refused(format!("{token} has a character that no header carries, such as a line's end"));
        }
        given(EcsCredentialsProvider::builder().configure(config).build(), ANSWER)
    }

    fn instance(&self, config: &ProviderConfig) -> State<Credentials> {
        let off = "AWS_EC2_METADATA_DISABLED";
        if (self.variable)(off).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return State::Absent(format!("{off} is true"));
        }
        let client = imds::Client::builder().configure(config).connect_timeout(METADATA).read_timeout(METADATA);
        let client = client.max_attempts(2).build();
        State::Perhaps(Arc::new(Sdk {
            provider: imds::credentials::ImdsCredentialsProvider::builder().imds_client(client).build(),
            limit: ANSWER,
            // On an instance of another cloud that cloud's service answers, in its own way.
            absent: if self.from_azure.is_some() { |_| true } else { is_not_loaded },
        }))
    }

    /// Where the process runs on Azure for certain, and where it may.
    fn by_azure(&self) -> (Option<State<Credentials>>, Option<State<Credentials>>) {
        let Some(source) = &self.from_azure else { return (None, None) };
        let source = Arc::clone(source) as Arc<dyn Source<Credentials>>;
        if ["IDENTITY_ENDPOINT", "AZURE_FEDERATED_TOKEN_FILE"].into_iter().any(|name| self.is_set(name)) {
            (Some(State::Given(source)), None)
        } else {
            (None, Some(State::Perhaps(source)))
        }
    }
}

/// One of the SDK's sources.
struct Sdk<P> {
    provider: P,
    limit: Duration,
    /// Whether an error means that the place does not have it.
    absent: fn(&CredentialsError) -> bool,
}

fn given(provider: impl ProvideCredentials + 'static, limit: Duration) -> State<Credentials> {
    State::Given(Arc::new(Sdk { provider, limit, absent: |_| false }))
}

#[async_trait]
impl<P: ProvideCredentials> Source<Credentials> for Sdk<P> {
    async fn issue(&self, _: &str) -> Result<Fresh<Credentials>, NoToken> {
        let asked = async {
            let provided = self.provider.provide_credentials().await.and_then(credential::clean);
            provided.map_err(|error| NoToken { why: self.why(&error), told: told(&error) })
        };
        let answer = within(self.limit, asked).await.map_err(|error| {
            // A service that is not there does not answer either.
            let silent = error.why == Why::Away && (self.absent)(&CredentialsError::provider_timed_out(self.limit));
            if silent { NoToken::silent(error.told) } else { error }
        });
        answer.map(|token| Fresh { ends: token.expiry(), token })
    }
}

impl<P> Sdk<P> {
    fn why(&self, error: &CredentialsError) -> Why {
        match ((self.absent)(error), is_away(error)) {
            (true, true) => Why::Silent,
            (true, false) => Why::Absent,
            (false, true) => Why::Away,
            (false, false) => Why::Refused,
        }
    }
}

/// Whether an error says that a service was not reached. What the SDK asked within has left its own connector's error in the chain.
fn is_away(error: &(dyn std::error::Error + 'static)) -> bool {
    causes(error).any(|cause| {
        let connector = cause.downcast_ref::<ConnectorError>();
        connector.is_some_and(|connector| connector.is_io() || connector.is_timeout())
            || matches!(cause.downcast_ref(), Some(CredentialsError::ProviderTimedOut(_)))
    })
}

/// What STS did not answer with words of its own: it was not reached, cannot serve for now, or nobody could sign the request.
pub(crate) fn not_answered<E>(error: &SdkError<E, HttpResponse>) -> Option<NoToken>
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    if let Some(none) = NoToken::among(error) {
        return Some(none.clone());
    }
    let Some(refusal) = error.as_service_error() else {
        let told = chain(error);
        return Some(if is_away(error) { NoToken::away(told) } else { NoToken::refused(told) });
    };
    let status = error.raw_response().map_or(0, |answer| answer.status().as_u16());
    let code = refusal.code().unwrap_or("no code");
    let away = status >= 500 || status == 429 || code.starts_with("Throttling");
    away.then(|| NoToken::away(format!("answered {status} ({code})")))
}

fn is_not_loaded(error: &CredentialsError) -> bool {
    matches!(error, CredentialsError::CredentialsNotLoaded(_))
}

/// The SDK's error in one line, without what it says of every source.
fn told(error: &CredentialsError) -> String {
    let Some(cause) = std::error::Error::source(error) else { return "has no credentials".to_owned() };
    chain(cause).split_whitespace().collect::<Vec<_>>().join(" ")
}
