//! What a request asks for and of what, read from its method, path and headers: the names that faults and counts go by.

use azure_core::http::Method;
use percent_encoding::percent_decode_str;

use super::gateway::Message;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    ReadAccount,
    CreateDatabase,
    ReadDatabase,
    DeleteDatabase,
    ListDatabases,
    CreateContainer,
    ReadContainer,
    ReplaceContainer,
    DeleteContainer,
    ListContainers,
    ReadPartitionRanges,
    CreateItem,
    ReadItem,
    ReplaceItem,
    UpsertItem,
    PatchItem,
    DeleteItem,
    Batch,
    QueryItems,
    QueryPlan,
    ChangeFeed,
    ListItems,
    Offers,
    /// Stored procedures and whatever else the gateway answers with 501.
    Other,
}

impl Operation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ReadAccount => "read-account",
            Self::CreateDatabase => "create-database",
            Self::ReadDatabase => "read-database",
            Self::DeleteDatabase => "delete-database",
            Self::ListDatabases => "list-databases",
            Self::CreateContainer => "create-container",
            Self::ReadContainer => "read-container",
            Self::ReplaceContainer => "replace-container",
            Self::DeleteContainer => "delete-container",
            Self::ListContainers => "list-containers",
            Self::ReadPartitionRanges => "read-partition-ranges",
            Self::CreateItem => "create-item",
            Self::ReadItem => "read-item",
            Self::ReplaceItem => "replace-item",
            Self::UpsertItem => "upsert-item",
            Self::PatchItem => "patch-item",
            Self::DeleteItem => "delete-item",
            Self::Batch => "batch",
            Self::QueryItems => "query-items",
            Self::QueryPlan => "query-plan",
            Self::ChangeFeed => "change-feed",
            Self::ListItems => "list-items",
            Self::Offers => "offers",
            Self::Other => "other",
        }
    }

    pub(super) fn is_write(self) -> bool {
        self.is_management()
            || matches!(
                self,
                Self::CreateItem
                    | Self::ReplaceItem
                    | Self::UpsertItem
                    | Self::PatchItem
                    | Self::DeleteItem
                    | Self::Batch
            )
    }

    /// Whether it changes databases or containers, which the service lets only the account key do.
    pub(super) fn is_management(self) -> bool {
        matches!(
            self,
            Self::CreateDatabase
                | Self::DeleteDatabase
                | Self::CreateContainer
                | Self::ReplaceContainer
                | Self::DeleteContainer
        )
    }
}

/// The operation, and the names in its path, decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) operation: Operation,
    pub(super) database: String,
    pub(super) container: String,
    pub(super) item: String,
}

impl Target {
    pub(super) fn of(message: &Message) -> Self {
        let segments: Vec<String> = segments(&message.path);
        let words: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (operation, names) = match words.as_slice() {
            [] if message.method == Method::Get => (Operation::ReadAccount, ["", "", ""]),
            ["dbs"] => (databases(message), ["", "", ""]),
            ["dbs", database] => (database_itself(message), [*database, "", ""]),
            ["dbs", database, "colls"] => (containers(message), [*database, "", ""]),
            ["dbs", database, "colls", container] => (container_itself(message), [*database, *container, ""]),
            ["dbs", database, "colls", container, "pkranges"] => {
                (Operation::ReadPartitionRanges, [*database, *container, ""])
            }
            ["dbs", database, "colls", container, "docs"] => (items(message), [*database, *container, ""]),
            ["dbs", database, "colls", container, "docs", item] => {
                (item_itself(message), [*database, *container, *item])
            }
            ["offers", ..] => (Operation::Offers, ["", "", ""]),
            _ => (Operation::Other, ["", "", ""]),
        };
        let [database, container, item] = names.map(str::to_owned);
        Self { operation, database, container, item }
    }
}

/// The parts of a path, percent-decoded one by one, so that an encoded slash stays within its name.
pub(super) fn segments(path: &str) -> Vec<String> {
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts.map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned()).collect()
}

fn databases(message: &Message) -> Operation {
    match message.method {
        Method::Post if !is_query(message) => Operation::CreateDatabase,
        Method::Get | Method::Post => Operation::ListDatabases,
        _ => Operation::Other,
    }
}

fn database_itself(message: &Message) -> Operation {
    match message.method {
        Method::Get => Operation::ReadDatabase,
        Method::Delete => Operation::DeleteDatabase,
        _ => Operation::Other,
    }
}

fn containers(message: &Message) -> Operation {
    match message.method {
        Method::Post if !is_query(message) => Operation::CreateContainer,
        Method::Get | Method::Post => Operation::ListContainers,
        _ => Operation::Other,
    }
}

fn container_itself(message: &Message) -> Operation {
    match message.method {
        Method::Get => Operation::ReadContainer,
        Method::Put => Operation::ReplaceContainer,
        Method::Delete => Operation::DeleteContainer,
        _ => Operation::Other,
    }
}

fn items(message: &Message) -> Operation {
    match message.method {
        Method::Get if message.header("a-im").is_some() => Operation::ChangeFeed,
        Method::Get => Operation::ListItems,
        Method::Post if message.is_set("x-ms-cosmos-is-query-plan-request") => Operation::QueryPlan,
        Method::Post if is_query(message) => Operation::QueryItems,
        Method::Post if message.is_set("x-ms-cosmos-is-batch-request") => Operation::Batch,
        Method::Post if message.is_set("x-ms-documentdb-is-upsert") => Operation::UpsertItem,
        Method::Post => Operation::CreateItem,
        _ => Operation::Other,
    }
}

fn item_itself(message: &Message) -> Operation {
    match message.method {
        Method::Get => Operation::ReadItem,
        Method::Put => Operation::ReplaceItem,
        Method::Patch => Operation::PatchItem,
        Method::Delete => Operation::DeleteItem,
        _ => Operation::Other,
    }
}

fn is_query(message: &Message) -> bool {
    message.is_set("x-ms-documentdb-isquery") || message.is_set("x-ms-documentdb-query")
}
