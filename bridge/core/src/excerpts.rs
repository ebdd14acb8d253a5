//! Messages that no letter holds.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use crate::limits;

/// Messages of which an excerpt was sent: each is told of once. It is the memory of one process, and bounded; another process tells again.
#[derive(Debug, Default)]
pub struct Excerpts(Mutex<VecDeque<String>>);

impl Excerpts {
    pub(crate) fn has(&self, message_id: &String) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(message_id)
    }

    pub(crate) fn add(&self, message_id: &str) {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.truncate(limits::EXCERPTS_KNOWN - 1);
        sent.push_front(message_id.to_owned());
    }
}
