//! How a process on Azure gets into AWS without a secret: its own identity's token, and a role that trusts it
//! ("`AssumeRoleWithWebIdentity`" in the AWS STS API Reference, read 2026-11).

use std::time::SystemTime;

use async_trait::async_trait;
use aws_config::Region;
use aws_credential_types::Credentials;
use aws_sdk_sts::{
    error::{ProvideErrorMetadata, SdkError},
    operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError as Refusal,
};
use bridge_core::failure::chain;

use super::{client, identity::not_answered};
use crate::{
    azure::identity::of_machine,
    token::{ANSWER, Fresh, NoToken, Source, claims, within},
};

/// A role that trusts an identity of Azure.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FromAzure {
    /// For example `arn:aws:iam::123456789012:role/bridge`.
    pub role_arn: String,
    /// Whom the token is for: the application ID URI of an app that is registered for this, as the identity provider in IAM has it.
    pub audience: String,
    /// Names the session in the log of AWS.
    pub session: String,
    /// The process's identity in Azure, where it has several, instead of `AZURE_CLIENT_ID`.
    pub client_id: Option<String>,
    /// Whose STS is asked.
    pub region: String,
}

#[async_trait]
impl Source<Credentials> for FromAzure {
    async fn issue(&self, _: &str) -> Result<Fresh<Credentials>, NoToken> {
        let scope = format!("{}/.default", self.audience);
        let identity = of_machine(self.client_id.clone());
        let token = identity
            .get_token(&[&scope], None)
            .await
            .map_err(|error| NoToken::among(&error).cloned().unwrap_or_else(|| NoToken::refused(chain(&error))))?;
        let token = token.token.secret().to_owned();
        within(ANSWER, Box::pin(self.assume(&token))).await.map_err(|error| error.by("STS"))
    }
}

impl FromAzure {
    async fn assume(&self, token: &str) -> Result<Fresh<Credentials>, NoToken> {
        let sts = client::sts(Region::new(self.region.clone()), None)
            .await
            .map_err(|error| NoToken::refused(error.to_string()))?;
        let assumed = sts.assume_role_with_web_identity().role_arn(&self.role_arn).role_session_name(&self.session);
        let assumed = assumed.web_identity_token(token).send().await.map_err(|error| self.told(&error, token))?;
        let Some(given) = assumed.credentials else { return Err(NoToken::refused("the answer has no credentials")) };
        let ends = SystemTime::try_from(*given.expiration()).ok();
        let token = Credentials::new(
            given.access_key_id(),
            given.secret_access_key(),
            Some(given.session_token().to_owned()),
            ends,
            "bridge: identity of Azure",
        );
        Ok(Fresh { token, ends })
    }

    /// Which link of the trust is broken, and what mends it.
    fn told(&self, error: &SdkError<Refusal>, token: &str) -> NoToken {
        if let Some(away) = not_answered(error) {
            return away;
        }
        let refusal = error.as_service_error().expect("the others are told above");
        let (code, said) = (refusal.code().unwrap_or("no code"), refusal.message().unwrap_or("no message"));
        let (Self { role_arn, audience, .. }, shown) = (self, claims(token));
        let mend = match refusal {
            Refusal::InvalidIdentityTokenException(_) if said.contains("OpenIDConnect provider") => {
                "the account has no identity provider in IAM for this issuer: create one with exactly this issuer and audience".to_owned()
            }
            Refusal::InvalidIdentityTokenException(_) if said.contains("audience") => {
                format!("the identity provider in IAM does not list this audience: add it, or correct from_azure_audience ({audience})")
            }
            Refusal::InvalidIdentityTokenException(_) => {
                "the token was not verified: compare the issuer of the identity provider in IAM with the token's".to_owned()
            }
            Refusal::ExpiredTokenException(_) => "the token has expired: check this machine's clock".to_owned(),
            Refusal::IdpRejectedClaimException(_) => "the issuer says that the token is not valid".to_owned(),
            Refusal::IdpCommunicationErrorException(_) => {
                return NoToken::away(format!("STS does not reach the token's issuer, for {shown} ({code}: {said})"));
            }
            Refusal::RegionDisabledException(_) => format!("STS is not active in {} for the account: activate it", self.region),
            _ if code.starts_with("AccessDenied") => format!(
                "{role_arn} may not be assumed: it does not exist, or its trust policy names another provider, audience or subject"
            ),
            _ => "see what STS says".to_owned(),
        };
        NoToken::refused(format!("{mend}. It was shown {shown} ({code}: {said})"))
    }
}
