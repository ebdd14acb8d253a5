//! What a change did to its entity.

use std::str::FromStr;

/// What an event did to its entity. All but `Delete` carry its whole new state, and so mean the same to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The entity is new.
    Create,
    /// The entity was there before.
    Update,
    /// Either of the two.
    Upsert,
    /// The entity is gone; a tombstone keeps its version.
    Delete,
}

impl Op {
    /// The word in an event and in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Upsert => "upsert",
            Self::Delete => "delete",
        }
    }
}

impl FromStr for Op {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "create" => Ok(Self::Create),
            "update" => Ok(Self::Update),
            "upsert" => Ok(Self::Upsert),
            "delete" => Ok(Self::Delete),
            _ => Err(format!("{text:?} is not one of create, update, upsert, delete")),
        }
    }
}
