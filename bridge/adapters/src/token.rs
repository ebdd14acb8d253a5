//! Proof of who calls: a chain of links that may have it, and a holder that renews it ahead of its end. Both clouds use them.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bridge_core::failure::{FailureKind, NoCredentials, causes};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::time::timeout;

use crate::{failure::Failure, layer::guarded};

/// For one identity service to answer. Ours: they answer in milliseconds, STS and Entra ID of another continent in a second. Shorter than
/// every bound of a request that waits for it, so that the error names the identity service and not the store or the queue. A link through
/// the other cloud takes two of these: a first request may end before it has both, and the renewal goes on.
pub(crate) const ANSWER: Duration = Duration::from_secs(3);

/// For a person's own tool, which may start an interpreter and ask the network.
pub(crate) const TOOL: Duration = Duration::from_secs(20);

/// A token is renewed this long before its end, or at half of its life if that is later.
const AHEAD: Duration = Duration::from_mins(5);

/// A token is not shown in its last moments, or the last tenth of its life if that is shorter: it would end on its way.
const MARGIN: Duration = Duration::from_secs(10);

/// After a renewal that failed, while the token is still good.
const PAUSE: Duration = Duration::from_secs(30);

/// When to ask again for credentials that name no end. As the SDK of AWS has it.
const ENDLESS: Duration = Duration::from_mins(15);

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{told}")]
pub(crate) struct NoToken {
    pub(crate) told: String,
    pub(crate) why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The place does not have this kind of identity.
    Absent,
    /// It has, and it cannot be used: somebody must mend it.
    Refused,
    /// Its service does not answer. That passes by itself.
    Away,
    /// Nothing answers: the place does not have it, or it is away. Whoever has had a token of it knows which.
    Silent,
}

impl NoToken {
    pub(crate) fn absent(told: impl Into<String>) -> Self {
        Self { told: told.into(), why: Why::Absent }
    }

    pub(crate) fn refused(told: impl Into<String>) -> Self {
        Self { told: told.into(), why: Why::Refused }
    }

    pub(crate) fn away(told: impl Into<String>) -> Self {
        Self { told: told.into(), why: Why::Away }
    }

    pub(crate) fn silent(told: impl Into<String>) -> Self {
        Self { told: told.into(), why: Why::Silent }
    }

    /// The same, told as the words of `who`.
    pub(crate) fn by(self, who: &str) -> Self {
        Self { told: format!("{who}: {}", self.told), ..self }
    }

    /// The failure of a call that needed the token.
    pub(crate) fn failure(&self) -> Failure {
        let kind = if matches!(self.why, Why::Away | Why::Silent) {
            FailureKind::Unavailable
        } else {
            FailureKind::Unauthorized
        };
        Failure::new(kind, NoCredentials(self.told.clone()))
    }

    /// The one among the causes of an SDK's error.
    pub(crate) fn among<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        causes(error).find_map(<dyn std::error::Error>::downcast_ref)
    }
}

/// A token, and when it ends.
#[derive(Clone, Debug)]
pub(crate) struct Fresh<T> {
    pub(crate) token: T,
    pub(crate) ends: Option<SystemTime>,
}

/// Gives tokens, each from its issuer anew.
#[async_trait]
pub(crate) trait Source<T>: Send + Sync {
    /// `scope`: what the token must be good for, where the issuer wants to know.
    async fn issue(&self, scope: &str) -> Result<Fresh<T>, NoToken>;
}

/// The answer of an identity service within `limit`.
pub(crate) async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, NoToken>> + Send,
) -> Result<T, NoToken> {
    let silent = || NoToken::away(format!("did not answer within {} s", limit.as_secs()));
    timeout(limit, asked).await.unwrap_or_else(|_| Err(silent()))
}

