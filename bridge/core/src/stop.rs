//! Work that an end may cut short.

use std::pin::pin;

use futures_util::future::{Either, Shared, select};

/// What `work` comes to; none if `stop` comes first. The end is looked at first, so that work that is always ready cannot put it off.
///
/// # Cancel safety
/// `work` is dropped when `stop` comes.
pub async fn unless<T>(stop: &Shared<impl Future<Output = ()>>, work: impl Future<Output = T>) -> Option<T> {
    match select(stop.clone(), pin!(work)).await {
        Either::Left(((), _)) => None,
        Either::Right((done, _)) => Some(done),
    }
}
