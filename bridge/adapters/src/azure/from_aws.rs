//! How a process on AWS gets into Azure without a secret: STS vouches for its role, and an app or identity of Entra ID trusts that.
//! ("`GetWebIdentityToken`" in the AWS STS API Reference; "Workload identity federation" of Microsoft Entra; read 2026-11).

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use aws_config::Region;
use aws_sdk_sts::{
    error::{ProvideErrorMetadata, SdkError},
    operation::get_web_identity_token::GetWebIdentityTokenError as Refusal,
};
use azure_core::{
    Result,
    credentials::{AccessToken, TokenCredential},
    http::ClientMethodOptions,
};
use azure_identity::{ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions};

use super::identity::{no_token, over_the_network};
use crate::{
    aws::{not_answered, sts},
    token::{ANSWER, Fresh, NoToken, Source, Why, claims, within},
};

/// Life of the token that Entra ID is shown at once: the least that STS gives, so that it seldom outlives the role's own session.
const LIFE_SECONDS: i32 = 60;

/// An app or user-assigned identity of Entra ID that trusts a role of AWS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FromAws {
    /// Of the app or the identity.
    pub client_id: String,
    /// Of the directory that it is in.
    pub tenant_id: String,
    /// Whom the token of STS is for, as the federated credential has it.
    pub audience: String,
    /// Whose STS is asked: regional endpoints alone have the call.
    pub region: String,
}

/// Gives tokens of Entra ID.
pub(super) struct Federated {
    from: FromAws,
    shown: Arc<Shown>,
    credential: Arc<ClientAssertionCredential<Assertion>>,
}

/// What STS said last.
#[derive(Default)]
struct Shown(Mutex<String>);

struct Assertion(Arc<Shown>);

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Assertion(***)")
    }
}

#[async_trait]
impl ClientAssertion for Assertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> Result<String> {
        Ok(self.0.get())
    }
}

impl Shown {
    fn get(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, token: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }
}

impl Federated {
    pub(super) fn new(from: FromAws) -> Result<Self> {
        let shown = Arc::<Shown>::default();
        let options = ClientAssertionCredentialOptions { client_options: over_the_network() };
        let (tenant, client) = (from.tenant_id.clone(), from.client_id.clone());
        let credential = ClientAssertionCredential::new(tenant, client, Assertion(Arc::clone(&shown)), Some(options))?;
        Ok(Self { from, shown, credential })
    }

    async fn vouch(&self) -> std::result::Result<String, NoToken> {
        let FromAws { audience, region, .. } = &self.from;
        let sts = sts(Region::new(region.clone())).await.map_err(|error| NoToken::refused(error.to_string()))?;
        let asked = sts.get_web_identity_token().audience(audience).signing_algorithm("RS256");
        let given = asked.duration_seconds(LIFE_SECONDS).send().await.map_err(|error| self.not_vouched(&error))?;
        given.web_identity_token.ok_or_else(|| NoToken::refused("the answer has no token"))
    }

    fn not_vouched(&self, error: &SdkError<Refusal>) -> NoToken {
        if let Some(away) = not_answered(error) {
            return away;
        }
        let refusal = error.as_service_error().expect("the others are told above");
        let (code, said) = (refusal.code().unwrap_or("no code"), refusal.message().unwrap_or("no message"));
        let FromAws { audience, region, .. } = &self.from;
        let mend = match refusal {
            Refusal::OutboundWebIdentityFederationDisabledException(_) => {
                "outbound identity federation is not enabled in this AWS account: run aws iam enable-outbound-web-identity-federation".to_owned()
            }
            Refusal::SessionDurationEscalationException(_) => {
                return NoToken::away(format!("the role's own session is about to end ({code}: {said})"));
            }
            _ if code.starts_with("AccessDenied") => {
                format!("the role may not call STS for this: allow it sts:GetWebIdentityToken for the audience {audience}")
            }
            _ => format!("STS in {region} gives no token for other clouds"),
        };
        NoToken::refused(format!("{mend} ({code}: {said})"))
    }

    /// Which link of the trust is broken, and what mends it. "Microsoft Entra authentication and authorization error codes", read 2026-11;
    /// a digit more tells cases apart.
    fn not_trusted(&self, error: &azure_core::Error) -> NoToken {
        let NoToken { told: said, why } = no_token(error);
        if why == Why::Away {
            return NoToken::away(said);
        }
        let FromAws { client_id, tenant_id, audience, .. } = &self.from;
        let shown = claims(&self.shown.get());
        let mend = [
            ("AADSTS700211", "no federated credential of the app or identity has this issuer".to_owned()),
            (
                "AADSTS700212",
                format!("no federated credential has this audience: correct it, or from_aws_audience ({audience})"),
            ),
            (
                "AADSTS700213",
                "no federated credential has this subject, which is the role: letters count as they are written"
                    .to_owned(),
            ),
            ("AADSTS70021", "no federated credential has this issuer, subject and audience".to_owned()),
            (
                "AADSTS700024",
                "the token of STS has expired, or is not valid yet: check this machine's clock".to_owned(),
            ),
            (
                "AADSTS700027",
                "the signature of the token of STS was not verified: compare the issuer of the federated credential"
                    .to_owned(),
            ),
            (
                "AADSTS700016",
                format!("the tenant {tenant_id} has no app or identity {client_id}: correct from_aws_client_id"),
            ),
            (
                "AADSTS7000229",
                format!("the app {client_id} has no service principal in the tenant {tenant_id}: create it"),
            ),
            ("AADSTS90002", format!("there is no tenant {tenant_id}: correct from_aws_tenant_id")),
        ]
        .into_iter()
        .find_map(|(code, mend)| said.contains(code).then_some(mend));
        let mend = mend.unwrap_or_else(|| "Entra ID gives no token".to_owned());
        NoToken::refused(format!("{mend}. Entra ID was shown {shown} for the client {client_id} ({said})"))
    }
}

#[async_trait]
impl Source<AccessToken> for Federated {
    async fn issue(&self, scope: &str) -> std::result::Result<Fresh<AccessToken>, NoToken> {
        let vouched = within(ANSWER, Box::pin(self.vouch())).await;
        let vouched = vouched.map_err(|error| error.by("STS"))?;
        self.shown.set(vouched);
        let asked = async { self.credential.get_token(&[scope], None).await.map_err(|error| self.not_trusted(&error)) };
        let token = within(ANSWER, asked).await;
        let token = token.map_err(|error| if error.why == Why::Away { error.by("Entra ID") } else { error })?;
        Ok(Fresh { ends: Some(token.expires_on.into()), token })
    }
}
