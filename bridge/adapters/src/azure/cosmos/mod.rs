//! A Cosmos DB container as a [`Store`].
//!
//! Cosmos has no write that compares a property, so the order of writes is kept in a loop: read, compare, replace under
//! the condition that the item is still the one that was read (or create, which fails if there is one). The condition,
//! not the read, is what makes it right: a stale read costs another turn, never a wrong write.

pub(super) mod account;
pub mod item;
pub(super) mod scan;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use azure_core::http::Etag;
use azure_data_cosmos::{
    ContainerClient, CosmosError,
    models::ItemResponse,
    options::{ItemReadOptions, ItemWriteOptions, OperationOptionsBuilder, Precondition, ReadConsistencyStrategy},
};
use bridge_core::{
    event::{Key, Op},
    failure::{FailureKind, PortError},
    port::{Store, Write},
    record::Record,
    version::Version,
};
use bridge_ops::doctor::{Look, PartitionKey, StoreFacts};
use tokio::sync::OnceCell;

use self::item::{ITEM_BYTES_MAX, Item, Written};
use super::{
    client::{self, CosmosOptions},
    error::port_error,
    inspect,
};
use crate::{
    endpoint::{self, InsecureEndpoint},
    look::{LOOK, within},
    stored::NotARecord,
};

const PUT: &str = "put_if_newer";
const GET: &str = "get";

/// Turns of the loop. Each lost turn means that another writer of the same key won one, so only a storm on one key gets
/// here; the worker then comes back to it after a pause of its own.
const TURNS_MAX: u32 = 10;

/// The pause before the third turn at most, doubled for each one after it, up to the second figure. Drawn from zero, so
/// that writers who met once do not meet again.
const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// For one call with all its turns, and with connecting where it is the first: the SDK bounds single operations, and those
/// that connect only at a minute. Well within the shortest sensible lease of 30 s: time must be left to settle.
const CALL_TIMEOUT: Duration = Duration::from_secs(11);

/// A Cosmos DB container, partitioned by `/pk`, with a default time to live of -1.
///
/// Wants an account with a single write region: elsewhere a condition is checked in the region of the write alone.
/// `get` asks for the latest committed state, which on an account with session consistency costs twice a plain read;
/// reads within a write are plain, as a stale one does no harm.
pub struct CosmosStore {
    options: CosmosOptions,
    container: OnceCell<ContainerClient>,
}

/// What is tried next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Create,
    Read,
}

impl CosmosStore {
    /// The container, reached at its first use.
    ///
    /// # Errors
    /// If the endpoint would send requests in the clear over a network.
    pub fn new(options: CosmosOptions) -> Result<Self, InsecureEndpoint> {
        endpoint::check(&options.endpoint)?;
        Ok(Self { options, container: OnceCell::new() })
    }

    /// The SDK's client. It does I/O when it is made, so it is made once, when it is needed; a failure is not kept.
    pub(super) async fn container(&self, operation: &'static str) -> Result<&ContainerClient, PortError> {
        let container = self.container.get_or_try_init(|| client::connect(&self.options)).await;
        container.map_err(|error| self.fail(operation, &error))
    }

    pub(super) fn fail(&self, operation: &'static str, error: &CosmosError) -> PortError {
        port_error(self.to_string(), operation, error)
    }

    /// As [`Self::fail`], for a call on one item. The service has several ways to say that the container is partitioned by something
    /// else, and the SDK has its own. So a refusal of whatever words is a reason to look at the container.
    async fn fail_item(&self, operation: &'static str, container: &ContainerClient, error: &CosmosError) -> PortError {
        let mut failure = self.fail(operation, error);
        if matches!(failure.kind, FailureKind::Rejected { .. } | FailureKind::Misshapen { .. })
            && let Ok(answer) = container.read(None).await
            && let Ok(settings) = answer.into_model()
            && let PartitionKey::Other { is, must_be } = inspect::partition_key(&settings.partition_key)
        {
            let detail = format!("it is partitioned by {is}, and has to be by {must_be}");
            failure.kind = FailureKind::Misshapen { detail };
        }
        failure
    }

    async fn fail_write(&self, container: &ContainerClient, error: &CosmosError, item: &Written<'_>) -> PortError {
        let mut failure = self.fail_item(PUT, container, error).await;
        if u16::from(error.status().status_code()) == 413 {
            let size_bytes = item::size_bytes(item);
            failure.kind = FailureKind::TooLarge { size_bytes, limit_bytes: ITEM_BYTES_MAX };
        }
        failure
    }

    fn not_a_record(&self, operation: &'static str, key: &Key, error: NotARecord) -> PortError {
        error.into_port_error(self.to_string(), operation, key)
    }

    /// The version that the container holds of `key`, and the tag by which to replace it.
    async fn current(&self, container: &ContainerClient, key: &Key) -> Result<Option<(Version, Etag)>, PortError> {
        let answer = match container.read_item(key.as_str().to_owned(), &item::id(key), None).await {
            Ok(answer) => answer,
            Err(error) if error.status().is_not_found() => return Ok(None),
            Err(error) => return Err(self.fail_item(PUT, container, &error).await),
        };
        let etag = answer.headers().etag().cloned();
        let mut item: Item = answer.into_model().map_err(|error| self.fail(PUT, &error))?;
        item::lighten(&mut item);
        let etag = etag.ok_or_else(|| NotARecord::new("_etag", "missing"));
        let held = item::to_record(&item).and_then(|record| Ok((record.version, etag?)));
        held.map(Some).map_err(|error| error.refuse(self.to_string(), PUT, key))
    }