/// What an environment variable says, without what a shell or a secret store leaves around it; none if that is nothing.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Whether a text can stand in a header as it is. The SDKs panic at one that cannot.
pub(crate) fn is_header(text: &str) -> bool {
    text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

/// One way to an identity.
pub(crate) struct Link<T> {
    pub(crate) name: &'static str,
    pub(crate) state: State<T>,
}

pub(crate) enum State<T> {
    /// The place does not have it, and why that is known.
    Absent(String),
    /// The place has it, and it cannot be used.
    Refused(String),
    /// The environment sets it up.
    Given(Arc<dyn Source<T>>),
    /// It may be there: whether it is shows when it is asked.
    Perhaps(Arc<dyn Source<T>>),
}

/// What a place has, in the order in which it is asked.
#[async_trait]
pub(crate) trait Links<T>: Send + Sync {
    async fn links(&self) -> Vec<Link<T>>;
}

/// Asks link after link. A link that the environment sets up is the last one: another identity in its place would hide what is wrong with
/// it. The link that gives the first token gives all later ones.
pub(crate) struct Chain<T, L> {
    links: L,
    chosen: OnceLock<(&'static str, Arc<dyn Source<T>>)>,
}

impl<T, L> Chain<T, L> {
    pub(crate) fn new(links: L) -> Self {
        Self { links, chosen: OnceLock::new() }
    }
}

#[async_trait]
impl<T: Send + 'static, L: Links<T>> Source<T> for Chain<T, L> {
    async fn issue(&self, scope: &str) -> Result<Fresh<T>, NoToken> {
        if let Some((name, chosen)) = self.chosen.get() {
            return chosen.issue(scope).await.map_err(|error| {
                let why = match error.why {
                    Why::Absent | Why::Refused => Why::Refused,
                    Why::Silent | Why::Away => Why::Away,
                };
                NoToken { why, ..error }.by(name)
            });
        }
        let mut answers = Vec::new();
        let mut none = |name: &str, told: &str| {
            answers.push(format!("{name}: {told}"));
            format!("asked in this order: {}", answers.join("; "))
        };
        let mut told = String::new();
        for Link { name, state } in self.links.links().await {
            let (source, last) = match state {
                State::Absent(why) => {
                    told = none(name, &why);
                    continue;
                }
                State::Refused(why) => return Err(NoToken::refused(none(name, &why))),
                State::Given(source) => (source, true),
                State::Perhaps(source) => (source, false),
            };
            match source.issue(scope).await {
                Ok(fresh) => {
                    let _ = self.chosen.set((name, source));
                    return Ok(fresh);
                }
                Err(error) => {
                    told = none(name, &error.told);
                    match error.why {
                        Why::Absent | Why::Silent if !last => {}
                        Why::Away | Why::Silent => return Err(NoToken::away(told)),
                        Why::Absent | Why::Refused => return Err(NoToken::refused(told)),
                    }
                }
            }
        }
        Err(NoToken::refused(told))
    }
}

impl<T, L: Links<T>> Chain<T, L> {
    /// Which link gives the tokens of this process, as far as that is known without asking.
    pub(crate) async fn way(&self) -> String {
        let mut perhaps = Vec::new();
        for Link { name, state } in self.links.links().await {
            match state {
                State::Absent(_) => {}
                State::Perhaps(_) => perhaps.push(name),
                State::Given(_) if perhaps.is_empty() => return name.to_owned(),
                State::Given(_) => {
                    perhaps.push(name);
                    break;
                }
                State::Refused(why) => return format!("none; {name}: {why}"),
            }
        }
        if perhaps.is_empty() { "none".to_owned() } else { format!("the first that answers: {}", perhaps.join(", ")) }
    }
}

/// What a process has once for all that ask with the same settings.
pub(crate) struct OfProcess<K, V>(LazyLock<Mutex<HashMap<K, Arc<V>>>>);

impl<K: Eq + Hash, V> OfProcess<K, V> {
    pub(crate) const fn new() -> Self {
        Self(LazyLock::new(Mutex::default))
    }

    pub(crate) fn get(&self, key: K, make: impl FnOnce(&K) -> V) -> Arc<V> {
        let mut all = lock(&self.0);
        if let Some(known) = all.get(&key) {
            return Arc::clone(known);
        }
        let new = Arc::new(make(&key));
        all.insert(key, Arc::clone(&new));
        new
    }
}

type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Holds a token and renews it ahead of its end, in a task of its own: one at a time, whatever becomes of those who wait for it. While the
/// token is good nobody waits, and a renewal that fails changes nothing. Time is the wall clock's, so that a token that ended while a
/// function was frozen is renewed before it is shown.
pub(crate) struct Renewed<T> {
    scope: String,
    source: Arc<dyn Source<T>>,
    clock: Clock,
    state: Arc<Mutex<Holding<T>>>,
}

type Renewal<T> = Shared<BoxFuture<'static, Result<T, NoToken>>>;

struct Holding<T> {
    held: Option<Held<T>>,
    renewal: Option<Renewal<T>>,
}

struct Held<T> {
    token: T,
    renew_at: SystemTime,
    ends: SystemTime,
}

impl<T: Clone> Held<T> {
    fn new(Fresh { token, ends }: Fresh<T>, now: SystemTime) -> Self {
        let Some(ends) = ends else {
            return Self { token, renew_at: now + ENDLESS, ends: now + Duration::from_hours(24 * 365) };
        };
        let life = ends.duration_since(now).unwrap_or_default();
        let renew_at = now + life.saturating_sub(AHEAD).max(life / 2);
        Self { token, renew_at, ends: ends - MARGIN.min(life / 10) }
    }
}

impl<T> fmt::Debug for Renewed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewed").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl<T: Clone + Send + Sync + 'static> Renewed<T> {
    pub(crate) fn new(source: Arc<dyn Source<T>>, scope: &str) -> Self {
        Self::by(source, scope, Arc::new(SystemTime::now))
    }

    fn by(source: Arc<dyn Source<T>>, scope: &str, clock: Clock) -> Self {
        let state = Arc::new(Mutex::new(Holding { held: None, renewal: None }));
        Self { scope: scope.to_owned(), source, clock, state }
    }

    /// A token that is good now.
    ///
    /// # Cancel safety
    /// A renewal goes on without those who wait for it.
    pub(crate) async fn get(&self) -> Result<T, NoToken> {
        let renewal = {
            let mut holding = lock(&self.state);
            let now = (self.clock)();
            let good = holding.held.as_ref().filter(|held| now < held.ends);
            if let Some(held) = good.filter(|held| now < held.renew_at) {
                return Ok(held.token.clone());
            }
            let good = good.map(|held| held.token.clone());
            let renewal = holding.renewal.get_or_insert_with(|| self.renew()).clone();
            if let Some(token) = good {
                return Ok(token);
            }
            renewal
        };
        renewal.await
    }

    fn renew(&self) -> Renewal<T> {
        let (source, scope, clock) = (Arc::clone(&self.source), self.scope.clone(), Arc::clone(&self.clock));
        let state = Arc::clone(&self.state);
        let task = tokio::spawn(async move {
            let asked = clock();
            let issued = guarded(source.issue(&scope)).await;
            let issued = issued.unwrap_or_else(|panicked| Err(NoToken::refused(panicked.to_string())));
            let mut holding = lock(&state);
            holding.renewal = None;
            match issued {
                Ok(fresh) => {
                    let token = fresh.token.clone();
                    holding.held = Some(Held::new(fresh, asked));
                    Ok(token)
                }
                Err(error) => {
                    let now = clock();
                    if let Some(held) = holding.held.as_mut().filter(|held| now < held.ends) {
                        let left = held.ends.duration_since(now).unwrap_or_default();
                        held.renew_at = now + PAUSE.min(left / 4);
                        tracing::warn!(
                            scope,
                            error = error.told,
                            "the credentials were not renewed, and are still good for {} s",
                            left.as_secs()
                        );
                    }
                    Err(error)
                }
            }
        });
        let ended = |_| Err(NoToken::away("this process ends"));
        async move { task.await.unwrap_or_else(ended) }.boxed().shared()
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a token says of itself, for an error: a JWT's claims, unverified. Never the token.
pub(crate) fn claims(token: &str) -> String {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok());
    let claims: Option<serde_json::Value> = claims.and_then(|claims| serde_json::from_slice(&claims).ok());
    let Some(claims) = claims else { return "a token that is no JWT".to_owned() };
    let claim = |name: &str| {
        claims
            .get(name)
            .map_or("none".to_owned(), |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    format!("a token with issuer {}, audience {} and subject {}", claim("iss"), claim("aud"), claim("sub"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

    use super::*;

    /// Gives its number, good for ten minutes; fails, or does not answer, where it is told to.
    #[derive(Default)]
    struct Issuer {
        time: AtomicU64,
        issued: AtomicU64,
        fails: AtomicBool,
        hangs: AtomicBool,
        panics: AtomicBool,
    }

    impl Issuer {
        fn now(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH + Duration::from_secs(self.time.load(SeqCst))
        }

        fn renewed(self: &Arc<Self>) -> Renewed<u64> {
            let clock = Arc::clone(self);
            Renewed::by(Arc::clone(self) as Arc<dyn Source<u64>>, "scope", Arc::new(move || clock.now()))
        }
    }

    #[async_trait]
    impl Source<u64> for Issuer {
        async fn issue(&self, scope: &str) -> Result<Fresh<u64>, NoToken> {
            assert_eq!(scope, "scope");
            assert!(!self.panics.load(SeqCst), "as an SDK does");
            tokio::task::yield_now().await;
            if self.hangs.load(SeqCst) {
                std::future::pending::<()>().await;
            }
            let number = self.issued.fetch_add(1, SeqCst) + 1;
            if self.fails.load(SeqCst) {
                return Err(NoToken::away("no route"));
            }
            Ok(Fresh { token: number, ends: Some(self.now() + Duration::from_mins(10)) })
        }
    }

    /// Lets the task of a renewal run to its end.
    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_renewal_serves_all_who_wait() {
        let issuer = Arc::new(Issuer::default());
        let renewed = issuer.renewed();
        let all = futures_util::future::join_all((0..20).map(|_| renewed.get())).await;
        assert!(all.iter().all(|token| *token == Ok(1)), "{all:?}");
        assert_eq!(issuer.issued.load(SeqCst), 1);
    }

    #[tokio::test]
    async fn a_token_is_renewed_ahead_of_its_end_and_nobody_waits_for_it() {
        let issuer = Arc::new(Issuer::default());
        let renewed = issuer.renewed();
        assert_eq!(renewed.get().await, Ok(1));
        issuer.time.store(299, SeqCst);
        assert_eq!(renewed.get().await, Ok(1));
        issuer.time.store(301, SeqCst);
        assert_eq!(renewed.get().await, Ok(1), "the old one is good");
        settle().await;
        assert_eq!(renewed.get().await, Ok(2));
        assert_eq!(issuer.issued.load(SeqCst), 2);
    }

    #[tokio::test]
    async fn a_renewal_that_fails_or_hangs_changes_nothing_while_the_token_is_good() {
        let issuer = Arc::new(Issuer::default());
        let renewed = issuer.renewed();
        assert_eq!(renewed.get().await, Ok(1));
        issuer.fails.store(true, SeqCst);
        for second in 301..580 {
            issuer.time.store(second, SeqCst);
            assert_eq!(renewed.get().await, Ok(1), "{second}");
            settle().await;
        }
        let tries = issuer.issued.load(SeqCst) - 1;
        assert!((8..40).contains(&tries), "{tries}");
        issuer.time.store(591, SeqCst);
        assert_eq!(renewed.get().await, Err(NoToken::away("no route")));
        issuer.fails.store(false, SeqCst);
        let after = renewed.get().await.unwrap();
        issuer.hangs.store(true, SeqCst);
        issuer.time.store(591 + 400, SeqCst);
        assert_eq!(renewed.get().await, Ok(after));
    }

    #[tokio::test]
    async fn a_token_that_ended_in_the_freeze_is_not_shown() {
        let issuer = Arc::new(Issuer::default());
        let renewed = issuer.renewed();
        assert_eq!(renewed.get().await, Ok(1));
        issuer.time.store(3_600, SeqCst);
        assert_eq!(renewed.get().await, Ok(2));
    }

    #[tokio::test]
    async fn who_goes_away_and_what_panics_leave_a_holder_that_works() {
        let issuer = Arc::new(Issuer::default());
        let renewed = issuer.renewed();
        issuer.panics.store(true, SeqCst);
        let error = renewed.get().await.unwrap_err();
        assert!(error.told.contains("as an SDK does") && error.why == Why::Refused, "{error:?}");
        issuer.panics.store(false, SeqCst);
        drop(futures_util::FutureExt::now_or_never(renewed.get()));
        settle().await;
        assert_eq!(renewed.get().await, Ok(1), "the renewal went on without who asked for it");
    }

    type Make = fn(Arc<Issuer>) -> State<u64>;
    type Row = (&'static str, Make);

    struct Table(Vec<Row>, Arc<Issuer>);

    #[async_trait]
    impl Links<u64> for Table {
        async fn links(&self) -> Vec<Link<u64>> {
            self.0.iter().map(|(name, state)| Link { name, state: state(Arc::clone(&self.1)) }).collect()
        }
    }

    /// Fails in its own way.
    struct Fails(Why);

    #[async_trait]
    impl Source<u64> for Fails {
        async fn issue(&self, _: &str) -> Result<Fresh<u64>, NoToken> {
            Err(NoToken { told: "no".to_owned(), why: self.0 })
        }
    }

    #[tokio::test]
    async fn the_chain_ends_at_what_is_set_up_and_names_every_link() {
        let good: Make = |issuer| State::Perhaps(issuer);
        let absent: Make = |_| State::Absent("is not set".to_owned());
        let perhaps: Make = |_| State::Perhaps(Arc::new(Fails(Why::Absent)));
        let asked = async |state| {
            let table = Table(vec![("a", absent), ("b", perhaps), ("c", state), ("d", good)], Arc::default());
            Chain::new(table).issue("scope").await.map(|fresh| fresh.token)
        };
        let told = "asked in this order: a: is not set; b: no; c: no".to_owned();
        let refused = Err(NoToken::refused(told.clone()));
        assert_eq!(asked(|_| State::Refused("no".to_owned())).await, refused);
        assert_eq!(asked(|_| State::Given(Arc::new(Fails(Why::Absent)))).await, refused);
        assert_eq!(asked(|_| State::Given(Arc::new(Fails(Why::Refused)))).await, refused);
        assert_eq!(asked(|_| State::Perhaps(Arc::new(Fails(Why::Refused)))).await, refused);
        assert_eq!(asked(|_| State::Perhaps(Arc::new(Fails(Why::Away)))).await, Err(NoToken::away(told)));
        assert_eq!(asked(|_| State::Perhaps(Arc::new(Fails(Why::Absent)))).await, Ok(1));
        assert_eq!(asked(|_| State::Perhaps(Arc::new(Fails(Why::Silent)))).await, Ok(1));
    }

    /// Gives one token, and fails from then on.
    struct Once(AtomicBool, Why);

    #[async_trait]
    impl Source<u64> for Once {
        async fn issue(&self, scope: &str) -> Result<Fresh<u64>, NoToken> {
            if self.0.swap(true, SeqCst) {
                Fails(self.1).issue(scope).await
            } else {
                Ok(Fresh { token: 7, ends: None })
            }
        }
    }

    /// A metadata service that has answered is there: its silence passes, and does not halt the worker.
    #[tokio::test]
    async fn what_has_given_a_token_is_away_when_it_is_silent() {
        let rows: [(Make, Why); 3] = [
            (|_| State::Perhaps(Arc::new(Once(AtomicBool::new(false), Why::Silent))), Why::Away),
            (|_| State::Perhaps(Arc::new(Once(AtomicBool::new(false), Why::Away))), Why::Away),
            (|_| State::Perhaps(Arc::new(Once(AtomicBool::new(false), Why::Absent))), Why::Refused),
        ];
        for (state, expected) in rows {
            let chain = Chain::new(Table(vec![("a", state)], Arc::default()));
            assert_eq!(chain.issue("scope").await.map(|fresh| fresh.token), Ok(7));
            let error = chain.issue("scope").await.map(|fresh| fresh.token).unwrap_err();
            assert_eq!((error.told.as_str(), error.why), ("a: no", expected));
        }
    }

    #[test]
    fn a_tokens_claims_are_told_and_the_token_is_not() {
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(r#"{"iss":"https://i","aud":["a"],"exp":1}"#));
        assert_eq!(claims(&token), r#"a token with issuer https://i, audience ["a"] and subject none"#);
        assert_eq!(claims("secret"), "a token that is no JWT");
    }
}