    /// Whether the service says that it has written. The SDK takes any answer of 2xx for that, also one of a proxy's.
    fn written(&self, answer: &ItemResponse, status: u16) -> Result<(), PortError> {
        let (is, headers) = (u16::from(answer.status().status_code()), answer.headers());
        if is == status && headers.etag().is_some() && headers.request_charge().is_some() {
            return Ok(());
        }
        let strange = format!("an answer {is} that is not Cosmos DB's: {status} with an etag and a charge would be");
        Err(PortError::new(self.to_string(), PUT, FailureKind::Unavailable).caused_by(strange))
    }

    /// The loop: create, or read, compare and replace, until one of them counts.
    async fn write(&self, record: &Record) -> Result<Write, PortError> {
        let container = self.container(PUT).await?;
        let (id, pk) = (item::id(&record.key), record.key.as_str());
        let item = item::from_record(record);
        // A hint that saves a request when it is right; whatever the operation is called, the result is the same.
        let mut step = if record.op == Op::Create { Step::Create } else { Step::Read };
        for turn in 0..TURNS_MAX {
            pause(turn).await;
            if step == Step::Create {
                match container.create_item(pk.to_owned(), &id, &item, None).await {
                    Ok(answer) => return self.written(&answer, 201).map(|()| Write::Applied { replaced: None }),
                    // Somebody else's, or our own whose answer was lost: the versions tell.
                    Err(error) if error.status().is_conflict() => {}
                    Err(error) => return Err(self.fail_write(container, &error, &item).await),
                }
            }
            let Some((current, etag)) = self.current(container, &record.key).await? else {
                step = Step::Create;
                continue;
            };
            step = Step::Read;
            if current >= record.version {
                return Ok(Write::kept(current, &record.version));
            }
            let unchanged = ItemWriteOptions::default().with_precondition(Precondition::if_match(etag));
            match container.replace_item(pk.to_owned(), &id, &item, Some(unchanged)).await {
                Ok(answer) => return self.written(&answer, 200).map(|()| Write::Applied { replaced: Some(current) }),
                Err(error) if error.status().is_precondition_failed() || error.status().is_not_found() => {}
                Err(error) => return Err(self.fail_write(container, &error, &item).await),
            }
        }
        // Every write was refused, so nothing happened; as if the service had asked for fewer.
        let kind = FailureKind::Throttled { retry_after: None };
        let contention = format!("other writers of the key were faster {TURNS_MAX} times");
        Err(PortError::new(self.to_string(), PUT, kind).caused_by(contention))
    }

    async fn read(&self, key: &Key) -> Result<Option<Record>, PortError> {
        let container = self.container(GET).await?;
        let latest = OperationOptionsBuilder::new()
            .with_read_consistency_strategy(ReadConsistencyStrategy::LatestCommitted)
            .build();
        let options = ItemReadOptions::default().with_operation_options(latest);
        let answer = match container.read_item(key.as_str().to_owned(), &item::id(key), Some(options)).await {
            Ok(answer) => answer,
            Err(error) if error.status().is_not_found() => return Ok(None),
            Err(error) => return Err(self.fail_item(GET, container, &error).await),
        };
        let item: Item = answer.into_model().map_err(|error| self.fail(GET, &error))?;
        item::to_record(&item).map(Some).map_err(|error| self.not_a_record(GET, key, error))
    }

    /// The settings of the container and its account.
    pub(super) async fn look(&self, limit: Duration) -> Look<StoreFacts> {
        let CosmosOptions { endpoint, credential, database, container } = &self.options;
        let at = format!("Cosmos DB container {database}/{container}");
        let settings = async {
            let container = self.container(LOOK).await?;
            let answer = container.read(None).await.map_err(|error| self.fail(LOOK, &error))?;
            answer.into_model().map_err(|error| self.fail(LOOK, &error))
        };
        let regions = account::write_regions(&at, endpoint, credential);
        let (settings, regions) = futures_util::join!(within(&at, limit, settings), within(&at, limit, regions));
        let seen = settings.map(|settings| inspect::facts(&settings.partition_key, &settings.default_ttl, regions));
        Look { at, seen }
    }

    /// What `call` comes to within [`CALL_TIMEOUT`]. A call that is dropped leaves nothing behind but its effect.
    pub(super) async fn within<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, PortError>> + Send,
    ) -> Result<T, PortError> {
        let timed_out = |_| Err(PortError::new(self.to_string(), operation, FailureKind::TimedOut));
        tokio::time::timeout(CALL_TIMEOUT, call).await.unwrap_or_else(timed_out)
    }
}

#[async_trait]
impl Store for CosmosStore {
    async fn put_if_newer(&self, record: &Record) -> Result<Write, PortError> {
        self.within(PUT, Box::pin(self.write(record))).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError> {
        self.within(GET, Box::pin(self.read(key))).await
    }
}

/// Waits before the third turn and those after it. Two turns are the ordinary way: the hint may have been wrong.
async fn pause(turn: u32) {
    if let Some(doublings) = turn.checked_sub(2) {
        let most = PAUSE.saturating_mul(1 << doublings.min(16)).min(PAUSE_MAX);
        tokio::time::sleep(most.mul_f64(fastrand::f64())).await;
    }
}

impl fmt::Debug for CosmosStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CosmosStore").field("options", &self.options).finish_non_exhaustive()
    }
}

impl fmt::Display for CosmosStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cosmos {}/{}", self.options.database, self.options.container)
    }
}
